"""How an installation is: what runs, how far behind it is, and what wants a person's eye."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import prefect_api
from operation.parts import parts, prefect_url
from schemas.clock import moment
from warehouse import guards, key_rotation, lineage, overview
from warehouse.engine import check_ready, connect, reading
from warehouse.erasure_requests import pending_erasures
from warehouse.keyfile import open_to_others, read_ring
from warehouse.newest_head import NewestHead
from warehouse.witness import WitnessBroken

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from prefect_api import FlowRun
    from schemas.settings import Settings

NIGHTLY = frozenset(
    {"aggregate_metrics", "purge_expired", "watch_drift", "retrain_model", "verify_ledgers"}
)
NIGHT_HOURS = 26.0
"""A nightly flow that has not ended well for longer missed a night."""


@dataclass(frozen=True)
class FlowState:
    """When a flow last ended well, whoever started it, and how its last scheduled run ended.

    Attributes:
        ended_well_at: By the database; None when it never did.
        last_run: By the Prefect server; None where that does not answer or knows of none.
    """

    ended_well_at: datetime | None
    last_run: FlowRun | None


@dataclass(frozen=True)
class KeyState:
    """The key that makes new pseudonyms.

    Attributes:
        key_id: Its id.
        since: When it began, or will.
        age_days: Whole days since then.
        due_at: When the next one is due, by the settings.
        kept: Number of keys that exist.
    """

    key_id: str
    since: datetime
    age_days: int
    due_at: datetime
    kept: int


@dataclass(frozen=True)
class Status:
    """An installation at a moment.

    Attributes:
        at: The moment.
        parts: Whether each part answers; None for one that nothing answers for.
        waiting: Events that no run has processed yet.
        oldest_waiting_seconds: Age of the oldest of them.
        flows: By name.
        champion: Version that serves, since when; None before the first.
        key: The key that makes new pseudonyms.
        pending_erasures: Requests that are not done.
        open_keys: What of the key directory other users may read or change.
        retrain_owed_hours: Age of the oldest retrain that is owed to somebody who left, from
            whom a version had learned; None where none is.
        damage: What was changed in the database that nothing of ours changes, a sentence each.
        problems: What wants a person's eye, a sentence each.
    """

    at: datetime
    parts: dict[str, bool | None]
    waiting: int
    oldest_waiting_seconds: float
    flows: dict[str, FlowState]
    champion: dict[str, Any] | None
    key: KeyState
    pending_erasures: int
    retrain_owed_hours: float | None = None
    open_keys: list[str] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def read_status(settings: Settings, now: datetime | None = None) -> Status:
    """Look at every part, at the database and at the key file.

    Raises:
        NotReady: The database cannot be read.
        KeyMissing: There is no key file.
    """
    now = now or datetime.now(UTC)
    engine = connect(settings.url)
    check_ready(engine)
    loop = overview.loop(engine, now, smallest=settings.smallest_group, published=False)
    found = Status(
        at=now,
        parts=_parts(settings),
        waiting=loop["waiting"],
        oldest_waiting_seconds=round(loop["oldest_waiting_seconds"], 1),
        flows=_flows(settings, loop["flows"]),
        champion=loop["champion"],
        key=_key(settings, now),
        pending_erasures=_pending(engine),
        retrain_owed_hours=_owed_hours(engine, now),
        open_keys=[str(path) for path in open_to_others(settings.keys)],
        damage=_damage(engine, settings.keys),
    )
    engine.dispose()
    found.problems.extend(problems(found, settings))
    return found


def problems(found: Status, settings: Settings) -> list[str]:
    """Say what wants a person's eye."""
    said = [f"{name} does not answer" for name, up in found.parts.items() if up is False]
    said += found.damage
    if found.oldest_waiting_seconds > settings.backlog_seconds:
        age = found.oldest_waiting_seconds / 60
        said.append(f"the oldest of {found.waiting} unprocessed events waits for {age:.0f} minutes")
    for name, flow in found.flows.items():
        if flow.last_run and flow.last_run.state in prefect_api.ENDED_BADLY:
            said.append(f"the last run of {name} ended {flow.last_run.state.lower()}")
        if name in NIGHTLY and flow.ended_well_at is not None:
            hours = (found.at - flow.ended_well_at).total_seconds() / 3_600
            if hours > NIGHT_HOURS:
                said.append(f"{name} last ended well {hours:.0f} hours ago")
    if found.key.due_at < found.at:
        due = found.key.due_at.date().isoformat()
        said.append(f"the pseudonym key was due on {due}; `smartmatch pseudonym-keys rotate`")
    if found.open_keys:
        said.append(
            f"other users may read or change {found.open_keys[0]} and {len(found.open_keys) - 1}"
            " more; `chmod -R go=` the key directory"
        )
    owed = found.retrain_owed_hours
    if owed is not None and owed > settings.retrain_within_hours:
        said.append(
            f"a retrain is owed for {owed:.0f} hours to somebody who left; run `smartmatch retrain`"
        )
    if found.champion is None:
        said.append("no champion is published; `smartmatch init` makes the first")
    return said


def _parts(settings: Settings) -> dict[str, bool | None]:
    wanted = parts(settings)
    known = {part.name: prefect_api.answers(part.health) for part in wanted if part.health}
    # Nothing answers for the process that runs the flows; the server knows when it last asked.
    serving = prefect_api.someone_serves(_api(settings)) if known["prefect"] else None
    return {part.name: known.get(part.name, serving) for part in wanted}


def _flows(settings: Settings, ended_well: dict[str, str | None]) -> dict[str, FlowState]:
    last = prefect_api.last_runs(_api(settings), list(ended_well))
    return {
        name: FlowState(datetime.fromisoformat(at) if at else None, last.get(name))
        for name, at in ended_well.items()
    }


def _api(settings: Settings) -> str:
    return prefect_api.configured_api() or f"{prefect_url(settings)}/api"


def _key(settings: Settings, now: datetime) -> KeyState:
    ring = read_ring(settings.keys)
    since = moment(ring.current.since)
    return KeyState(
        key_id=ring.current.key_id,
        since=since,
        # One that was just made begins a minute later.
        age_days=max((now - since).days, 0),
        due_at=since + timedelta(days=settings.key_rotation_days),
        kept=len(ring.pseudonym_keys),
    )


def _owed_hours(engine: Engine, now: datetime) -> float | None:
    since = lineage.owed_since(engine)
    return None if since is None else round((now - moment(since)).total_seconds() / 3_600, 1)


def _pending(engine: Engine) -> int:
    return len(pending_erasures(engine))


def _damage(engine: Engine, directory: Path) -> list[str]:
    """Look for missing triggers, newest entries without a right seal, and a key file set back."""
    try:
        sealed = NewestHead(directory).sealed()
    except WitnessBroken as error:
        return [str(error)]
    with reading(engine) as connection:
        first, unguarded = sealed.first_broken(connection), guards.note(connection)
        lost = key_rotation.known_by_no_key(connection, read_ring(directory))
    damage = [unguarded] if unguarded else []
    if first is not None:
        damage.append(f"entry {first} of the consent ledger has no right seal: a forged answer")
    if lost:
        damage.append(
            f"{lost} people are known by a pseudonym key that the key file lacks: it was set back"
        )
    return damage
