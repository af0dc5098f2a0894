"""The collector for programs that must not block their event loop."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Self, TypeVar

from tracking import forking
from tracking.collector import EventCollector

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from tracking.counters import Counters
    from tracking.privacy import PrivacyManager
    from tracking.schema import Event


_Result = TypeVar("_Result")
_MOST_THREADS = 16


class AsyncEventCollector:
    """``EventCollector`` with the same spool, sender and promises, awaited in threads.

    A cancelled ``collect_event`` may have accepted its event. It has threads of its own, so
    that it waits neither for a ``flush`` nor for what else the host does in its loop's pool.

    Args:
        privacy_manager: Who consented to what; also knows the server.
        options: As for ``EventCollector``.
    """

    def __init__(self, privacy_manager: PrivacyManager, **options: Any) -> None:
        self._collector = EventCollector(privacy_manager, **options)
        self._collecting = _threads()
        forking.watch(self)

    async def collect_event(self, event: Event) -> bool:
        """Accept an event if its person allows it; see ``EventCollector.collect_event``."""
        return await _in_thread(self._collecting, self._collector.collect_event, event)

    async def flush(self, timeout_seconds: float = 10.0) -> bool:
        """Wait until nothing accepted waits any more; see ``EventCollector.flush``."""
        return await _in_thread(None, self._collector.flush, timeout_seconds)

    async def close(self) -> None:
        """Send what can be sent now, and leave the rest to the next process."""
        await _in_thread(None, self._collector.close)
        self._collecting.shutdown(wait=False)

    @property
    def counters(self) -> Counters:
        """What became of the events of this process."""
        return self._collector.counters

    def before_fork(self) -> None:
        """Nothing."""

    def after_fork_in_parent(self) -> None:
        """Nothing."""

    def after_fork_in_child(self) -> None:
        """Have threads of one's own."""
        self._collecting = _threads()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_MOST_THREADS, "smartmatch-collect")


async def _in_thread(
    pool: ThreadPoolExecutor | None, call: Callable[..., _Result], *arguments: Any
) -> _Result:
    """Call once: in a thread of a pool, the loop's if None, or here where there is no thread."""
    done: Future[_Result] = Future()
    taken = threading.Lock()

    def once() -> None:
        # What no thread could be started for stays in the pool, and another one may come to it.
        if taken.acquire(blocking=False) and done.set_running_or_notify_cancel():
            try:
                done.set_result(call(*arguments))
            except BaseException as error:  # noqa: BLE001  # it is raised where it is awaited
                done.set_exception(error)

    try:
        asyncio.get_running_loop().run_in_executor(pool, copy_context().run, once)
    except RuntimeError:  # the pool has ended, or no thread can be started
        once()
    return await asyncio.wrap_future(done)
