"""Tell the parts of the client that their process forks.

A forked child shares its parent's sockets and database files, has copies of its locks in
whatever state they were, and none of its threads. Each part says what it does about that;
parts are held weakly and asked in the order of their making.

Nobody forks while one of the parts imports a library: the lock by which Python keeps others
from a module that is half imported would have no owner in the child, and the child would wait
for it for ever.
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


LONGEST_IMPORT_SECONDS = 30.0
"""A fork waits so long for an import; whoever imports may himself wait for who forks."""


class ImportLock:
    """Held, last of all locks, while a library is imported that was not wanted at the start."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # what is imported may fork
        self._held = False

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def before_fork(self) -> None:
        """Wait for an import, but not for one that never ends."""
        self._held = self._lock.acquire(timeout=LONGEST_IMPORT_SECONDS)

    def after_fork_in_parent(self) -> None:
        """Let others import."""
        if self._held:
            self._lock.release()

    def after_fork_in_child(self) -> None:
        """Let others import, whoever did so in the parent."""
        if self._held:
            self._lock.release()
        else:
            self._lock = threading.RLock()


imports = ImportLock()

lock = threading.RLock()
"""Held by who forks, and by who must not be forked halfway."""
_parts: list[weakref.ref[Forks]] = []
_forking: list[Forks] = []


def watch(part: Forks) -> None:
    """Ask ``part`` at every fork from now on, as long as it lives."""
    with lock:
        _parts[:] = [kept for kept in _parts if kept() is not None]
        _parts.append(weakref.ref(part))


def _before() -> None:
    lock.acquire()
    _forking.extend(part for kept in _parts if (part := kept()) is not None)
    for part in _forking:
        part.before_fork()
    imports.before_fork()


def _in_parent() -> None:
    imports.after_fork_in_parent()
    for part in _forking:
        part.after_fork_in_parent()
    _forking.clear()
    lock.release()


def _in_child() -> None:
    imports.after_fork_in_child()
    for part in _forking:
        part.after_fork_in_child()
    _forking.clear()
    lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
