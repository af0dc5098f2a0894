"""Store arriving events exactly once: the receipt is committed with the row.

An event's id is unique without a window of time. What is stored carries pseudonyms, figures
and sealed texts, never an identifier or a text as sent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from sqlalchemy import select, text, union

from schemas.clock import MICROS_PER_DAY, micros
from schemas.tables import receipts, rejected, staged
from warehouse import accounts, consents, withdrawals
from warehouse.columns import insert_new, insert_rows
from warehouse.engine import is_postgres, reading, writing
from warehouse.keyfile import days_with_keys, destroy_day_key
from warehouse.purposes import Ground, on_ground

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy import Connection, Engine

_COLUMNS = (
    "event_id",
    "kind",
    "subject",
    "match_key",
    "session_key",
    "occurred_at",
    "received_at",
    "payload",
    "sealed",
    "sealed_day",
)
UNRESOLVED = 0
"""Subject of an arrival that is looked up in the transaction that stores it."""

RULE_CONSENT = "user_id: consent required"
RULE_DIFFERS = "event_id: was stored with other content"

DAY_KEY_MARGIN_SECONDS = 300
"""A day's key outlives its day by so much: nothing waits that long between sealing and commit."""


class Staged(NamedTuple):
    """A row of staging, in the order of its columns."""

    event_id: bytes
    kind: str
    subject: int
    match_key: int
    session_key: int | None
    occurred_at: int
    received_at: int
    payload: bytes
    sealed: bytes | None
    sealed_day: int | None


class Arrival(NamedTuple):
    """An event as it waits for its commit.

    ``candidates`` are the pseudonyms of its person under every usable key, in its order; the
    subject is looked up by them when the row's is ``UNRESOLVED``, or when somebody has withdrawn
    since it was known.
    """

    row: Staged
    digest: bytes
    candidates: tuple[bytes, ...]
    named_here: bool = False
    """Whether the server made the id just now, so that it cannot have been stored before."""
    key_id: str = ""
    """Key of the first of ``candidates``; empty where nobody may move to it now."""
    withdrawals: int = 0
    """Count of withdrawals (``withdrawals.COUNT``) at which the row's subject allowed it."""
    sealed_by: tuple[int, int] | None = None
    """Stamp of the day key that sealed the row's texts."""


Lookup: TypeAlias = Callable[
    ["Connection", Mapping[tuple[bytes, ...], str]], Mapping[tuple[bytes, ...], int]
]
"""Subjects that allow collection, by the pseudonyms of their person; given with the key of the
newest, to which a person moves who is found under an older one."""


StampOf: TypeAlias = Callable[[int], tuple[int, int] | None]
"""What tells the key of a day from another one of that day, None where there is none."""


class Outcome(IntEnum):
    """What became of an arrival."""

    STORED = 0
    DUPLICATE = 1
    """Stored before with the same content; nothing changed."""
    DIFFERS = 2
    """Stored before with other content; nothing changed."""
    FORBIDDEN = 3
    """The person does not allow it, or is not known."""
    AGAIN = 4
    """Not decided here: the day of its seal is over, or its key is gone."""


