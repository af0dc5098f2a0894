"""Search bytes for what would give a person away, in every writing that our stores use.

A value is looked for as UTF-8, UTF-16, JSON with escapes, percent-encoded, hexadecimal and
base64 (at each of its three alignments), and all of these again inside gzip and zlib, however
long such a stream goes on. A number is looked for as decimal text and as eight bytes in either
order, as both engines and numpy store it.
"""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

SHORT_CHARACTERS = 8
"""A shorter identifier counts only where no letter or digit stands beside it."""
FEWEST_BYTES = 6
"""A shorter base64 or hexadecimal writing is left out: chance alone would find it."""

_PACKED = {
    b"\x1f\x8b\x08": ("gzip", 31),
    b"\x78\x01": ("zlib", 15),
    b"\x78\x9c": ("zlib", 15),
    b"\x78\xda": ("zlib", 15),
}
"""How a packed stream begins: what it is, and zlib's number for it."""
_CHUNK_UNPACKED = 1 << 20
_MOST_UNPACKED = 1 << 30
"""So much of one stream is looked through; a longer one is no file of ours."""
_WORD = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


@dataclass(frozen=True)
class Needle:
    """One writing of one thing that is looked for.

    Attributes:
        what: The thing, such as ``identifier``; never itself.
        writing: How it is written.
        content: The bytes.
        step: Bytes a character where neighbours count, else 0: any place counts.
    """

    what: str
    writing: str
    content: bytes
    step: int = 0

    def count(self, data: bytes, start: int) -> int:
        """Count the places that do not end before ``start``."""
        found, place = 0, data.find(self.content)
        while place >= 0:
            end = place + len(self.content)
            if end > start and not (self.step and self._is_inside_a_word(data, place, end)):
                found += 1
            place = data.find(self.content, place + 1)
        return found

    def _is_inside_a_word(self, data: bytes, place: int, end: int) -> bool:
        before, after = data[max(0, place - self.step) : place], data[end : end + self.step]
        padding = bytes(self.step - 1)
        return any(
            len(beside) == self.step and sum(beside) in _WORD and (not padding or padding in beside)
            for beside in (before, after)
        )


@dataclass
class Found:
    """What a search came upon: bytes read, and places by thing and writing."""

    read: int = 0
    places: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """How many places in all."""
        return sum(self.places.values())


def of_identifier(identifier: str, what: str = "identifier") -> list[Needle]:
    """Return the writings of an identifier, or of another text, as the platform sends it.

    Args:
        identifier: The text.
        what: The thing that it is.
    """
    bounded = len(identifier) < SHORT_CHARACTERS
    escaped = json.dumps(identifier)[1:-1]
    texts = {
        "utf-8": identifier.encode(),
        "json-escaped": escaped.encode(),
        "json-escaped-slash": escaped.replace("/", "\\/").encode(),
        "url-encoded": quote(identifier, safe="").encode(),
        "url-encoded-path": quote(identifier).encode(),
        "url-encoded-form": quote_plus(identifier).encode(),
        "url-encoded-twice": quote(quote(identifier, safe=""), safe="").encode(),
        **_wide(identifier),
    }
    found = [
        Needle(
            what,
            writing,
            content,
            (2 if writing.startswith("utf-16") else 1) if bounded else 0,
        )
        for writing, content in texts.items()
    ]
    return _distinct([*found, *_packed(what, identifier.encode())])


def of_bytes(what: str, content: bytes) -> list[Needle]:
    """Return the writings of a value that is stored as bytes, such as a pseudonym."""
    texts = [Needle(what, "raw", content), *_packed(what, content)]
    wide = [
        Needle(what, f"hex-{writing}", hexadecimal)
        for writing, hexadecimal in _wide(content.hex()).items()
    ]
    escaped = [
        Needle(what, "url-encoded", quote(content, safe="").encode()),
        Needle(what, "url-encoded-path", quote(content).encode()),
        Needle(what, "url-encoded-form", quote_plus(content).encode()),
    ]
    return _distinct([*texts, *wide, *escaped])


def of_number(what: str, number: int) -> list[Needle]:
    """Return the writings of a number of 63 bits, such as a subject's."""
    digits = str(number)
    return [
        Needle(what, "decimal", digits.encode(), 1),
        *(Needle(what, f"decimal-{name}", wide, 2) for name, wide in _wide(digits).items()),
        Needle(what, "big-endian", number.to_bytes(8, "big")),
        Needle(what, "little-endian", number.to_bytes(8, "little")),
    ]


