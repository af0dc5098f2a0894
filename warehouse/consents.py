"""The consent ledger and the state of now: append-only, chained by hash, failing closed.

Every answer to the notice is one entry. An entry's hash covers its fields and the hash of the
entry before it, so that a changed, reordered or removed entry shows; the newest is noted beside
the keys, so that a cut tail shows too. The entries of a person carry a random number that
only their row in ``subjects`` knows: when that row is deleted they lead nowhere.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID, uuid4

import msgspec
from sqlalchemy import and_, distinct, func, not_, or_, select, update

from schemas.clock import micros, moment
from schemas.consents import Options
from schemas.errors import ConsentRequired, SmartMatchError
from schemas.tables import consents, erasures, subjects, versions
from warehouse import drift_days, lineage, withdrawals
from warehouse.engine import add_to, reading
from warehouse.persons import move, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from datetime import datetime

    from sqlalchemy import Connection, Engine, Row

    from warehouse.notices import Notice
    from warehouse.seals import Sealed, Seals

CHANGES, ENTRIES = "consents", "ledger"
"""Rows of ``versions``: any change of what people allow, and the number of ledger entries."""

GENESIS = bytes(32)
"""What stands for the hash before the first entry."""

PURPOSES = ("analytics", "preferences", "improvement")
"""Columns of what a person allows, in a row of ``subjects`` and in an entry."""


_HASHED = [column.name for column in consents.c if column.name not in {"entry_hash", "seal"}]


class LedgerBroken(SmartMatchError):
    """An entry of the consent ledger was changed, moved or removed."""


class NoSuchPerson(SmartMatchError):
    """Nobody of this id ever answered the notice."""


class Person(NamedTuple):
    """Somebody at the door: pseudonyms under every usable key, that of ``key_id`` first."""

    key_id: str
    candidates: tuple[bytes, ...]
    moves: bool = True
    """Whether who is known by another of them moves to the first."""


@dataclass(frozen=True)
class State:
    """What a subject allows now."""

    subject: int
    ledger_id: bytes
    options: Options
    notice_version: str
    updated_at: int
    erasing: bool


@dataclass(frozen=True)
class Entry:
    """What is written into the ledger about one answer."""

    consent_id: UUID
    options: Options
    notice: Notice
    channel: str
    address_hash: bytes | None
    recorded_at: int


@dataclass(frozen=True)
class Head:
    """The newest entry: its number and hash. Kept elsewhere it shows a cut tail."""

    seq: int
    entry_hash: bytes


def record(
    connection: Connection,
    person: Person,
    entry: Entry,
    testify: Callable[[State, bytes], None] = lambda _known, _pseudonym: None,
    seals: Seals | None = None,
) -> State:
    """Append an answer to the ledger and make it the state of now.

    The first answer of a person makes their subject, with a random number. An answer found
    under an older key moves to the newest, so that rotation keeps people linked.

    Args:
        connection: The transaction; the answer holds from its commit on.
        person: Who answered.
        entry: What they answered.
        testify: Told of what is replaced, and of the pseudonym of who it is from now on, last of
            all: when nobody is waited for any more, so that nothing but the commit can fail.
        seals: Seal the entry and the person's row; None where there are no keys.

    Raises:
        ConsentRequired: The person is being erased; nothing about them is taken any more.
    """
    # First of all, as whoever writes other counters: it keeps them out until the commit, so that
    # none holds what another waits for.
    _count_up(connection, CHANGES)
    seq = _count_up(connection, ENTRIES)
    rows = rows_of(connection, person.candidates)
    row = rows[0] if rows else None
    known = _state(row) if row else None
    if known is not None and known.erasing:
        raise ConsentRequired("an erasure of this person is under way")
    if known is not None and known.options.analytics and not entry.options.analytics:
        withdrawals.count_up(connection)
    if known is not None and known.options.improvement and not entry.options.improvement:
        learned = lineage.mark_withdrawn(connection, known.subject, moment(entry.recorded_at))
        drift_days.forget(connection, known.subject, learned)
    pseudonym, key_id = person.candidates[0], person.key_id
    if row is not None and not person.moves:
        pseudonym, key_id = row.pseudonym, row.key_id
    subject = known.subject if known else secrets.randbits(63) or 1
    ledger_id = known.ledger_id if known else secrets.token_bytes(16)
    _append(connection, seq, ledger_id, entry, seals)
    values: dict[str, Any] = {
        **msgspec.structs.asdict(entry.options),
        "pseudonym": pseudonym,
        "key_id": key_id,
        "notice_version": entry.notice.version,
        "updated_at": entry.recorded_at,
    }
    # A row that somebody changed keeps its wrong seal, so that it goes on showing.
    if seals and (row is None or seals.fits(row)):
        values["seal"] = seals.of_person(subject, ledger_id, pseudonym, key_id)
    if known:
        connection.execute(update(subjects).where(subjects.c.subject == subject).values(**values))
    else:
        connection.execute(subjects.insert().values(subject=subject, ledger_id=ledger_id, **values))
    for other in rows[1:]:
        same = Person(other.key_id, (other.pseudonym,), moves=False)
        record(connection, same, replace(entry, consent_id=uuid4()), testify, seals)
    if known is not None:
        testify(known, pseudonym)
    return State(
        subject, ledger_id, entry.options, entry.notice.version, entry.recorded_at, erasing=False
    )


def _append(
    connection: Connection, seq: int, ledger_id: bytes, entry: Entry, seals: Seals | None
) -> None:
    last = connection.execute(
        select(consents.c.entry_hash).where(consents.c.seq == seq - 1)
    ).scalar()
    row = {
        "seq": seq,
        "consent_id": entry.consent_id.bytes,
        "ledger_id": ledger_id,
        **msgspec.structs.asdict(entry.options),
        "notice_version": entry.notice.version,
        "notice_sha256": entry.notice.sha256,
        "channel": entry.channel,
        "address_hash": entry.address_hash,
        # By this clock, right or wrong: the order of entries says which answer replaces which.
        "recorded_at": entry.recorded_at,
        "previous_hash": last or GENESIS,
    }
    digest = entry_hash(row)
    seal = seals.of_entry(digest) if seals else None
    connection.execute(consents.insert().values(**row, entry_hash=digest, seal=seal))


def entry_hash(row: dict[str, Any]) -> bytes:
    """Return the SHA-256 of an entry: every column but hash and seal, in order, as JSON."""
    fields = [
        value.hex() if isinstance(value, bytes) else value
        for value in (row[name] for name in _HASHED)
    ]
    return hashlib.sha256(msgspec.json.encode(fields)).digest()


def find(connection: Connection, candidates: Collection[bytes]) -> State | None:
    """Read what a person allows now, by any of their pseudonyms; None when they are unknown.

    Of who is two subjects it is what both allow; an erasure of one is one of theirs.
    """
    states = [_state(row) for row in rows_of(connection, candidates)]
    if len(states) < 2:  # noqa: PLR2004
        return next(iter(states), None)
    options = Options(*(all(getattr(one.options, name) for one in states) for name in PURPOSES))
    return replace(states[0], options=options, erasing=any(one.erasing for one in states))


def _state(row: Row[Any]) -> State:
    options = Options(row.analytics, row.preferences, row.improvement)
    return State(
        row.subject, row.ledger_id, options, row.notice_version, row.updated_at, row.erasing
    )


def find_subject(engine: Engine, candidates: Collection[bytes]) -> int:
    """Return the subject of a person, by any of their pseudonyms.

    Raises:
        NoSuchPerson: Nobody of these pseudonyms ever answered the notice.
    """
    with reading(engine) as connection:
        state = find(connection, candidates)
    if state is None:
        raise NoSuchPerson("nobody of this id ever answered the notice")
    return state.subject


def resolve(
    connection: Connection,
    people: Collection[tuple[bytes, ...]],
    key_ids: Mapping[tuple[bytes, ...], str] | None = None,
    seals: Seals | None = None,
) -> dict[tuple[bytes, ...], int]:
    """Return the subjects of those who allow their events to be collected, by pseudonyms.

    Who is two subjects has to allow it as both.

    Args:
        connection: The transaction; one that writes where ``key_ids`` is given.
        people: Pseudonyms of each person under every usable key, in the order of a ``Person``.
        key_ids: Key of each person's first pseudonym; whoever is found under another key moves
            to it, so that rotation keeps people linked, and is sealed there. Empty: nobody moves.
        seals: What seals their rows.
    """
    wanted = {pseudonym: candidates for candidates in people for pseudonym in candidates}
    found: dict[tuple[bytes, ...], int] = {}
    refusing: set[tuple[bytes, ...]] = set()
    allows = and_(subjects.c.analytics, not_(subjects.c.erasing))
    listed = list(wanted)
    for start in range(0, len(listed), 500):
        here = subjects.c.pseudonym.in_(listed[start : start + 500])
        rows = connection.execute(select(*subjects.c["pseudonym", "subject"], allows).where(here))
        for pseudonym, subject, allowed in rows.all():
            person = wanted[pseudonym]
            if not allowed:
                refusing.add(person)
                continue
            if pseudonym == person[0] or person not in found:
                found[person] = subject
            if key_ids and (key_id := key_ids[person]) and pseudonym != person[0]:
                move(connection, subject, person[0], key_id, seals)
    return {person: subject for person, subject in found.items() if person not in refusing}


def options_at(engine: Engine, subject: int, at: datetime | None = None) -> Options | None:
    """Return what a subject allowed, by the order of answers: a clock may have been ahead for one.

    Args:
        engine: The database.
        subject: Their number.
        at: A past instant: answers recorded later are left out. None for now: all of them count.

    Returns:
        None before their first answer.
    """
    query = (
        select(*(consents.c[name] for name in PURPOSES))
        .join(subjects, subjects.c.ledger_id == consents.c.ledger_id)
        .where(subjects.c.subject == subject)
        .order_by(consents.c.seq.desc())
        .limit(1)
    )
    if at is not None:
        query = query.where(consents.c.recorded_at <= micros(at))
    with reading(engine) as connection:
        row = connection.execute(query).first()
    return Options(*row) if row else None


def head(engine: Engine) -> Head | None:
    """Return the newest entry of the ledger, or None while it is empty."""
    with reading(engine) as connection:
        row = connection.execute(
            select(consents.c.seq, consents.c.entry_hash).order_by(consents.c.seq.desc()).limit(1)
        ).first()
    return Head(*row) if row else None


def verify(engine: Engine, *kept: Head, sealed: Sealed | None = None) -> int:
    """Check every entry of the ledger, and the state of now against it.

    Args:
        engine: The database.
        kept: Heads that were noted earlier, such as in yesterday's log; their entries must
            still be there as they were.
        sealed: What has to be sealed; None where there are no keys.

    Returns:
        Number of entries, all sound.

    Raises:
        LedgerBroken: Names the first entry that is not.
    """
    with reading(engine) as connection:
        noted = {head.seq: head.entry_hash for head in kept}
        count = _verify_chain(connection, noted, sealed)
        entries = counters(connection).get(ENTRIES, 0)
        if count != entries:
            raise LedgerBroken(f"the ledger ends at entry {count} of {entries}")
        _verify_states(connection)
        if sealed is not None and not sealed.everybody_holds(connection):
            raise LedgerBroken("the row of a person is not what was written: their seal is wrong")
    return count


def _verify_states(connection: Connection) -> None:
    last = select(func.max(consents.c.seq).label("seq")).group_by(consents.c.ledger_id).subquery()
    newest = select(consents).join(last, last.c.seq == consents.c.seq).subquery()
    told = {name: name for name in (*PURPOSES, "notice_version")} | {"updated_at": "recorded_at"}
    unexplained = (
        select(subjects.c.subject)
        .outerjoin(newest, newest.c.ledger_id == subjects.c.ledger_id)
        .where(
            or_(
                newest.c.seq.is_(None),
                *(subjects.c[state] != newest.c[entry] for state, entry in told.items()),
            )
        )
    )
    asked = select(erasures.c.subject).where(erasures.c.subject.is_not(None))
    astray = select(subjects.c.subject).where(subjects.c.erasing != subjects.c.subject.in_(asked))
    unique = (func.count(distinct(subjects.c[name])) for name in ("ledger_id", "pseudonym"))
    rows, *different = connection.execute(select(func.count(), *unique)).one()
    if connection.execute(unexplained.limit(1)).first() or different != [rows, rows]:
        raise LedgerBroken("a person's state is not what their last entry says")
    if connection.execute(astray.limit(1)).first():
        raise LedgerBroken("a person's state does not fit the requests for erasure")


def _verify_chain(connection: Connection, noted: Mapping[int, bytes], sealed: Sealed | None) -> int:
    previous, count = GENESIS, 0
    rows = connection.execution_options(yield_per=5_000).execute(
        select(consents).order_by(consents.c.seq)
    )
    for row in rows.mappings():
        count += 1
        if (
            row["seq"] != count
            or row["previous_hash"] != previous
            or row["entry_hash"] != entry_hash(dict(row))
            or noted.get(count, row["entry_hash"]) != row["entry_hash"]
        ):
            raise LedgerBroken(f"entry {count} is not what was written")
        if sealed is not None and not sealed.holds(count, row["entry_hash"], row["seal"]):
            raise LedgerBroken(f"entry {count} has no right seal: it was written without the keys")
        previous = row["entry_hash"]
    if (last := max(noted, default=0)) > count:
        raise LedgerBroken(f"the ledger ends at entry {count}, but {last} was noted")
    return count


def counters(connection: Connection) -> dict[str, int]:
    """Return every version counter by name; what is not there was never changed."""
    return dict(connection.execute(select(versions.c.name, versions.c.value)).tuples().all())


def new_consent_id() -> UUID:
    """Return the id of a new answer."""
    return uuid4()


def _count_up(connection: Connection, name: str) -> int:
    connection.execute(add_to(connection, versions, ["name"]), [{"name": name, "value": 1}])
    value: int = connection.execute(
        select(versions.c.value).where(versions.c.name == name)
    ).scalar_one()
    return value
