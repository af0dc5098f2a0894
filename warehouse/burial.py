"""The first step of an erasure: note outside the database whom it is about, before it changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from schemas.clock import micros
from schemas.tables import subjects
from warehouse import erasure, marks
from warehouse.case_file import CaseFile, merged, read_case, write_case
from warehouse.engine import is_postgres, reading
from warehouse.witness import TOMBSTONE, Witness

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy import Engine


def bury(engine: Engine, directory: Path, request: str, now: datetime) -> int:
    """Write the tombstone of the subject of a request, once, and complete its case file.

    Returns:
        The number of the mark that the database may follow once the subject is deleted; 0 where
        it may not yet, or where the subject was deleted before and nothing is to do.
    """
    witness = Witness(directory)
    with reading(engine) as connection:
        subject = erasure.read_in(connection, request).subject
        row = connection.execute(
            select(subjects.c.pseudonym, subjects.c.ledger_id).where(subjects.c.subject == subject)
        ).one_or_none()
        if subject is None or row is None:
            return 0
        before = erasure.rows_of(connection, subject)
        keys = [] if is_postgres(engine) else erasure.keys_of(connection, subject)
    known = read_case(directory, request)
    case = CaseFile(subject, merged([row.pseudonym], known), row.ledger_id, before, keys=keys)
    if known is None or (known.pseudonyms, known.keys) != (case.pseudonyms, keys):
        write_case(directory, request, case)
    marked = _mark(witness, request)
    if marked is None:
        body = {
            "request": request,
            "subject": witness.of_subject(subject),
            "pseudonyms": [witness.of_pseudonym(pseudonym) for pseudonym in case.pseudonyms],
        }
        marked = witness.append(TOMBSTONE, body, micros(now)).marks
    with reading(engine) as connection:
        return marks.passable(connection, witness, marked)


def _mark(witness: Witness, request: str) -> int | None:
    """Return the mark of the tombstone of a request that has one."""
    for entry in witness.entries():
        if entry.kind == TOMBSTONE and entry.body["request"] == request:
            return entry.marks
    return None
