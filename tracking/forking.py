"""Tell the parts of the client that their process forks.

A forked child shares its parent's sockets and database files, has copies of its locks in
whatever state they were, and none of its threads. Each part says what it does about that;
parts are held weakly and asked in the order of their making.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol


class Forks(Protocol):
    """What a part does when the process forks."""

    def before_fork(self) -> None:
        """Finish what runs, and hold what must not run."""

    def after_fork_in_parent(self) -> None:
        """Go on."""

    def after_fork_in_child(self) -> None:
        """Start afresh: nothing of the parent's is yours."""


_lock = threading.Lock()
_parts: list[weakref.ref[Forks]] = []
_forking: list[Forks] = []


def watch(part: Forks) -> None:
    """Ask ``part`` at every fork from now on, as long as it lives."""
    with _lock:
        _parts[:] = [kept for kept in _parts if kept() is not None]
        _parts.append(weakref.ref(part))


def _before() -> None:
    _lock.acquire()
    _forking.extend(part for kept in _parts if (part := kept()) is not None)
    for part in _forking:
        part.before_fork()


def _in_parent() -> None:
    for part in _forking:
        part.after_fork_in_parent()
    _forking.clear()
    _lock.release()


def _in_child() -> None:
    for part in _forking:
        part.after_fork_in_child()
    _forking.clear()
    _lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