def stage(
    connection: Connection,
    arrivals: Sequence[Arrival],
    now: int,
    lookup: Lookup | None = None,
    stamp_of: StampOf | None = None,
) -> list[Outcome]:
    """Store arrivals; ``counts`` says what to enter into the books about them.

    Args:
        connection: The transaction; nothing is acknowledged before its commit.
        arrivals: Events in order of arrival, each id as often as it likes.
        now: Microseconds since 1970.
        lookup: Finds the subjects that allow it, by pseudonyms; the ledger's by default.
        stamp_of: Reads the stamps of day keys; they are not looked at by default.

    Returns:
        What became of each, in the same order.
    """
    if not arrivals:
        return []
    count = withdrawals.stand(connection)
    openable = _openable(arrivals, now // MICROS_PER_DAY, stamp_of)
    ready = {place: _known(arrival, count) for place, arrival in openable}
    allowed = _allowed(connection, ready, lookup or _lookup)
    leaders: dict[bytes, int] = {}
    for place, arrival in allowed.items():
        leaders.setdefault(arrival.row.event_id, place)
    led = [allowed[place] for place in leaders.values()]
    fresh = [(arrival.row.event_id, arrival.digest) for arrival in led]
    sent = [arrival.row.event_id for arrival in led if not arrival.named_here]
    known = insert_new(connection, receipts, ("event_id", "digest"), fresh, doubtful=sent)
    rows = [arrival.row for arrival in led if arrival.row.event_id not in known]
    insert_rows(connection, staged, _COLUMNS, rows)
    if len(rows) == len(arrivals):
        return [Outcome.STORED] * len(arrivals)
    found = dict(fresh) | known
    outcomes = []
    for place in range(len(arrivals)):
        if place in allowed:
            outcomes.append(_verdict(place, allowed[place], leaders, known, found))
        else:
            outcomes.append(Outcome.FORBIDDEN if place in ready else Outcome.AGAIN)
    return outcomes


def _openable(
    arrivals: Sequence[Arrival], today: int, stamp_of: StampOf | None
) -> Iterator[tuple[int, Arrival]]:
    """Yield arrivals with their places, but for those whose texts nothing would open.

    The key is looked at in here, once for all of a day: a flow whose clock is ahead destroys the
    key of the day that runs.
    """
    stamps: dict[int, tuple[int, int] | None] = {}
    for place, arrival in enumerate(arrivals):
        day = arrival.row.sealed_day
        if day is not None and stamp_of is not None and day not in stamps:
            stamps[day] = stamp_of(day)
        if day is None or (
            day >= today and arrival.sealed_by == stamps.get(day, arrival.sealed_by)
        ):
            yield place, arrival


def _known(arrival: Arrival, count: int) -> Arrival:
    """Forget whose event it is where that was known at another count of withdrawals."""
    if arrival.withdrawals == count:
        return arrival
    return arrival._replace(row=arrival.row._replace(subject=UNRESOLVED))


def _allowed(
    connection: Connection, arrivals: dict[int, Arrival], lookup: Lookup
) -> dict[int, Arrival]:
    """Look subjects up where they are unknown, and leave out whom nobody allows.

    All at once: an id that many send who are not allowed would otherwise take a commit each.
    """
    unknown = {
        arrival.candidates: arrival.key_id
        for arrival in arrivals.values()
        if not arrival.row.subject
    }
    if not unknown:
        return arrivals
    subjects = lookup(connection, unknown)
    allowed = {}
    for place, arrival in arrivals.items():
        subject = arrival.row.subject or subjects.get(arrival.candidates)
        if subject:
            allowed[place] = arrival._replace(row=arrival.row._replace(subject=subject))
    return allowed


def _lookup(
    connection: Connection, people: Mapping[tuple[bytes, ...], str]
) -> Mapping[tuple[bytes, ...], int]:
    return consents.resolve(connection, people, people)


def _verdict(
    place: int,
    arrival: Arrival,
    leaders: Mapping[bytes, int],
    known: Mapping[bytes, bytes],
    found: Mapping[bytes, bytes],
) -> Outcome:
    """Judge an arrival that is allowed against what is stored under its id now."""
    event_id = arrival.row.event_id
    if leaders[event_id] == place and event_id not in known:
        return Outcome.STORED
    return Outcome.DUPLICATE if found[event_id] == arrival.digest else Outcome.DIFFERS


def counts(outcomes: Sequence[Outcome]) -> dict[tuple[str, str], int]:
    """Return what to enter into the books, in the same transaction, by (counter, rule)."""
    number = Counter(outcomes)
    entries = {
        (accounts.RECEIVED, ""): len(outcomes) - number[Outcome.AGAIN],
        (accounts.STORED, ""): number[Outcome.STORED],
        (accounts.DUPLICATE, ""): number[Outcome.DUPLICATE],
        (accounts.REFUSED, RULE_DIFFERS): number[Outcome.DIFFERS],
        (accounts.REFUSED, RULE_CONSENT): number[Outcome.FORBIDDEN],
    }
    return {key: value for key, value in entries.items() if value}


def destroy_idle_day_keys(engine: Engine, directory: Path, now: datetime) -> list[int]:
    """Destroy the keys of past days under which no sealed text is left.

    The day that is running keeps its key, and every day keeps it for some minutes longer: a
    server looks at the day once more inside the transaction that stores a sealed text. On
    PostgreSQL staging is locked meanwhile, on SQLite there is one writer anyway.

    Returns:
        The days whose key was destroyed, counted since 1970.
    """
    ended = (micros(now) - DAY_KEY_MARGIN_SECONDS * 1_000_000) // MICROS_PER_DAY
    past = [day for day in days_with_keys(directory) if day < ended]
    with reading(engine) as connection:
        past = _idle(connection, past)
    if not past:  # as mostly: then nobody need wait until both tables are looked through
        return []
    with writing(engine) as connection:
        if is_postgres(connection):
            connection.execute(text("LOCK TABLE staged IN SHARE MODE"))
        idle = _idle(connection, past)
        for day in idle:
            destroy_day_key(directory, day)
    return idle


@on_ground(Ground.COUNTING)
def _idle(connection: Connection, days: list[int]) -> list[int]:
    """Return those of some days under whose key no sealed text is left."""
    if not days:
        return []
    used = union(select(staged.c.sealed_day), select(rejected.c.sealed_day))
    found = set(connection.execute(used).scalars())
    return [day for day in days if day not in found]
