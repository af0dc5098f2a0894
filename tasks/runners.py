"""Where the partitions of a flow run: threads of its own process, or the workers of Dask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prefect.task_runners import ThreadPoolTaskRunner

if TYPE_CHECKING:
    from prefect.task_runners import TaskRunner

    from schemas.settings import Settings


def side_by_side(settings: Settings) -> TaskRunner[Any]:
    """Return what runs tasks side by side, to be entered with ``with``.

    With Dask every task must be able to run anywhere: it is given addresses and numbers, opens
    its own connection, and commits where it is. A worker that dies loses the transaction that
    it was in, and Dask gives its task to another one.
    """
    if settings.task_runner == "threads":
        return ThreadPoolTaskRunner(max_workers=settings.task_workers)
    from tasks.dask_runner import WatchfulDask  # a second, for those alone who use it

    if settings.dask_address:
        return WatchfulDask(address=settings.dask_address)
    return WatchfulDask(
        cluster_kwargs={
            "n_workers": settings.task_workers,
            # Python computes in one thread at a time: more workers, not more threads.
            "threads_per_worker": 1,
            "host": "127.0.0.1",
            "dashboard_address": None,
        }
    )
