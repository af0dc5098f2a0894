"""Search every byte of some files for canaries, with the search that proves erasures."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from privacy import traces
from warehouse.file_reader import read_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


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
        Hit(str(path), place)
        for path, content in read_files(sorted(paths))
        for place in sorted(look(content)[1])
    ]
