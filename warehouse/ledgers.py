"""Hold the consent ledger, the witness, reports of erasures and noisy releases together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import select

from schemas.tables import erasures
from warehouse import consents, marks, releases
from warehouse.engine import reading, writing
from warehouse.erasure_requests import DONE
from warehouse.proof import report_digest
from warehouse.states import check_states
from warehouse.tombstones import noted_heads
from warehouse.witness import REPORT, RESTORED, Witness, WitnessBroken

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine


@dataclass(frozen=True)
class Checked:
    """What was found whole.

    Attributes:
        entries: Entries of the consent ledger.
        heads: Heads noted outside the database that it holds.
        testimonies: Entries of the witness.
        reports: Reports of erasures in the database that are the signed ones.
        releases: Noisy releases that are those that were given.
        releases_put_back: Of these, how many the database did not hold any more.
        restores: How often somebody said that a backup was put back.
    """

    entries: int
    heads: int
    testimonies: int
    reports: int
    releases: int
    releases_put_back: int
    restores: int


def verify_ledgers(engine: Engine, directory: Path) -> Checked:
    """Check every chain and signature, and each against the others.

    Args:
        engine: The database.
        directory: Where the keys lie.

    Raises:
        LedgerBroken: The consent ledger was changed, or is shorter than was noted.
        WitnessBroken: The witness was changed, is shorter than the database knows, or does not
            know a report or a noisy release as the database holds it.
    """
    witness = Witness(directory)
    testimonies = witness.verify()
    with writing(engine) as connection:
        put_back = releases.agree(connection, witness)
    heads = noted_heads(directory, testimonies)
    entries = consents.verify(engine, *heads)
    signed = {entry.body["sha256"] for entry in testimonies if entry.kind == REPORT}
    with reading(engine) as connection:
        followed = marks.followed(connection)
        if (testimonies[-1].marks if testimonies else 0) < followed:
            raise WitnessBroken("the witness is shorter than what the database has followed")
        check_states(connection, witness, testimonies, followed)
        given = releases.check(connection, testimonies)
        reports = connection.execute(
            select(erasures.c.report).where(erasures.c.state == DONE)
        ).scalars()
        decoded = [msgspec.json.decode(text, type=dict[str, Any]) for text in reports if text]
    proven = [report for report in decoded if "signed" in report]
    if any(report_digest(report) not in signed for report in proven):
        raise WitnessBroken("the report of an erasure is not the one that was signed")
    restores = sum(entry.kind == RESTORED for entry in testimonies)
    return Checked(entries, len(heads), len(testimonies), len(proven), given, put_back, restores)
