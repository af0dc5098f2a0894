"""Delete log files by age: no line in one is younger than its last write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.clock import micros

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path


def old_files(directory: Path, before: datetime) -> list[Path]:
    """List the files under a directory that were last written before a time; links are left."""
    if not directory.is_dir():
        return []
    limit = micros(before) * 1_000
    return [
        path
        for path in sorted(directory.rglob("*"))
        if path.is_file() and not path.is_symlink() and path.stat().st_mtime_ns < limit
    ]


def delete_old_files(directory: Path, before: datetime) -> int:
    """Delete what ``old_files`` lists, and say how many.

    Raises:
        OSError: One could not go; all others did.
    """
    found, kept = old_files(directory, before), list[OSError]()
    for path in found:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            kept.append(error)
    if kept:
        raise kept[0]
    return len(found)
