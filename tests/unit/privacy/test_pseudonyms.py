"""Pseudonyms: the published construction, spaces kept apart, and values that must never change."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.pseudonyms import (
    address_hash,
    content_digest,
    match_key,
    session_key,
    subject_pseudonym,
)

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = bytes(range(32))


def hmac_by_definition(key: bytes, text: bytes) -> bytes:
    """Compute HMAC-SHA256 from its definition in RFC 2104, section 2."""
    block = (key if len(key) <= 64 else hashlib.sha256(key).digest()).ljust(64, b"\0")
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in block) + text).digest()
    return hashlib.sha256(bytes(b ^ 0x5C for b in block) + inner).digest()


@pytest.mark.parametrize(
    ("key", "text", "published"),
    [
        (
            b"\x0b" * 20,
            b"Hi There",
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
        (
            b"Jefe",
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            b"\xaa" * 20,
            b"\xdd" * 50,
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
        ),
    ],
)
def test_the_reference_above_gives_the_published_vectors(
    key: bytes, text: bytes, published: str
) -> None:
    """RFC 4231, test cases 1 to 3."""
    assert hmac_by_definition(key, text).hex() == published


@given(st.binary(min_size=1, max_size=100), st.text(st.characters(codec="utf-8")))
def test_pseudonyms_are_hmac_of_a_label_and_the_identifier(key: bytes, identifier: str) -> None:
    sent = identifier.encode()

    def short(label: bytes) -> int:
        return int.from_bytes(hmac_by_definition(key, label + sent)[:8], "big") % 2**63

    assert subject_pseudonym(key, identifier) == hmac_by_definition(key, b"user\0" + sent)
    assert match_key(key, identifier) == short(b"match\0")
    assert session_key(key, identifier) == short(b"session\0")
    person = hmac_by_definition(key, b"user\0" + sent)
    address = hmac_by_definition(key, b"address\0" + person + b"192.0.2.1")[:16]
    assert address_hash(key, identifier, "192.0.2.1") == address


def test_what_databases_already_hold_is_found_again_by_every_later_version() -> None:
    """A change here would make every person and every match of an installation a stranger."""
    assert subject_pseudonym(KEY, "user-1").hex() == (
        "dfcf9533d21018d260d3db9ba7c59756b9fd8cc815df18804a1a92d090a47eb0"
    )
    assert match_key(KEY, "match-1") == 5_885_508_644_471_431_970
    assert session_key(KEY, "session-1") == 452_565_282_293_171_712
    assert content_digest(KEY, b"{}").hex() == "ad45696bbff515175abc347be6560ec1"


@pytest.mark.parametrize("identifier", ["", "a", "0", "match\0a"])
def test_one_identifier_is_another_thing_in_every_space(identifier: str) -> None:
    seen = {
        subject_pseudonym(KEY, identifier)[:16],
        match_key(KEY, identifier).to_bytes(16, "big"),
        session_key(KEY, identifier).to_bytes(16, "big"),
        address_hash(KEY, identifier, identifier),
    }

    assert len(seen) == 4


@pytest.mark.parametrize(
    "make",
    [subject_pseudonym, match_key, session_key, partial(address_hash, address="192.0.2.1")],
)
def test_another_key_makes_another_pseudonym(make: Callable[[bytes, str], object]) -> None:
    assert make(KEY, "user-1") != make(KEY[::-1], "user-1")


@given(st.text(st.characters(codec="utf-8"), max_size=50))
def test_matches_and_sessions_fit_a_signed_column(identifier: str) -> None:
    assert 0 <= match_key(KEY, identifier) < 2**63
    assert 0 <= session_key(KEY, identifier) < 2**63


def test_digests_of_content_are_keyed_and_tell_contents_apart() -> None:
    digest = content_digest(KEY, b'{"rating":4}')

    assert len(digest) == 16
    assert digest == content_digest(KEY, b'{"rating":4}')
    assert digest != content_digest(KEY, b'{"rating":5}')
    assert digest != content_digest(KEY[::-1], b'{"rating":4}')
    assert digest != hashlib.blake2b(b'{"rating":4}', digest_size=16).digest()
