"""Hold the consent ledger, the witness and the reports of erasures against each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import select

from schemas.tables import erasures
from warehouse import consents, marks
from warehouse.engine import reading
from warehouse.erasure_requests import DONE
from warehouse.proof import report_digest
from warehouse.tombstones import noted_heads
from warehouse.witness import REPORT, Witness, WitnessBroken

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
    """

    entries: int
    heads: int
    testimonies: int
    reports: int


def verify_ledgers(engine: Engine, directory: Path) -> Checked:
    """Check every chain and signature, and each against the others.

    Args:
        engine: The database.
        directory: Where the keys lie.

    Raises:
        LedgerBroken: The consent ledger was changed, or is shorter than was noted.
        WitnessBroken: The witness was changed, is shorter than the database knows, or does not
            know a report that the database holds.
    """
    witness = Witness(directory)
    testimonies = witness.verify()
    heads = noted_heads(witness)
    entries = consents.verify(engine, *heads)
    signed = {entry.body["sha256"] for entry in testimonies if entry.kind == REPORT}
    with reading(engine) as connection:
        followed = marks.followed(connection)
        reports = connection.execute(
            select(erasures.c.report).where(erasures.c.state == DONE)
        ).scalars()
        decoded = [msgspec.json.decode(text, type=dict[str, Any]) for text in reports if text]
    if (testimonies[-1].marks if testimonies else 0) < followed:
        raise WitnessBroken("the witness is shorter than what the database has followed")
    proven = [report for report in decoded if "signed" in report]
    if any(report_digest(report) not in signed for report in proven):
        raise WitnessBroken("the report of an erasure is not the one that was signed")
    return Checked(entries, len(heads), len(testimonies), len(proven))
