"""Read what the model may learn from, and keep the books of what it learned from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sqlalchemy import delete, func, select, update

from schemas.clock import MICROS_PER_DAY, micros
from schemas.errors import AnotherRegistry, ConsentRequired
from schemas.purposes import Purpose
from schemas.tables import (
    consents,
    events,
    matches,
    published_weights,
    subjects,
    training_sets,
)
from warehouse import latecomers, lineage, marks, runs, weights
from warehouse.engine import reading, writing
from warehouse.history import with_history
from warehouse.lineage import consent_sum
from warehouse.proposals import select_proposals
from warehouse.purposes import consented
from warehouse.witness import BOOKS

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, Engine

    from warehouse.leases import Lease
    from warehouse.witness import Witness


@dataclass(frozen=True)
class TrainingSet:
    """Proposals to learn from, and what identifies them.

    Attributes:
        frame: One row a proposal; columns as in ``docs/data-dictionary.md``, "Proposals frame".
        digest: SHA-256 of the rows, the same for the same rows whatever their subjects' numbers.
        consent_digest: Sum of the ledger entries that allow the use of these rows
            (``lineage.consent_sum``).
        as_of: Moment at which consent was read.
        since_day: First day that was read, days since 1970.
        consent_seq: Last entry of the ledger in the snapshot.
        event_seq: Last event in the snapshot.
    """

    frame: pd.DataFrame
    digest: str
    consent_digest: str
    as_of: datetime
    since_day: int = 0
    consent_seq: int = 0
    event_seq: int = 0

    @property
    def decided(self) -> int:
        """Number of rows with a decision."""
        return int(self.frame["accepted"].notna().sum())


def read_training(
    engine: Engine, *, since_day: int, as_of: datetime, most: int | None = None
) -> TrainingSet:
    """Read the proposals of subjects who allow improvement at this moment.

    Args:
        engine: The database.
        since_day: First day of proposals, days since 1970.
        as_of: The moment of the read.
        most: Rows beyond which the oldest days are left out; the newest is always read.

    Returns:
        The rows in an order that does not depend on subjects' numbers, and their digests.

    Raises:
        ConsentRequired: A row's person has no entry in the ledger that allows it.
    """
    # A clock that runs ahead must not let a row in before its time.
    in_time = matches.c.proposed_at <= micros(as_of)
    with reading(engine) as connection:
        if most is not None:
            since_day = _newest_days(connection, since_day, most, in_time)
        proposed = select_proposals(
            connection, Purpose.IMPROVEMENT, in_time, matches.c.day >= since_day
        )
        frame = _in_order(with_history(connection, proposed, as_of=as_of))
        consent_digest = _consent_digest(connection, set(frame["subject"].tolist()))
        consent_seq, event_seq = (
            connection.execute(select(func.coalesce(func.max(column), 0))).scalar_one()
            for column in (consents.c.seq, events.c.seq)
        )
    return TrainingSet(
        frame, digest_of(frame), consent_digest, as_of, since_day, consent_seq, event_seq
    )


def _newest_days(
    connection: Connection, since_day: int, most: int, in_time: ColumnElement[bool]
) -> int:
    """Return the first of the newest days that have no more rows in all than may be read.

    Days are whole, for a day's proposals are judged beside each other.
    """
    days = connection.execute(
        select(matches.c.day, func.count())
        .join(subjects, subjects.c.subject == matches.c.subject)
        .where(consented(Purpose.IMPROVEMENT), in_time, matches.c.day >= since_day)
        .group_by(matches.c.day)
        .order_by(matches.c.day.desc())
    ).all()
    left, first = most, None
    for day, rows in days:
        left -= rows
        if left < 0 and first is not None:
            return int(first)
        first = day
    return since_day


def digest_of(frame: pd.DataFrame) -> str:
    """Return the SHA-256 of a training frame: of its figures, not of its subjects' numbers.

    Matches are told apart by their pseudonym; the two parties of one by their figures.
    """
    digest = hashlib.sha256("\0".join(_figures(frame)).encode())
    digest.update(np.sort(_hashes(frame).to_numpy()).tobytes())
    return digest.hexdigest()


def _figures(frame: pd.DataFrame) -> list[str]:
    return sorted(set(frame.columns) - {"subject"})


def _hashes(frame: pd.DataFrame) -> pd.Series[Any]:
    """Hash each row's figures, 64 bits."""
    if frame.empty:
        return pd.Series([], index=frame.index, dtype="uint64")
    return pd.util.hash_pandas_object(frame[_figures(frame)], index=False)


