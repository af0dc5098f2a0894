"""Dask's workers, and a scheduler that is asked whether it is still there; loads Dask.

A scheduler whose process is stopped keeps its connections: whoever waits for a result of its
waits for ever, and holds the run's lease and snapshot meanwhile.
"""

from __future__ import annotations

from typing import Any

from prefect_dask.task_runners import DaskTaskRunner, PrefectDaskFuture

from schemas.errors import NotReady

ASK_SECONDS = 15.0
"""How long to wait for a result before the scheduler is asked whether it is still there."""

ANSWER_SECONDS = 45.0
"""How long its answer may take: it answers between two steps of its own, of milliseconds."""


class WatchfulDask(DaskTaskRunner):
    """Gives a run up whose scheduler does not answer."""

    def submit(
        self,
        task: Any,
        parameters: dict[str, Any],
        wait_for: Any = None,
        dependencies: Any = None,
    ) -> Any:
        """Hand a task over; see ``DaskTaskRunner.submit``."""
        future: Any = super().submit(task, parameters, wait_for, dependencies)
        return _Watched(future.task_run_id, future.wrapped_future)


class _Watched(PrefectDaskFuture[Any]):
    """What a task will give back."""

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> Any:  # noqa: FBT001, FBT002
        """Wait for the task, however long it takes while its scheduler answers.

        Raises:
            NotReady: The scheduler does not answer.
        """
        while timeout is None:
            try:
                return super().result(ASK_SECONDS, raise_on_failure)
            except TimeoutError:
                # The task's own, and not that of waiting for it.
                if self._final_state or self.wrapped_future.status == "error":
                    raise
            _ask(self.wrapped_future.client)
        return super().result(timeout, raise_on_failure)


def _ask(client: Any) -> None:
    """Ask a scheduler who it is.

    Raises:
        NotReady: It does not say so in time.
    """
    if client.scheduler is None:
        raise NotReady("the connection to the scheduler of Dask is lost")
    try:
        client.sync(client.scheduler.identity, n_workers=0, callback_timeout=ANSWER_SECONDS)
    except (TimeoutError, OSError) as error:
        told = f"the scheduler of Dask does not answer ({type(error).__name__})"
        raise NotReady(told) from None
