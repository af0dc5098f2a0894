"""Which versions of the model learned from whom, told from the ledger and never written down.

A version learned from whoever had a proposal in the stretch that it read and whose newest entry
in the ledger, up to the last entry of that snapshot, allowed improvement. Both stay readable
without any list of people: the ledger only grows, and a version keeps where its snapshot ended.
A row of an event that waited in staging while a later one was already processed counts as
learned from: a version is rather named once too often than missed.

Whoever leaves while a version is being learned finds no books of it yet. So the books are what
looks for them (``note_left``), and nothing comes into use without books.

That everybody had consented is shown by a sum: SHA-256 of each person's entry, added modulo
2^256. A person who is erased is taken out of it, so that it can be recomputed afterwards.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import exists, func, select, text, update

from schemas.clock import micros
from schemas.errors import NotRegistered
from schemas.events import EventKind
from schemas.purposes import Purpose
from schemas.tables import consents, events, matches, purges, subjects, training_sets
from schemas.tables import runs as requests
from warehouse import bulk, marks, runs
from warehouse.by_subject import of_subject
from warehouse.engine import is_postgres, reading
from warehouse.purposes import Ground, consented_sql, on_ground

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, Engine, Row, Select

RETRAIN = "retrain_model"
WITHDRAWN, ERASED = "after a withdrawal", "after an erasure"
"""Why a retrain is asked for when somebody leaves from whom a version has learned."""
UNBOOKED = (
    "The model registry may hold versions of which this database keeps no books, since a backup was"
    " put back or a training was cut short. Each may have learned from this person; the next"
    " retrain takes them out of use and deletes them."
)
_ANSWERS_BEHIND = 1_000
"""How many later answers are asked whether the clock was right."""

_MODULUS = 1 << 256
_BOOKS_LOCK = 0x5341_4D34
"""PostgreSQL's advisory lock: shared by whoever leaves, alone for whoever keeps the books."""


@dataclass(frozen=True)
class Standing:
    """A version and the consent of those it learned from.

    Attributes:
        version: The registry's version.
        rows: Proposals that it learned from.
        subjects: People that it learned from, or that the ledger named when its books were kept.
        withdrawn: Answers since by which one of them withdrew improvement.
        erased: How many of them were erased since.
        held: How many of them the database still holds, all of whom had consented.
        all_consented: Whether the entries of those are, to the bit, the ones under which the
            version learned: everybody had consented, and nobody is missing. None when rows of
            its stretch have expired, so that it can no longer be recomputed.
        marked_at: When the first of them left, microseconds since 1970; None for nobody.
        deleted_at: When its artefacts were deleted for good; None while they exist.
    """

    version: str
    rows: int
    subjects: int
    withdrawn: int
    erased: int
    held: int
    all_consented: bool | None
    marked_at: int | None
    deleted_at: int | None


def consent_sum(entries: Iterable[bytes]) -> str:
    """Add the SHA-256 of ledger entries, given by their hashes, modulo 2^256; 64 digits."""
    total = sum(int.from_bytes(hashlib.sha256(entry).digest(), "big") for entry in entries)
    return f"{total % _MODULUS:064x}"


def versions_of(connection: Connection, subject: int) -> list[str]:
    """List the versions that learned from a subject, oldest first."""
    return [version for version, _ in _learned(connection, subject)]


def unbooked_note(connection: Connection) -> str | None:
    """Say that there may be versions of which nobody knows who taught them, if there may be."""
    return UNBOOKED if marks.may_be_unbooked(connection) else None


def mark_withdrawn(connection: Connection, subject: int, now: datetime) -> list[str]:
    """Mark the versions that learned from a subject who withdraws, and ask for a retrain.

    Call it before the withdrawal changes anything.
    """
    _lock_books(connection, shared=True)
    named = versions_of(connection, subject)
    if named:
        _mark(connection, named, now, withdrawn=training_sets.c.withdrawn + 1)
    if named or marks.may_be_unbooked(connection):
        runs.queue_in(connection, RETRAIN, now, WITHDRAWN)
    return named


def mark_erased(connection: Connection, subject: int, now: datetime) -> list[str]:
    """Mark the versions that learned from a subject, and take them out of the consent sums.

    Call it before anything of the subject is deleted.
    """
    _lock_books(connection, shared=True)
    learned = _learned(connection, subject)
    for version, entry_hash in learned:
        kept = connection.execute(
            select(training_sets.c.consent_digest).where(training_sets.c.version == version)
        ).scalar_one()
        without = (int(kept, 16) - int(consent_sum([entry_hash]), 16)) % _MODULUS
        _mark(
            connection,
            [version],
            now,
            erased=training_sets.c.erased + 1,
            consent_digest=f"{without:064x}",
        )
    return [version for version, _ in learned]


