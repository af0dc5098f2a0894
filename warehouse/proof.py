"""The proof of an erasure: what was found before and after, signed into the witness.

The pseudonyms and the number are searched for by the flow, which knows them from the case file.
The identifier as the platform names the person is known to the process alone that was asked, and
only while it was: where the flow runs in that process, it searches before the request is done;
else that process does when the flow is done, and adds what it found.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import msgspec

from schemas.clock import micros
from warehouse import erasure
from warehouse.case_file import read_case, write_case
from warehouse.engine import is_postgres
from warehouse.stores import prefect_has_a_server
from warehouse.witness import REPORT, Witness

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy import Engine

    from warehouse.stores import Swept

NO_IDENTIFIER = "The identifier as the platform names the person was not searched for."
NOT_BEFORE = (
    "Taken up after a stop, when the person's rows were deleted already: the stores were not"
    " searched before, so places_before is null."
)
PREFECTS = (
    "Prefect keeps its runs in the database of a server, which was not searched: no identifier and"
    " no pseudonym is handed to it."
)
AGAIN = (
    "The person answered the notice again before the search was made: pseudonyms that are theirs"
    " again were not searched for."
)
POSTGRESQL = (
    "Rows and the planner's statistics as COPY gives them. PostgreSQL's log and its dead rows,"
    " until they are recycled, may still hold keyed pseudonyms, random numbers, figures, sealed"
    " texts whose day's key goes with the day, and redacted texts; never an identifier or a text as"
    " sent."
)


def keep_found_before(directory: Path, request: str, swept: Iterable[Swept]) -> None:
    """Keep in the case file how many places a search found while the person was there."""
    case = read_case(directory, request)
    if case is not None:
        found = {one.store: sum(one.found.values()) for one in swept}
        write_case(directory, request, msgspec.structs.replace(case, found_before=found))


def sign(
    engine: Engine,
    directory: Path,
    request: str,
    swept: list[Swept],
    now: datetime,
    *,
    again: int = 0,
) -> erasure.Erasure:
    """Complete the report of a request and sign it, once.

    Args:
        engine: The database.
        directory: Where the keys lie.
        request: Number of the request, whose rows are deleted and overwritten.
        swept: What a search for the person found afterwards.
        now: The time, aware.
        again: How many of their pseudonyms were left out, being theirs again.
    """
    case, found = read_case(directory, request), erasure.read_erasure(engine, request)
    if case is None or "signed" in found.report or found.state == erasure.REQUESTED:
        return found
    parts: dict[str, Any] = {
        "searched_for": {"pseudonyms": len(case.pseudonyms) - again, "subject number": 1},
        "stores": [
            {
                "store": one.store,
                "files": one.files,
                "bytes": one.bytes,
                "places_before": case.found_before.get(one.store),
                "places_after": sum(one.found.values()),
                "found": one.found,
                "where": list(one.where),
            }
            for one in swept
        ],
        "places_left": sum(sum(one.found.values()) for one in swept),
        "identifier": None,
        "limits": [
            NO_IDENTIFIER,
            *([] if case.found_before else [NOT_BEFORE]),
            *([AGAIN] if again else []),
            *([PREFECTS] if prefect_has_a_server() else []),
            *([POSTGRESQL] if is_postgres(engine) else []),
        ],
    }
    return _signed(engine, directory, request, found.report | parts, now)


def add_identifier(
    engine: Engine, directory: Path, request: str, swept: list[Swept], now: datetime
) -> erasure.Erasure:
    """Add what a search for the identifier itself found, and sign the report anew."""
    total: Counter[str] = Counter()
    for one in swept:
        total.update(one.found)
    part = {
        "places_left": sum(total.values()),
        "found": dict(total),
        "stores": [asdict(one) for one in swept if one.found],
        "files": sum(one.files for one in swept),
        "bytes": sum(one.bytes for one in swept),
    }
    report = erasure.read_erasure(engine, request).report
    report.pop("signed", None)
    limits = [limit for limit in report.get("limits", []) if limit != NO_IDENTIFIER]
    parts = {"identifier": part, "limits": limits}
    return _signed(engine, directory, request, report | parts, now)


def report_digest(report: dict[str, Any]) -> str:
    """Return the SHA-256 of a report without the place of its signature, hexadecimal."""
    content = {name: value for name, value in report.items() if name != "signed"}
    return hashlib.sha256(msgspec.json.encode(content, order="deterministic")).hexdigest()


def _signed(
    engine: Engine, directory: Path, request: str, report: dict[str, Any], now: datetime
) -> erasure.Erasure:
    witness, digest = Witness(directory), report_digest(report)
    known = [
        entry
        for entry in witness.entries()
        if entry.kind == REPORT
        and (entry.body["request"], entry.body["sha256"]) == (request, digest)
    ]
    body = {"request": request, "sha256": digest, "report": report}
    entry = known[0] if known else witness.append(REPORT, body, micros(now))
    signed = {"seq": entry.seq, "hash": entry.hash, "signature": entry.signature}
    return erasure.add_to_report(engine, request, report | {"signed": signed})
