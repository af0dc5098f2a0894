"""Who claimed events, and whether they are still there to send them."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

_living: set[str] = set()
"""Owners in this process: in a container the next process often has the last one's id."""


def new() -> str:
    """Name an owner of claims in this process."""
    owner = f"{os.getpid()}.{secrets.token_hex(8)}"
    _living.add(owner)
    return owner


def discard(owner: str) -> None:
    """Forget an owner: what it claimed is anybody's."""
    _living.discard(owner)


def lives(owner: str) -> bool:
    """Whether the process that made a claim is there; a lease bounds what this gets wrong."""
    process = int(owner.partition(".")[0])
    if process == os.getpid():
        return owner in _living
    if sys.platform == "win32":  # signal 0 would interrupt the process there
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _is_zombie(process)


def _is_zombie(process: int) -> bool:
    """Whether a process is dead and only its parent has not asked for its end (Linux)."""
    try:
        status = Path(f"/proc/{process}/stat").read_bytes()
    except OSError:
        return False
    return status.rpartition(b")")[2].split()[:1] == [b"Z"]
