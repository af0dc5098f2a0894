"""Call the steps of the flows one after the other, without Prefect and its seconds.

What is killed here is our own code: Prefect neither opens a transaction nor commits one.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from prefect import Task

from tasks import retention, skipped

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from types import ModuleType

_TOLD = ("create_table_artifact", "create_markdown_artifact", "emit_event")


class _InTurn:
    """Runs what a flow hands to its workers at once, in its own thread."""

    def submit(self, task: Task[..., Any], parameters: dict[str, Any]) -> SimpleNamespace:
        done = task.fn(**parameters)
        return SimpleNamespace(result=lambda: done)


def run_bare(module: ModuleType, flow: str, arguments: tuple[str, ...]) -> None:
    """Run a flow's function; this process is good for nothing else afterwards."""
    Task.__call__ = _call  # type: ignore[method-assign,assignment]
    # Prefect's own old runs; there is no server to ask for them.
    retention._count_flow_runs = lambda *_arguments: 0
    retention._delete_flow_runs = lambda *_arguments: 0
    skipped.tell = _nothing
    for name in _TOLD:
        if hasattr(module, name):
            setattr(module, name, _nothing)
    if hasattr(module, "side_by_side"):
        module.side_by_side = _in_turn  # type: ignore[attr-defined]
    if hasattr(module, "flow_run"):
        module.flow_run = SimpleNamespace(id=uuid4())  # type: ignore[attr-defined]
    getattr(module, flow).fn(*arguments)


def _call(task: Task[..., Any], *arguments: Any, **more: Any) -> Any:
    return task.fn(*arguments, **more)


def _nothing(*_arguments: Any, **_more: Any) -> None:
    return None


def _in_turn(_settings: object) -> AbstractContextManager[_InTurn]:
    return nullcontext(_InTurn())


if __name__ == "__main__":
    run_bare(import_module(f"flows.{sys.argv[1]}"), sys.argv[1], tuple(sys.argv[2:]))
