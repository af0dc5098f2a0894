"""Search every byte of some files for canaries, with the search that proves erasures."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from privacy import traces

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

_BLOCK_BYTES = 1 << 20


class Hit(NamedTuple):
    """A canary in a file: where, and which kind in which writing."""

    path: str
    place: str


def needles(canaries: Mapping[str, str]) -> list[traces.Needle]:
    """Return what to look for: each canary in each writing, as it is and in capitals.

    Args:
        canaries: By kind.
    """
    found = {
        needle.content: needle
        for kind, canary in canaries.items()
        for text in (canary.upper(), canary)
        for needle in traces.of_identifier(text, kind)
    }
    return list(found.values())


def scan(paths: Iterable[Path], canaries: Mapping[str, str]) -> list[Hit]:
    """Search files, and what is packed in them.

    Args:
        paths: The files.
        canaries: What to look for, by kind.
    """
    look = traces.looker(needles(canaries))
    return [
        Hit(str(path), place) for path in sorted(paths) for place in sorted(look(_read(path))[1])
    ]


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            yield block
