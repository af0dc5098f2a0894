"""The end of a worker of ``multiprocessing``, where nobody asks ``atexit``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tracking import forking

if TYPE_CHECKING:
    from collections.abc import Callable

_AFTER_OTHERS = -100
"""Finalizers of the host's are asked before, those of queues too: they may still collect."""


class WorkerEnd:
    """Calls something when this process ends as a worker of ``multiprocessing``.

    Such a worker ends by ``os._exit`` after finalizers of its own; those that it inherited are
    forgotten first, so it has to ask for one itself.

    Args:
        call: What is called.
    """

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        process = sys.modules.get("multiprocessing.process")
        if process is not None and process.parent_process() is not None:
            self._ask()
        forking.watch(self)

    def before_fork(self) -> None:
        """Nothing."""

    def after_fork_in_parent(self) -> None:
        """Nothing."""

    def after_fork_in_child(self) -> None:
        """Ask for a finalizer when inherited ones are forgotten, if ``multiprocessing`` forked."""
        util = sys.modules.get("multiprocessing.util")
        if util is not None:
            util.register_after_fork(self, WorkerEnd._ask)

    def _ask(self) -> None:
        from multiprocessing.util import Finalize  # loaded where it is needed

        Finalize(None, self._call, exitpriority=_AFTER_OTHERS)