def search(blocks: Iterable[bytes], needles: list[Needle], found: Found) -> None:
    """Look through bytes that come in blocks, also inside what is packed in them.

    Args:
        blocks: One stream, in order, in blocks of any size.
        needles: What to look for.
        found: Added to.
    """
    keep = max(len(needle.content) + needle.step for needle in needles)
    held, streams = b"", list[_Stream]()
    for block in blocks:
        found.read += len(block)
        window = held + block
        # What ended in the window before was counted there, but for what may go on here.
        _count(window, needles, len(held), found)
        streams = [stream for stream in streams if stream.goes_on(block)]
        view = memoryview(window)
        for place, name, bits in _begun(window, len(held)):
            stream = _Stream(name, bits, needles, found, keep)
            if stream.goes_on(view[place:]):
                streams.append(stream)
        held = window[-keep:]


def looker(needles: list[Needle]) -> Callable[[Iterable[bytes]], tuple[int, dict[str, int]]]:
    """Return a search of one stream: bytes that it read, and places by thing and writing."""

    def look(blocks: Iterable[bytes]) -> tuple[int, dict[str, int]]:
        found = Found()
        search(blocks, needles, found)
        return found.read, found.places

    return look


def _count(data: bytes, needles: list[Needle], start: int, found: Found, where: str = "") -> None:
    for needle in needles:
        if places := needle.count(data, start):
            name = f"{needle.what}: {needle.writing}{where}"
            found.places[name] = found.places.get(name, 0) + places


def _begun(data: bytes, start: int) -> Iterator[tuple[int, str, int]]:
    """Yield where packed streams may begin whose mark does not end before ``start``."""
    for mark, (name, bits) in _PACKED.items():
        place = data.find(mark, max(0, start - len(mark) + 1))
        while place >= 0:
            yield place, name, bits
            place = data.find(mark, place + 1)


class _Stream:
    """What may be a packed stream: unpacked as its bytes come, until it ends or is none."""

    def __init__(
        self, name: str, bits: int, needles: list[Needle], found: Found, keep: int
    ) -> None:
        self._unpacker = zlib.decompressobj(bits)
        self._where = f" in {name}"
        self._needles = needles
        self._found = found
        self._keep = keep
        self._held = b""
        self._unpacked = 0

    def goes_on(self, data: bytes | memoryview) -> bool:
        """Look through what some more bytes unpack to; tell whether more may come."""
        more = True
        while more:
            try:
                unpacked = self._unpacker.decompress(data, _CHUNK_UNPACKED)
            except zlib.error:
                return False
            window = self._held + unpacked
            _count(window, self._needles, len(self._held), self._found, self._where)
            self._held = window[-self._keep :]
            self._unpacked += len(unpacked)
            data = self._unpacker.unconsumed_tail
            more = bool(data) or len(unpacked) == _CHUNK_UNPACKED
            if self._unpacker.eof or self._unpacked > _MOST_UNPACKED:
                return False
        return True


def _wide(text: str) -> dict[str, bytes]:
    """Return the writings in two bytes a character.

    Plain letters are the same in either byte order but for the zero at one end, which is left
    away: so a neighbour, too, lies alike in both.
    """
    if text.isascii():
        return {"utf-16": text.encode("utf-16-le")[:-1]}
    return {name: text.encode(name) for name in ("utf-16-le", "utf-16-be")}


def _packed(what: str, content: bytes) -> list[Needle]:
    """Return the hexadecimal and base64 writings that are long enough to mean something."""
    found = [
        Needle(what, "hex", content.hex().encode()),
        Needle(what, "hex-upper", content.hex().upper().encode()),
    ]
    for offset in range(3):
        # What stands before shifts the alphabet: only characters that depend on nothing else.
        first = -(-offset * 8 // 6)
        last = (offset + len(content)) * 8 // 6
        for name, encode in (
            ("base64", base64.b64encode),
            ("base64url", base64.urlsafe_b64encode),
        ):
            whole = encode(bytes(offset) + content)[first:last]
            found.append(Needle(what, f"{name}+{offset}", whole))
    return [needle for needle in found if len(needle.content) >= FEWEST_BYTES]


def _distinct(needles: list[Needle]) -> list[Needle]:
    """Keep the first of writings that are the same bytes."""
    return list({needle.content: needle for needle in reversed(needles)}.values())[::-1]