def note_left(connection: Connection, version: str, taught: Collection[int], now: datetime) -> int:
    """Mark a version whose books were just kept, if somebody left since it read their rows.

    Somebody who is erased later in this request's course is counted then, as from any version.

    Args:
        connection: The transaction that keeps the books; it took ``lock_books`` first.
        version: The version.
        taught: Numbers of the subjects that it learned from.
        now: The time, aware.

    Returns:
        How many have left.
    """
    rows = bulk.fetch(
        connection,
        f"SELECT subject, CASE WHEN {consented_sql(Purpose.IMPROVEMENT)} THEN 1 ELSE 0 END,"
        " CASE WHEN erasing THEN 1 ELSE 0 END"
        f" FROM subjects WHERE {bulk.among(connection, 'subject', 'subjects')}",
        {"subjects": bulk.numbers(connection, taught)},
    )
    allowing: int = sum(allows for _, allows, _ in rows)
    left = len(taught) - allowing
    if left:
        erased, erasing = len(taught) - len(rows), sum(erasing for _, _, erasing in rows)
        values: dict[str, object] = {"withdrawn": left - erased - erasing, "erased": erased}
        if erased:
            held = {subject for subject, _, _ in rows}
            named = named_by(connection, version)
            values["consent_digest"] = consent_sum(entry for who, entry in named if who in held)
        _mark(connection, [version], now, **values)
        runs.queue_in(connection, RETRAIN, now, ERASED if erased + erasing else WITHDRAWN)
    return left


def lock_books(connection: Connection) -> None:
    """Wait for whoever is leaving, and keep others from it until the end of the transaction."""
    _lock_books(connection, shared=False)


def _lock_books(connection: Connection, *, shared: bool) -> None:
    # On SQLite there is one writer anyway.
    if is_postgres(connection):
        kind = "_shared" if shared else ""
        connection.execute(text(f"SELECT pg_advisory_xact_lock{kind}({_BOOKS_LOCK})"))


def named_by(
    connection: Connection, version: str, *where: ColumnElement[bool]
) -> list[tuple[int, bytes]]:
    """Return those whom the ledger names for a version, with the entries that allowed it."""
    row = connection.execute(select(training_sets).where(training_sets.c.version == version)).one()
    return list(connection.execute(_entries(connection, row).where(*where)).tuples())


def standing(engine: Engine, version: str) -> Standing:
    """Answer whether everybody whom a version learned from had consented to it at that time.

    Raises:
        NotRegistered: Nothing is known of this version; the first one learned from nobody.
    """
    with reading(engine) as connection:
        row = connection.execute(
            select(training_sets).where(training_sets.c.version == version)
        ).one_or_none()
        if row is None:
            raise NotRegistered("version: must be one that learned from people")
        return _standing(connection, row)


def standings(engine: Engine) -> list[Standing]:
    """Answer it for every version, oldest first."""
    with reading(engine) as connection:
        rows = connection.execute(select(training_sets).order_by(training_sets.c.as_of)).all()
        return [_standing(connection, row) for row in rows]


def superseded(connection: Connection, *, in_use: Collection[str], before: int) -> list[str]:
    """List versions whose artefacts have no ground any more.

    Args:
        connection: The database.
        in_use: The version in use, which is never among them.
        before: Unmarked versions that learned before this moment have served their time,
            microseconds since 1970; one from which somebody has left goes at once.
    """
    return list(
        connection.execute(
            select(training_sets.c.version)
            .where(
                training_sets.c.version.not_in(in_use),
                training_sets.c.deleted_at.is_(None),
                training_sets.c.marked_at.is_not(None) | (training_sets.c.as_of < before),
            )
            .order_by(training_sets.c.as_of)
        ).scalars()
    )


def owed_since(engine: Engine) -> int | None:
    """Return when the oldest request was made that somebody left behind and no retrain answered.

    Returns:
        Microseconds since 1970; None where no retrain is owed.
    """
    with reading(engine) as connection:
        return connection.execute(
            select(func.min(requests.c.requested_at)).where(
                requests.c.flow == RETRAIN,
                requests.c.state == runs.QUEUED,
                requests.c.detail.in_((WITHDRAWN, ERASED)),
            )
        ).scalar()


def marked(connection: Connection) -> set[str]:
    """Return the versions that learned from somebody who has left since."""
    return set(
        connection.execute(
            select(training_sets.c.version).where(training_sets.c.marked_at.is_not(None))
        ).scalars()
    )


