"""A server with a planted fault: it acknowledges an event before its commit."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ingest.service import Service
from warehouse.staging import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from warehouse.staging import Arrival

_kept: set[asyncio.Task[list[Outcome]]] = set()
_store = Service.store


async def _acknowledge_first(
    self: Service, arrivals: list[Arrival], arrive_again: Callable[[int], Arrival]
) -> list[Outcome]:
    async def later() -> list[Outcome]:
        await asyncio.sleep(0.02)
        return await _store(self, arrivals, arrive_again)

    _kept.add(asyncio.create_task(later()))
    return [Outcome.STORED] * len(arrivals)


def plant() -> None:
    """Plant the fault in this process."""
    Service.store = _acknowledge_first  # type: ignore[method-assign]
