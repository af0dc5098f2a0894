"""Search every byte of some files for canaries, in every writing that software uses."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

_GZIP, _ZLIB = b"\x1f\x8b\x08", (b"\x78\x01", b"\x78\x9c", b"\x78\xda")
_MOST_UNPACKED = 32 << 20


@dataclass(frozen=True)
class Hit:
    """A canary in a file: where, which kind, how it is written."""

    path: str
    kind: str
    writing: str


def writings(canary: str) -> dict[str, bytes]:
    """Return the bytes of a canary in each writing; base64 at each of its three alignments."""
    raw = canary.encode()
    found = {
        "raw": raw,
        "upper": canary.upper().encode(),
        "json": json.dumps(canary)[1:-1].encode(),
        "url": quote(canary, safe="").encode(),
        "hex": raw.hex().encode(),
        "utf-16-le": canary.encode("utf-16-le"),
        "utf-16-be": canary.encode("utf-16-be"),
    }
    for shift in range(3):
        padded = base64.b64encode(bytes(shift) + raw)
        # What depends on the neighbours is cut off.
        inner = padded[4 if shift else 0 :].rstrip(b"=")
        found[f"base64+{shift}"] = inner[: -1 if (shift + len(raw)) % 3 else None]
    return found


def scan(paths: Iterable[Path], canaries: Mapping[str, str]) -> list[Hit]:
    """Search files, and what is packed in them with gzip or zlib.

    Args:
        paths: The files.
        canaries: What to look for, by kind.
    """
    needles = [
        (kind, name, content)
        for kind, canary in canaries.items()
        for name, content in writings(canary).items()
    ]
    hits: set[Hit] = set()
    for path in paths:
        data = path.read_bytes()
        for packed, content in _layers(data):
            hits |= {
                Hit(str(path), kind, f"{packed}{name}")
                for kind, name, needle in needles
                if needle in content
            }
    return sorted(hits, key=lambda hit: (hit.path, hit.kind, hit.writing))


def _layers(data: bytes) -> Iterator[tuple[str, bytes]]:
    yield "", data
    for start in (_GZIP, *_ZLIB):
        place = data.find(start)
        while place >= 0:
            unpacked = _unpack(data[place:], gzip=start == _GZIP)
            if unpacked:
                yield "packed ", unpacked
            place = data.find(start, place + 1)


def _unpack(data: bytes, *, gzip: bool) -> bytes:
    unpacker = zlib.decompressobj(wbits=31 if gzip else 15)
    try:
        return unpacker.decompress(data[:_MOST_UNPACKED], _MOST_UNPACKED)
    except zlib.error:
        return b""