def unbooked(connection: Connection, versions: Iterable[str]) -> set[str]:
    """Return those of some versions of which no books were kept: nobody knows who taught them."""
    return set(versions) - set(connection.execute(select(training_sets.c.version)).scalars())


def _mark(connection: Connection, named: list[str], now: datetime, **values: object) -> None:
    at = func.coalesce(training_sets.c.marked_at, micros(now))
    connection.execute(
        update(training_sets)
        .where(training_sets.c.version.in_(named))
        .values(marked_at=at, **values)
    )


@on_ground(Ground.ACCOUNTABILITY)
def _learned(connection: Connection, subject: int) -> list[tuple[str, bytes]]:
    """Return the versions that learned from a subject, with the entry that allowed it."""
    ledger_id = select(subjects.c.ledger_id).where(subjects.c.subject == subject).scalar_subquery()
    newest = (
        select(func.max(consents.c.seq))
        .where(consents.c.ledger_id == ledger_id, consents.c.seq <= training_sets.c.consent_seq)
        .correlate(training_sets)
        .scalar_subquery()
    )
    proposed = exists(
        select(events.c.seq).where(
            of_subject(connection, events, subject),
            events.c.kind == EventKind.PROPOSED,
            events.c.seq <= training_sets.c.event_seq,
            events.c.occurred_at <= training_sets.c.as_of,
            events.c.occurred_at >= training_sets.c.since,
        )
    )
    purged = purged_since(connection, subject)
    read = proposed if purged is None else proposed | (training_sets.c.as_of >= purged)
    rows = connection.execute(
        select(training_sets.c.version, consents.c.entry_hash)
        .select_from(training_sets)
        .join(consents, consents.c.seq == newest)
        .where(consents.c.improvement, read)
        .order_by(training_sets.c.as_of)
    )
    return [(version, entry_hash) for version, entry_hash in rows]


@on_ground(Ground.ACCOUNTABILITY)
def purged_since(connection: Connection, subject: int) -> int | None:
    """Return the first answer of a subject of whom a purge may have deleted rows, else None.

    A model that learned from a purged row is still named. A clock that was ahead for the first
    answer is found out by those behind it, which were recorded later by the order of the ledger.
    """
    first = (
        select(func.min(consents.c.seq))
        .join(subjects, subjects.c.ledger_id == consents.c.ledger_id)
        .where(subjects.c.subject == subject)
        .scalar_subquery()
    )
    answered = connection.execute(
        select(func.min(consents.c.recorded_at)).where(
            consents.c.seq.between(first, first + _ANSWERS_BEHIND)
        )
    ).scalar()
    purged = connection.execute(
        select(func.max(purges.c.cutoff)).where(purges.c.data_class == matches.name)
    ).scalar()
    return answered if answered is not None and purged is not None and answered < purged else None


@on_ground(Ground.ACCOUNTABILITY)
def _standing(connection: Connection, row: Row[tuple[object, ...]]) -> Standing:
    learned = _entries(connection, row)
    held = [entry for _, entry in connection.execute(learned)]
    purged = connection.execute(
        select(func.max(purges.c.cutoff)).where(purges.c.data_class == matches.name)
    ).scalar()
    expired = purged is not None and purged > row.since
    same = consent_sum(held) == row.consent_digest and len(held) == row.subjects - row.erased
    return Standing(
        version=row.version,
        rows=row.rows,
        subjects=row.subjects,
        withdrawn=row.withdrawn,
        erased=row.erased,
        held=len(held),
        all_consented=None if expired and not same else same,
        marked_at=row.marked_at,
        deleted_at=row.deleted_at,
    )


@on_ground(Ground.ACCOUNTABILITY)
def _entries(connection: Connection, version: Row[tuple[object, ...]]) -> Select[tuple[int, bytes]]:
    """Select the entries under which a version learned, of those whom the database holds.

    Person by person and not row by row: their proposals are looked for until the first.
    """
    newest = (
        select(consents.c.ledger_id, func.max(consents.c.seq).label("seq"))
        .where(consents.c.seq <= version.consent_seq)
        .group_by(consents.c.ledger_id)
        .subquery()
    )
    proposed = exists(
        select(events.c.seq).where(
            of_subject(connection, events, subjects.c.subject),
            events.c.kind == EventKind.PROPOSED,
            events.c.seq <= version.event_seq,
            events.c.occurred_at <= version.as_of,
            events.c.occurred_at >= version.since,
        )
    )
    return (
        select(subjects.c.subject, consents.c.entry_hash)
        .select_from(consents)
        .join(newest, newest.c.seq == consents.c.seq)
        .join(subjects, subjects.c.ledger_id == consents.c.ledger_id)
        .where(consents.c.improvement, proposed)
    )
