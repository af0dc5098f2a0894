"""One partition of staging: read it as columns, and commit what became of it.

Reading and judging happen outside the write transaction, so that writers beside the flow wait
for the commit only. The commit looks again: rows that are gone are left out, and consent counts
as it stands inside that transaction.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from schemas.errors import NotReady
from schemas.events import EventKind
from schemas.purposes import Purpose
from warehouse import accounts, bulk, latecomers, packed
from warehouse.batch_frame import Batch, Partition, build
from warehouse.batch_rows import (
    UNKNOWN_SUBJECT,
    move_events,
    store_rejected,
)
from warehouse.contributions import change
from warehouse.engine import is_postgres, reading, writing
from warehouse.match_rows import add_to_sums, lock_sums, read_matches, write_matches
from warehouse.matches import CODES, EVENT_COLUMNS, Columns, merge, split_id, take
from warehouse.purposes import Ground, consented_sql, on_ground
from warehouse.subtraction import settle

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray
    from sqlalchemy import Connection, Engine

    from warehouse.leases import Lease

CONSENT = "consent"

FREE_TRIES = 2
"""How often the consents may change under a commit, before it makes those who change them wait."""

HELD_PAUSES_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)
"""How long to stand back, time after time, while another transaction holds events of a partition:
an erasure, or what a killed worker left open, until the database sees that nobody listens."""

_turn = Lock()
"""Of the threads that store on SQLite: whoever waits for the database looks every tenth of a second
whether it is free, and gives up after some seconds."""

_ACCEPTED, _REJECTED, _DROPPED, _GONE = range(4)
_DECISIONS = (CODES[EventKind.ACCEPTED], CODES[EventKind.REJECTED])


@dataclass(frozen=True)
class Counts:
    """What became of some events: they add up to ``read``, but for what others took away.

    Attributes:
        decided: Of the processed ones, those that are decisions.
    """

    read: int = 0
    processed: int = 0
    dropped: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    decided: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.read + other.read,
            self.processed + other.processed,
            self.dropped + other.dropped,
            dict(Counter(self.rejected) + Counter(other.rejected)),
            self.decided + other.decided,
        )


@on_ground(Ground.COUNTING)
def count_staged(engine: Engine) -> int:
    """Count the events that wait in staging."""
    with reading(engine) as connection:
        return int(bulk.fetch(connection, "SELECT COUNT(*) FROM staged")[0][0])


def plan(engine: Engine, size: int, limit: int | None = None) -> list[Partition]:
    """Cut what is staged now into partitions, oldest first.

    Args:
        engine: The database.
        size: Most events in a partition.
        limit: Largest number of events in all; None for everything.
    """
    with reading(engine) as connection:
        return list(packed.cut(connection, Partition(-(2**63), _last(connection, limit)), size))


@on_ground(Ground.COUNTING)
def _last(connection: Connection, limit: int | None) -> int:
    """Return the number of the last event among so many oldest ones."""
    newest = "SELECT MAX(seq) FROM staged"
    if limit is not None:
        nth = "SELECT seq FROM staged ORDER BY seq LIMIT 1 OFFSET :before"
        newest = f"SELECT COALESCE(({nth}), ({newest}))"
    found = bulk.fetch(connection, newest, {"before": limit - 1} if limit is not None else {})
    return int(found[0][0] or 0)


def read(engine: Engine, partition: Partition, as_of: int) -> Batch:
    """Read a partition as columns; what cannot be read is marked, not refused.

    Args:
        engine: The database.
        partition: Where to read.
        as_of: The time of this run, microseconds since 1970.
    """
    with reading(engine) as connection, bulk.without_collection():
        cut = list(packed.cut(connection, partition, packed.MOST)) or [partition]
        stretches = [packed.read_stretch(connection, one) for one in cut]
        return build(partition, stretches, as_of)


def read_sealed(engine: Engine, partition: Partition) -> list[tuple[int, bytes, bytes, int]]:
    """Read the sealed texts of a partition whose subjects consent to analytics now.

    Returns:
        Rows of seq, event id, sealed text and the day of its key.
    """
    with reading(engine) as connection:
        return bulk.fetch(
            connection,
            "SELECT seq, event_id, sealed, sealed_day FROM staged"
            " JOIN subjects ON subjects.subject = staged.subject"
            " WHERE seq BETWEEN :first AND :last AND sealed IS NOT NULL"
            f" AND {consented_sql(Purpose.ANALYTICS)} ORDER BY seq",
            {"first": partition.first, "last": partition.last},
        )


def commit(
    engine: Engine,
    lease: Lease,
    batch: Batch,
    broken: Mapping[str, Iterable[int]],
    texts: Mapping[int, str],
    *,
    as_of: int,
) -> Counts:
    """Store what became of a partition, in one transaction, and clear it from staging.

    It renews the lease as well: a transaction of its own would wait for the next partition's.

    Args:
        engine: The database.
        lease: Who may write.
        batch: The partition.
        broken: Events that broke an expectation, ``seq`` by rule.
        texts: JSON list of redacted texts, by ``seq``.
        as_of: The time of this run, microseconds since 1970.

    Raises:
        LeaseLost: Another run has taken over; nothing was written.
        NotReady: Another transaction holds some of the events all along; nothing was written.
    """
    reasons = _reasons(broken)

    def move(*, hold: bool) -> Counts:
        in_turn = nullcontext() if is_postgres(engine) else _turn
        with in_turn, writing(engine) as connection, bulk.without_collection():
            lease.check(connection)
            counts = _settle_fate(connection, batch, dict(reasons), texts, as_of, hold=hold)
            lease.extend(connection)
            return counts

    def settle_consents() -> Counts:
        for _ in range(FREE_TRIES):
            with suppress(_ConsentChanged):
                return move(hold=False)
        return move(hold=True)

    for pause in HELD_PAUSES_SECONDS:
        with suppress(_EventsHeld):
            return settle_consents()
        time.sleep(pause)
    return settle_consents()


class _ConsentChanged(Exception):
    """Somebody changed their mind while their events were being moved."""


class _EventsHeld(NotReady):
    """Another transaction holds events of the partition: it may clear them away, or not."""


def _settle_fate(
    connection: Connection,
    batch: Batch,
    reasons: dict[int, list[str]],
    texts: Mapping[int, str],
    as_of: int,
    *,
    hold: bool,
) -> Counts:
    """Move the events of a partition, and fold those that stay into matches and sums.

    Only one transaction at a time holds the sums, so all that needs no sum is done before, unless
    the consents are to be held from the beginning. Who holds the sums waits for nobody who waits
    for them: consents are locked after them.
    """
    late = latecomers.expect(connection, batch.seq)
    if hold:
        lock_sums(connection)
    consents = _consents(connection, batch, hold=hold)
    fate = _judge(connection, batch, consents, reasons)
    seq = batch.seq
    accepted = fate == _ACCEPTED
    rejected = {number: reasons[number] for number in seq[fate == _REJECTED].tolist()}
    store_rejected(connection, rejected, as_of)
    move_events(connection, batch, accepted, fate == _GONE, texts)
    for version, named in late.items():
        latecomers.cover(connection, version, named)
    if not hold:
        lock_sums(connection)
    _hold(connection, batch, consents)
    _store_matches(connection, batch, accepted)
    counts = Counts(
        read=len(seq),
        processed=int(accepted.sum()),
        dropped=int((fate == _DROPPED).sum()),
        rejected=dict(Counter(rules[0] for rules in rejected.values())),
        decided=int(np.isin(batch.columns["kind"][accepted], _DECISIONS).sum()),
    )
    _book(connection, counts)
    return counts


def _reasons(broken: Mapping[str, Iterable[int]]) -> dict[int, list[str]]:
    """Gather the rules that each event broke, in the order of the rules."""
    reasons: dict[int, list[str]] = {}
    for rule, numbers in broken.items():
        for number in numbers:
            reasons.setdefault(int(number), []).append(rule)
    return reasons


def _judge(
    connection: Connection,
    batch: Batch,
    consents: NDArray[np.int64],
    reasons: dict[int, list[str]],
) -> NDArray[np.int64]:
    """Decide what becomes of each event, by the consent of this transaction.

    An event without consent is dropped even where it is broken: nothing of it is kept.
    """
    seq, subject = batch.seq, batch.columns["subject"]
    known = np.isin(subject, consents[:, 0])
    fate = np.full(len(seq), _ACCEPTED)
    fate[np.isin(seq, np.fromiter(reasons, np.int64, len(reasons)))] = _REJECTED
    for number in seq[~known].tolist():
        reasons[number] = [*reasons.get(number, ()), UNKNOWN_SUBJECT]
    fate[~known] = _REJECTED
    fate[known & ~np.isin(subject, consents[consents[:, 1] == 1, 0])] = _DROPPED
    fate[~np.isin(seq, _claim(connection, batch))] = _GONE
    return fate


def _consents(connection: Connection, batch: Batch, *, hold: bool = False) -> NDArray[np.int64]:
    """Return the subjects of a batch who are known: number, whether they consent, are counted."""
    share = " FOR SHARE" if hold and is_postgres(connection) else ""
    rows = bulk.fetch(
        connection,
        f"SELECT subject, CASE WHEN {consented_sql(Purpose.ANALYTICS)} THEN 1 ELSE 0 END,"
        " CASE WHEN counted THEN 1 ELSE 0 END FROM subjects"
        f" WHERE {bulk.among(connection, 'subject', 'subjects')} ORDER BY subject{share}",
        {"subjects": bulk.numbers(connection, np.unique(batch.columns["subject"]))},
    )
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def _hold(connection: Connection, batch: Batch, judged: NDArray[np.int64]) -> None:
    """Keep the consents as they were judged until the end, and let the sums follow them.

    Raises:
        _ConsentChanged: One is another by now.
    """
    held = judged
    if is_postgres(connection):
        held = _consents(connection, batch, hold=True)
        if not np.array_equal(held[:, :2], judged[:, :2]):
            raise _ConsentChanged
    settle(connection, held[held[:, 1] != held[:, 2], 0].tolist())


@on_ground(Ground.JUDGING)
def _claim(connection: Connection, batch: Batch) -> NDArray[np.int64]:
    """Claim the events of a partition that are still there.

    Raises:
        _EventsHeld: Another transaction holds some. They are not waited for here, where it may
            wait for what this one holds.
    """
    here = {"first": batch.partition.first, "last": batch.partition.last}
    stretch = "FROM staged WHERE seq BETWEEN :first AND :last"
    if is_postgres(connection):
        claimed = _numbers(connection, f"SELECT seq {stretch} FOR UPDATE SKIP LOCKED", here)
        missed = np.setdiff1d(batch.seq, claimed)
        if (
            missed.size
            and np.isin(missed, _numbers(connection, f"SELECT seq {stretch}", here)).any()
        ):
            raise _EventsHeld("another transaction holds events of a partition")
        return claimed
    # On SQLite a stretch that was read only ever loses rows: when none is lost, all are there.
    if bulk.fetch(connection, f"SELECT COUNT(*) {stretch}", here)[0][0] == len(batch.seq):
        return batch.seq
    return _numbers(connection, f"SELECT seq {stretch}", here)


def _numbers(
    connection: Connection, query: str, parameters: Mapping[str, Any]
) -> NDArray[np.int64]:
    return np.array(bulk.fetch(connection, query, parameters), dtype=np.int64).reshape(-1)


def _store_matches(connection: Connection, batch: Batch, accepted: NDArray[np.bool_]) -> None:
    """Fold the accepted events into their matches, and the difference into the sums."""
    if not accepted.any():
        return
    events = _events(batch, accepted)
    before = read_matches(
        connection,
        Purpose.ANALYTICS,
        bulk.among(connection, "m.match_key", "keys"),
        {"keys": bulk.numbers(connection, np.unique(events["match_key"]))},
    )
    after = merge(before, events)
    counted = np.append(before["subject"][before["counted"]], events["subject"])
    standing = take(after, np.isin(after["subject"], counted))
    add_to_sums(connection, change(take(before, before["counted"]), standing))
    write_matches(connection, take(after, after["touched"]))


def _events(batch: Batch, accepted: NDArray[np.bool_]) -> Columns:
    """Return the accepted events as ``merge`` takes them."""
    frame, texts = take(batch.columns, accepted), take(batch.texts, accepted)
    kind = frame["kind"]
    high, low = split_id(frame["event_id"].tobytes())
    columns: Columns = {
        **{name: frame[name] for name in ("match_key", "subject", "kind", "occurred_at")},
        "event_high": high,
        "event_low": low,
        "view_ms": _milliseconds(frame["view_duration_seconds"]),
        "view_complete": _whole(frame["view_complete"]),
        "match_score": frame["match_score"],
        "alternatives_count": _whole(frame["alternatives_count"]),
        "propensity": frame["propensity"],
        **texts,
        "accepted": (kind == CODES[EventKind.ACCEPTED]).astype(np.int64),
        "decision_ms": _milliseconds(frame["decision_time_seconds"]),
        "rating": _whole(frame["rating"]),
        "completed": (kind == CODES[EventKind.COMPLETED]).astype(np.int64),
        "duration_days": frame["duration_days"],
        "completion_rate": frame["completion_rate"],
    }
    return {name: columns[name] for name in EVENT_COLUMNS}


def _whole(values: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.nan_to_num(values).astype(np.int64)


def _milliseconds(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    return _whole(np.rint(seconds * 1_000))


def _book(connection: Connection, counts: Counts) -> None:
    accounts.add(
        connection,
        {
            (accounts.PROCESSED, ""): counts.processed,
            (accounts.DROPPED, CONSENT): counts.dropped,
            (accounts.DECIDED, ""): counts.decided,
            **{(accounts.REJECTED, rule): n for rule, n in counts.rejected.items()},
        },
    )
