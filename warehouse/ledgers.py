"""Hold the consent ledger, the witness, reports of erasures and noisy releases together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from schemas.tables import consents as ledger
from schemas.tables import subjects
from warehouse import consents, guards, marks, releases, reports
from warehouse.consents import LedgerBroken
from warehouse.engine import is_postgres, reading, writing
from warehouse.newest_head import NewestHead
from warehouse.states import check_states
from warehouse.tombstones import noted_heads
from warehouse.witness import RESTORED, Witness, WitnessBroken

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection, Engine


@dataclass(frozen=True)
class Checked:
    """What was found whole.

    Attributes:
        entries: Entries of the consent ledger.
        sealed_from: The entry from which on every one has its seal, as everybody's row has; None
            where that was never demanded.
        heads: Heads noted outside the database that it holds.
        testimonies: Entries of the witness.
        reports: Reports of erasures in the database that are the signed ones.
        reports_put_back: Of these, how many the database did not hold any more.
        releases: Noisy releases that are those that were given.
        releases_put_back: Of these, how many the database did not hold any more.
        unguarded: That the database does not refuse every change, for a person; None where it does.
        restores: How often somebody said that a backup was put back.
    """

    entries: int
    sealed_from: int | None
    heads: int
    testimonies: int
    reports: int
    reports_put_back: int
    releases: int
    releases_put_back: int
    unguarded: str | None
    restores: int


def verify_ledgers(engine: Engine, directory: Path) -> Checked:
    """Check every chain and signature, and each against the others.

    Args:
        engine: The database.
        directory: Where the keys lie.

    Raises:
        LedgerBroken: The consent ledger or a person's row was changed, or written without the
            keys, or the ledger is shorter than was noted.
        WitnessBroken: The witness was changed, is shorter than the database knows, or does not
            know a report or a noisy release as the database holds it.
    """
    witness = Witness(directory)
    before = witness.verify()
    with writing(engine) as connection:
        releases_put_back = releases.agree(connection, witness)
        reports_put_back = reports.put_back(connection, before)
    heads = noted_heads(directory, before)
    sealed = NewestHead(directory).sealed()
    entries = consents.verify(engine, *heads, sealed=sealed)
    under_way = reports.under_way(directory)
    with reading(engine) as connection:
        _check_indexes(connection)
        followed = marks.followed(connection)
        # Read again: whoever leaves meanwhile is witnessed before this snapshot can show it.
        testimonies = witness.verify(before)
        if (testimonies[-1].marks if testimonies else 0) < followed:
            raise WitnessBroken("the witness is shorter than what the database has followed")
        check_states(connection, witness, testimonies, followed)
        given = releases.check(connection, before)
        proven = reports.check(connection, before, testimonies, under_way)
        unguarded = guards.note(connection)
    return Checked(
        entries=entries,
        sealed_from=sealed.since,
        heads=len(heads),
        testimonies=len(testimonies),
        reports=proven,
        reports_put_back=reports_put_back,
        releases=given,
        releases_put_back=releases_put_back,
        unguarded=unguarded,
        restores=sum(entry.kind == RESTORED for entry in testimonies),
    )


def _check_indexes(connection: Connection) -> None:
    """Check that an index leads to every row: who is not found can neither withdraw nor be erased.

    On SQLite, whose file anybody may hold who writes the database; PostgreSQL's is its server's.
    """
    if is_postgres(connection):
        return
    for table in (ledger, subjects):
        found = connection.exec_driver_sql(f"PRAGMA integrity_check({table.name})").scalars().all()
        if found != ["ok"]:
            raise LedgerBroken(f"an index of {table.name} does not lead to every row, or to others")
