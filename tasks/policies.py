"""Two kinds of task. Neither is cached: what a database answers is not its arguments' function."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun

from schemas.errors import NotReady

P = ParamSpec("P")
R = TypeVar("R")


def io_task(step: Callable[P, R]) -> Task[P, R]:
    """Make a read or a write a task: retried after 1, 5 and 25 s while a store is not ready."""
    return Task(
        step,
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=3,
        retry_delay_seconds=[1, 5, 25],
        retry_condition_fn=_is_passing,
    )


def compute_task(step: Callable[P, R]) -> Task[P, R]:
    """Make a calculation a task: never retried, because it would fail again."""
    return Task(step, cache_policy=NO_CACHE, persist_result=False)


def _is_passing(_task: object, _run: TaskRun, state: State[object]) -> bool:
    return isinstance(state.result(raise_on_failure=False), NotReady)
