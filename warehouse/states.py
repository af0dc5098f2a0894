"""Hold what each person allows now against what the witness knows of who withdrew and who left.

The ledger says what was answered under a random number, and only a row of ``subjects`` says whose
number it is. So a writer of the database could have two rows trade their numbers. The witness
knows each withdrawal by the subject and the pseudonym: the row of who withdrew must lead to that
very entry, or allow no more than it left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import and_, distinct, func, select

from schemas.tables import consents, subjects
from warehouse.consents import PURPOSES, LedgerBroken
from warehouse.witness import RESTORED, TOMBSTONE, WITHDRAWAL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import Connection, Row

    from warehouse.witness import Testimony, Witness

_CHUNK = 500


class _Known(NamedTuple):
    """What the witness knows: the last withdrawal of each subject, by its mark."""

    last: dict[str, Testimony]
    pseudonyms: dict[str, str]
    erased: frozenset[str]
    restores: tuple[_Restore, ...]

    @property
    def restored(self) -> int:
        """Number of the testimony of the last restore, 0 where there was none."""
        return max((one.testimony for one in self.restores), default=0)


class _Restore(NamedTuple):
    """A restore that was owned up to: its testimony, and the entry that the ledger ended at."""

    testimony: int
    head: int


def check_states(
    connection: Connection, witness: Witness, testimonies: Sequence[Testimony], followed: int
) -> None:
    """Check that nobody's withdrawal is hidden, and that nobody is missing.

    Args:
        connection: A transaction, after ``followed`` was read.
        witness: What marks subjects and pseudonyms.
        testimonies: Its entries, whole.
        followed: The last mark that the database follows; later ones are being carried out.

    Raises:
        LedgerBroken: Somebody's row is gone, or allows what they withdrew last.
    """
    known = _known(testimonies, followed)
    _check_number(connection, known)
    if not known.last:
        return
    rows = connection.execution_options(yield_per=5_000).execute(
        select(*(subjects.c[name] for name in ("subject", "pseudonym", "ledger_id", *PURPOSES)))
    )
    seen: set[str] = set()
    widened: list[tuple[bytes, Testimony]] = []
    for row in rows:
        mark = witness.of_subject(row.subject)
        if known.pseudonyms.get(witness.of_pseudonym(row.pseudonym), mark) != mark:
            raise LedgerBroken("the row of somebody who withdrew is another person's now")
        withdrawal = known.last.get(mark)
        if withdrawal is not None:
            seen.add(mark)
            if not _within(row, withdrawal):
                widened.append((row.ledger_id, withdrawal))
    gone = known.last.keys() - seen
    if any(known.last[mark].seq > known.restored for mark in gone):
        raise LedgerBroken("the row of somebody who withdrew is gone")
    _check_widened(connection, widened, known.restores)


def _known(testimonies: Sequence[Testimony], followed: int) -> _Known:
    erased = frozenset(one.body["subject"] for one in testimonies if one.kind == TOMBSTONE)
    restores = tuple(
        _Restore(one.seq, one.body["seq"]) for one in testimonies if one.kind == RESTORED
    )
    restored = max((one.testimony for one in restores), default=0)
    last = {
        one.body["subject"]: one
        for one in testimonies
        if one.kind == WITHDRAWAL and one.marks <= followed and one.body["subject"] not in erased
    }
    pseudonyms = {
        one.body["pseudonym"]: mark
        for mark, one in last.items()
        if one.seq > restored and "pseudonym" in one.body
    }
    return _Known(last, pseudonyms, erased, restores)


def _check_number(connection: Connection, known: _Known) -> None:
    answered = select(func.count(distinct(consents.c.ledger_id))).scalar_subquery()
    left = select(func.count()).select_from(subjects).scalar_subquery()
    missing = connection.execute(select(answered - left)).scalar_one()
    if missing > len(known.erased):
        raise LedgerBroken(
            f"{missing} people of the ledger are gone, and {len(known.erased)} were erased"
        )


def _check_widened(
    connection: Connection,
    widened: Iterable[tuple[bytes, Testimony]],
    restores: Sequence[_Restore],
) -> None:
    """Demand the withdrawal in the ledger of who allows again what they withdrew last."""
    wanted = dict(widened)
    for entry in _entries(connection, list(wanted)):
        withdrawal = wanted.get(entry.ledger_id)
        if withdrawal is not None and _carries_out(entry, withdrawal, restores):
            del wanted[entry.ledger_id]
    if wanted:
        raise LedgerBroken("somebody's state allows what they withdrew last")


def _entries(connection: Connection, ledgers: Sequence[bytes]) -> Iterator[Row[Any]]:
    before = consents.alias()
    query = select(
        *(consents.c[name] for name in ("seq", "ledger_id", "recorded_at", "channel", *PURPOSES)),
        before.c.recorded_at.label("before"),
    ).select_from(consents.outerjoin(before, and_(before.c.seq == consents.c.seq - 1)))
    for start in range(0, len(ledgers), _CHUNK):
        chunk = ledgers[start : start + _CHUNK]
        yield from connection.execute(query.where(consents.c.ledger_id.in_(chunk)))


def _carries_out(entry: Row[Any], withdrawal: Testimony, restores: Iterable[_Restore]) -> bool:
    """Tell whether an entry is a withdrawal, or repeats it, or was answered after a restore."""
    if any(one.head < entry.seq for one in restores if one.testimony > withdrawal.seq):
        return True  # its own entry may be lost with the rest
    if not _within(entry, withdrawal) or entry.recorded_at < withdrawal.at:
        return False
    # Where a clock was set back, entries of earlier versions have the time of the one before.
    return entry.channel == "restore" or entry.recorded_at in {withdrawal.at, entry.before}


def _within(row: Row[Any], withdrawal: Testimony) -> bool:
    allowed = withdrawal.body["options"]
    return all(allowed[name] or not getattr(row, name) for name in PURPOSES)
