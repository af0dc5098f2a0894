"""The search finds what it is meant to find, in every writing, and nothing that is not there."""

from __future__ import annotations

import base64
import gzip
import json
import random
import zlib
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from privacy.traces import Found, Needle, of_bytes, of_identifier, of_number, search

if TYPE_CHECKING:
    from collections.abc import Callable

IDENTIFIER = "zoé/42+anna@exemple.fr"
PSEUDONYM = bytes(range(100, 132))
NUMBER = 0x1234_5678_9ABC_DEF0
NEEDLES = [
    *of_identifier(IDENTIFIER),
    *of_bytes("pseudonym", PSEUDONYM),
    *of_number("subject", NUMBER),
]

WRITINGS = {
    "utf-8": IDENTIFIER.encode(),
    "utf-16-le": IDENTIFIER.encode("utf-16-le"),
    "utf-16-be": IDENTIFIER.encode("utf-16-be"),
    "json": json.dumps(IDENTIFIER).encode(),
    "json with escaped slashes": json.dumps(IDENTIFIER).replace("/", "\\/").encode(),
    "percent-encoded": quote(IDENTIFIER, safe="").encode(),
    "path": quote(IDENTIFIER).encode(),
    "twice": quote(quote(IDENTIFIER, safe=""), safe="").encode(),
    "hex": IDENTIFIER.encode().hex().encode(),
    **{f"base64 behind {n}": base64.b64encode(b"x" * n + IDENTIFIER.encode()) for n in range(5)},
    **{
        f"base64url before {n}": base64.urlsafe_b64encode(IDENTIFIER.encode() + b"y" * n)
        for n in range(4)
    },
    "pseudonym": PSEUDONYM,
    "pseudonym in hex": PSEUDONYM.hex().encode(),
    "pseudonym in upper hex": PSEUDONYM.hex().upper().encode(),
    "pseudonym in base64": base64.b64encode(b"ab" + PSEUDONYM),
    "pseudonym in hex in utf-16": PSEUDONYM.hex().encode("utf-16-le"),
    "pseudonym percent-encoded": quote(PSEUDONYM, safe="").encode(),
    "number as text": b'{"subject":%d}' % NUMBER,
    "number as stored": NUMBER.to_bytes(8, "big"),
    "number in an array": NUMBER.to_bytes(8, "little"),
}


def found_in(data: bytes, needles: list[Needle] = NEEDLES, block: int = 64) -> Found:
    found = Found()
    search((data[at : at + block] for at in range(0, len(data), block)), needles, found)
    return found


@pytest.mark.parametrize("planted", WRITINGS.values(), ids=WRITINGS)
@pytest.mark.parametrize("block", [7, 64, 100_000])
def test_every_writing_is_found_wherever_the_blocks_part(planted: bytes, block: int) -> None:
    noise = random.Random(block).randbytes(500)

    assert found_in(noise + planted + noise, block=block).total >= 1


@pytest.mark.parametrize("planted", WRITINGS.values(), ids=WRITINGS)
@pytest.mark.parametrize(("name", "pack"), [("gzip", gzip.compress), ("zlib", zlib.compress)])
@pytest.mark.parametrize("block", [5, 100_000])
def test_every_writing_is_found_inside_what_is_packed(
    planted: bytes, name: str, pack: Callable[[bytes], bytes], block: int
) -> None:
    packed = b"noise" + pack(b"before" * 50 + planted + b"after" * 50) + b"noise"

    found = found_in(packed, block=block)

    assert [place for place in found.places if place.endswith(f" in {name}")]


@pytest.mark.parametrize("behind", [300_000, 3 << 20])
def test_a_long_packed_stream_is_read_to_its_end(behind: int) -> None:
    noise = random.Random(2).randbytes(behind)
    packed = gzip.compress(noise + PSEUDONYM + noise[:99], 1)

    found = found_in(packed, block=100_000)

    assert found.places["pseudonym: raw in gzip"] == 1


def test_a_stream_that_unpacks_to_a_thousandfold_is_read_in_bounded_pieces() -> None:
    packed = gzip.compress(bytes(20 << 20) + PSEUDONYM)

    assert found_in(packed, block=1 << 20).places == {"pseudonym: raw in gzip": 1}


def test_noise_holds_nothing() -> None:
    noise = random.Random(1).randbytes(1 << 20)

    found = found_in(noise, block=1 << 16)

    assert (found.read, found.places) == (1 << 20, {})


def test_a_place_is_counted_once_however_the_blocks_part() -> None:
    data = b"." * 50 + PSEUDONYM + b"." * 50 + PSEUDONYM

    for block in (1, 3, 33, 1_000):
        assert found_in(data, block=block).places == {"pseudonym: raw": 2}


@pytest.mark.parametrize(
    ("text", "places"),
    [("id=u-17&", 1), ("u-170", 0), ("xu-17", 0), ('"u-17"', 1), ("u-17", 1)],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
def test_a_short_identifier_is_not_found_inside_another(
    text: str, places: int, encoding: str
) -> None:
    found = found_in(text.encode(encoding), of_identifier("u-17"), block=1_000)

    assert found.total == places


def test_a_long_identifier_is_found_inside_anything() -> None:
    assert found_in(b"xcandidate-4711x", of_identifier("candidate-4711")).total == 1


def test_needles_name_the_thing_and_never_hold_it_in_their_name() -> None:
    names = " ".join(f"{needle.what} {needle.writing}" for needle in NEEDLES)

    assert "anna" not in names
    assert str(NUMBER) not in names
