"""Sealing: the published algorithm; nothing opens that was moved, changed or sealed elsewhere."""

from __future__ import annotations

import pytest

from privacy.sealing import KEY_BYTES, NONCE_BYTES, Sealer, TextUnreadable, unseal

KEY = bytes(range(KEY_BYTES))
EVENT = b"e" * 16
TEXT = "Très gentil, à revoir.".encode()


def test_a_published_vector_opens() -> None:
    """McGrew and Viega (2005), The Galois/Counter Mode of operation, test case 16."""
    key = bytes.fromhex("feffe9928665731c6d6a8f9467308308" * 2)
    nonce = bytes.fromhex("cafebabefacedbaddecaf888")
    associated = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
    plain = bytes.fromhex(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
        "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
    )
    cipher = bytes.fromhex(
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
        "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
        "76fc6ece0f4e1768cddf8853bb2d551b"
    )

    assert unseal(key, nonce + cipher, associated) == plain


@pytest.mark.parametrize("text", [b"", b"a", TEXT, bytes(100_000)])
def test_a_text_comes_back_as_it_was(text: bytes) -> None:
    assert unseal(KEY, Sealer(KEY).seal(text, EVENT), EVENT) == text


def test_nothing_of_the_text_can_be_read_in_the_seal() -> None:
    sealed = Sealer(KEY).seal(TEXT, EVENT)

    assert TEXT[:4] not in sealed
    assert len(sealed) == NONCE_BYTES + len(TEXT) + 16


def test_a_nonce_is_never_used_twice() -> None:
    nonces = {Sealer(KEY).seal(TEXT, EVENT)[:NONCE_BYTES] for _ in range(1_000)}

    assert len(nonces) == 1_000


def test_a_text_cannot_be_moved_to_another_event() -> None:
    with pytest.raises(TextUnreadable):
        unseal(KEY, Sealer(KEY).seal(TEXT, EVENT), b"f" * 16)


def test_the_key_of_another_day_opens_nothing() -> None:
    with pytest.raises(TextUnreadable):
        unseal(KEY[::-1], Sealer(KEY).seal(TEXT, EVENT), EVENT)


@pytest.mark.parametrize("place", [0, NONCE_BYTES, -1])
def test_a_changed_byte_shows(place: int) -> None:
    sealed = bytearray(Sealer(KEY).seal(TEXT, EVENT))
    sealed[place] ^= 1

    with pytest.raises(TextUnreadable):
        unseal(KEY, bytes(sealed), EVENT)


@pytest.mark.parametrize("kept", [0, NONCE_BYTES - 1, NONCE_BYTES, NONCE_BYTES + 15])
def test_a_seal_that_was_cut_is_unreadable_not_a_crash(kept: int) -> None:
    with pytest.raises(TextUnreadable):
        unseal(KEY, Sealer(KEY).seal(TEXT, EVENT)[:kept], EVENT)


def test_the_error_repeats_nothing() -> None:
    with pytest.raises(TextUnreadable) as caught:
        unseal(KEY, Sealer(KEY).seal(TEXT, EVENT), b"f" * 16)

    assert str(caught.value) == "a sealed text does not open"
    assert caught.value.__cause__ is None