def expect_version(engine: Engine, lease: Lease) -> None:
    """Note that a version is about to be registered, of which there are no books yet.

    Raises:
        LeaseLost: Another retrain has taken over.
    """
    with writing(engine) as connection:
        lease.check(connection)
        marks.set_unbooked(connection, unbooked=True)


def record_training(
    engine: Engine,
    lease: Lease,
    version: str,
    training: TrainingSet,
    *,
    outcome: str,
    reason: str,
    now: datetime,
    witness: Witness | None = None,
) -> int:
    """Keep what a registered version learned from, before anybody uses it.

    Args:
        engine: The database.
        lease: Of this retrain.
        version: The registry's version.
        training: What it learned from.
        outcome: ``promoted`` or ``refused``.
        reason: The gate's sentence.
        now: The time, aware.
        witness: Learns of the books before they are committed, so that a database that is set
            back knows that it lacks them; None on a machine without keys.

    Returns:
        How many of those it learned from have left since their rows were read. With one of them
        it is marked from the beginning, and must not come into use.

    Raises:
        LeaseLost: Another retrain has taken over; nothing was written.
        AnotherRegistry: The books know this version already, and not from this retrain.
    """
    with writing(engine) as connection:
        latecomers.wait_for_moving(connection)
        lineage.lock_books(connection)
        lease.check(connection)
        columns = (training_sets.c.digest, training_sets.c.as_of)
        known = connection.execute(
            select(*columns).where(training_sets.c.version == version)
        ).first()
        taught = set(training.frame["subject"].tolist())
        if known == (training.digest, micros(training.as_of)):
            # Kept before by a commit of which nobody heard: anew, with whoever has left since.
            connection.execute(delete(training_sets).where(training_sets.c.version == version))
            witness = None
        elif known is not None:
            raise AnotherRegistry(
                f"version {version} is in the books already: the registry was emptied or changed "
                "since; put back the one that belongs to this database"
            )
        connection.execute(
            training_sets.insert().values(
                version=version,
                rows=len(training.frame),
                subjects=int(training.frame["subject"].nunique()),
                digest=training.digest,
                consent_digest=training.consent_digest,
                as_of=micros(training.as_of),
                outcome=outcome,
                reason=reason,
                since=training.since_day * MICROS_PER_DAY,
                consent_seq=training.consent_seq,
                event_seq=training.event_seq,
            )
        )
        if witness is not None:
            marked = witness.append(BOOKS, {"version": version}, micros(now)).marks
            marks.follow(connection, marks.passable(connection, witness, marked))
        left = lineage.note_left(connection, version, taught, now)
        latecomers.cover(connection, version, taught)
        return left


def condemn(
    engine: Engine, lease: Lease, registered: Collection[str], *, before: int
) -> tuple[list[str], bool]:
    """Choose the versions whose artefacts have no ground any more, and delete their weights.

    None of them can come into use again, because only what is published can. So whoever deletes
    them takes nothing from anybody, however late.

    Args:
        engine: The database.
        lease: Of this retrain.
        registered: Versions that learned from people, as the registry listed them before.
        before: Those that learned before this moment have served their time, microseconds
            since 1970.

    Returns:
        Which ones, and whether there are books of every version that is left.

    Raises:
        LeaseLost: Another retrain has taken over; nothing was written.
    """
    with writing(engine) as connection:
        lease.extend(connection)
        in_use = set(weights.published(connection)[:1])
        unbooked = lineage.unbooked(connection, registered)
        named = lineage.superseded(connection, in_use=in_use, before=before)
        named += sorted(unbooked - in_use)
        connection.execute(delete(published_weights).where(published_weights.c.version.in_(named)))
    return named, not unbooked & in_use


