"""Poison does not stop the rest: through HTTP, one bad line among a thousand good ones."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import pytest

from tests.e2e.malformed import malformed
from tests.faults.processes import ForkedServer, forked
from tests.serving import allow, proposed
from warehouse.audit import balance, stored_event_ids

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from schemas.settings import Settings
    from tests.faults.conftest import Tally

pytestmark = pytest.mark.promise("poison does not stop the rest")

NDJSON = {"content-type": "application/x-ndjson"}


def bad_lines(count: int) -> list[bytes]:
    """Return lines that are broken in ways of their own; a few are right after all."""
    sound = {"type": "match_proposed", **proposed(match_id="bad")}
    lines = [one for one in malformed(sound, 5) if one.strip() and not {10, 13} & set(one)]
    apart = list(dict.fromkeys(lines))
    return apart[:: max(1, len(apart) // count)][:count]


def send(client: httpx.Client, bad: bytes, good: list[dict[str, Any]], place: int) -> str | None:
    """Send good lines and a bad one among them; return what is wrong with the reply."""
    lines = [json.dumps(one).encode() for one in good]
    lines.insert(place, bad)
    answer = client.post("/api/tracking/events", content=b"\n".join(lines), headers=NDJSON)
    if answer.status_code != 200:
        return f"{bad[:60]!r}: a batch was answered {answer.status_code}"
    reply = answer.json()
    refused = [one["index"] for one in reply["refused"]]
    # One that is right after all, like one before it, is the same event sent again.
    others = len(refused) + reply["duplicate"]
    if refused not in ([place], []) or others > 1 or reply["stored"] + others != len(lines):
        return f"{bad[:60]!r}: {reply['stored']} of {len(lines)} were stored"
    return None


@pytest.mark.trials(short=15, full=500)
def test_every_good_line_beside_a_bad_one_is_stored(
    settings: Settings, engine: Engine, tmp_path: Path, tally: Tally
) -> None:
    beside = 999 if tally.full else 49
    server = ForkedServer(forked("tests.faults.jobs"), settings, tmp_path / "server.log")
    server.start()
    sent: set[UUID] = set()
    with httpx.Client(base_url=server.url, timeout=60) as client:
        allow(client)
        for place, bad in zip(itertools.cycle(range(0, beside, 7)), bad_lines(tally.planned)):
            good = [{"type": "match_proposed", **proposed(match_id=str(n))} for n in range(beside)]
            sent |= {UUID(one["event_id"]) for one in good}
            tally.count(send(client, bad, good, place))
    server.stop()

    missing = sent - set(stored_event_ids(engine))
    if missing or not balance(engine).agrees:
        tally.count(f"{len(missing)} good events are gone, or the books do not balance", trials=0)
    assert tally.trials == tally.planned
    assert tally.failures == []
