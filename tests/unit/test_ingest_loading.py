from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from ingest.server import load


def test_erasures_are_taken_up_where_the_routes_could_not_be_loaded_at_first() -> None:
    errors: list[BaseException] = [RuntimeError("can't start new thread"), MemoryError()]
    resumed = asyncio.Event()

    async def resume() -> None:
        resumed.set()

    def loaded() -> Any:
        if errors:
            raise errors.pop()
        launcher = SimpleNamespace(resume_erasures=resume)
        return SimpleNamespace(state=SimpleNamespace(launcher=launcher))

    door: Any = SimpleNamespace(cold=SimpleNamespace(load=loaded))

    async def trial() -> None:
        loading = asyncio.create_task(load(door, seconds=0.01))
        await asyncio.wait_for(resumed.wait(), 5)
        loading.cancel()

    asyncio.run(trial())

    assert errors == []