def note_disposal(
    engine: Engine, lease: Lease, versions: Sequence[str], now: datetime, *, all_booked: bool
) -> None:
    """Note that the artefacts of versions were deleted for good.

    Args:
        engine: The database.
        lease: Of this retrain.
        versions: Which ones.
        now: The time, aware.
        all_booked: Whether there are books of every version that is left in the registry.

    Raises:
        LeaseLost: Another retrain has taken over, and notes it itself.
    """
    with writing(engine) as connection:
        lease.check(connection)
        connection.execute(
            update(training_sets)
            .where(training_sets.c.version.in_(versions))
            .values(deleted_at=micros(now))
        )
        marks.set_unbooked(connection, unbooked=not all_booked)


def answer_requests(engine: Engine, *, asked_until: datetime, now: datetime) -> int:
    """Note that a retrain answered what was asked for before it began.

    Whoever leaves while it is at work may find their request made already, by somebody before
    them, and that one is answered here. So it is asked for again where the version in use has
    learned from somebody who left.

    Args:
        engine: The database.
        asked_until: When the retrain began to read.
        now: The time, aware.

    Returns:
        How many requests were waiting.
    """
    with writing(engine) as connection:
        lineage.lock_books(connection)
        answered = runs.answer_in(connection, lineage.RETRAIN, asked_until=asked_until, now=now)
        in_use = weights.published(connection)[:1]
        left = select(training_sets.c.erased).where(
            training_sets.c.version.in_(in_use), training_sets.c.marked_at.is_not(None)
        )
        for erased in connection.execute(left).scalars():
            why = lineage.ERASED if erased else lineage.WITHDRAWN
            runs.queue_in(connection, lineage.RETRAIN, now, why)
        return answered


def publish_weights(
    engine: Engine, version: str, document: str, *, at: datetime, lease: Lease | None = None
) -> bool:
    """Publish a version's weights, JSON, for the API to hand back: by this it comes into use.

    Returns:
        False, and nothing is published, where somebody whom it learned from has left.

    Raises:
        LeaseLost: Another retrain has taken over; nothing was written.
    """
    with writing(engine) as connection:
        lineage.lock_books(connection)  # whoever is leaving is waited for
        if lease is not None:
            lease.extend(connection)
        if version in lineage.marked(connection):
            return False
        connection.execute(
            published_weights.insert().values(
                version=version, published_at=micros(at), document=document
            )
        )
    return True


def _in_order(frame: pd.DataFrame) -> pd.DataFrame:
    """Sort by time and match; parties that were proposed to at once by what is known of each.

    A subject's number must not tell: it is random, and sums of floats depend on their order.
    """
    own = _hashes(frame)
    whole = own.groupby(frame["subject"]).transform("sum")
    order = np.lexsort((whole, own, frame["match_key"], frame["occurred_at"]))
    return frame.iloc[order].reset_index(drop=True)


def _consent_digest(connection: Connection, of_subjects: set[int]) -> str:
    """Sum the newest ledger entry of each subject, all of which have to allow improvement."""
    newest = (
        select(subjects.c.subject, func.max(consents.c.seq).label("seq"))
        .join(consents, consents.c.ledger_id == subjects.c.ledger_id)
        .where(consented(Purpose.IMPROVEMENT))
        .group_by(subjects.c.subject)
        .subquery()
    )
    entries = connection.execute(
        select(newest.c.subject, consents.c.entry_hash)
        .join(consents, consents.c.seq == newest.c.seq)
        .where(consents.c.improvement)
    )
    allowed = [entry_hash for subject, entry_hash in entries if subject in of_subjects]
    if len(allowed) != len(of_subjects):
        raise ConsentRequired("the ledger does not allow the use of every row")
    return consent_sum(allowed)
