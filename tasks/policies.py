"""Two kinds of task. Neither is cached: what a database answers is not its arguments' function.

Prefect keeps for months what an error says. What a library's says may be a value of somebody's row,
so that a task tells of such an error its class and place alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun

from schemas.errors import NotReady, SmartMatchError, StepFailed, told_in_log

P = ParamSpec("P")
R = TypeVar("R")


def io_task(step: Callable[P, R]) -> Task[P, R]:
    """Make a read or a write a task: retried after 1, 5 and 25 s while a store is not ready."""
    return Task(
        _discreet(step),
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=3,
        retry_delay_seconds=[1, 5, 25],
        retry_condition_fn=_is_passing,
    )


def compute_task(step: Callable[P, R]) -> Task[P, R]:
    """Make a calculation a task: never retried, because it would fail again."""
    return Task(_discreet(step), cache_policy=NO_CACHE, persist_result=False)


def _discreet(step: Callable[P, R]) -> Callable[P, R]:
    """Keep out of an error what neither we nor the system say, and what it was raised from."""

    @wraps(step)
    def discreet(*arguments: P.args, **more: P.kwargs) -> R:
        try:
            return step(*arguments, **more)
        except (SmartMatchError, OSError) as error:
            raise error from None
        except Exception as error:  # noqa: BLE001  # each is raised again
            raise StepFailed(told_in_log(error)) from None

    return discreet


def _is_passing(_task: object, _run: TaskRun, state: State[object]) -> bool:
    return isinstance(state.result(raise_on_failure=False), NotReady)
