"""Hold the reports of erasures in the database against those that the witness signed.

The witness holds every report whole. One that a restore or a writer of the database has lost is put
back; one that was changed, or that is not signed any more, is a breach. While the case file of an
erasure lies beside the keys its report is still being made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from sqlalchemy import select, update

from schemas.tables import erasures
from warehouse.case_file import has_case, open_cases
from warehouse.erasure_requests import DONE
from warehouse.proof import report_digest
from warehouse.witness import REPORT, RESTORED, TOMBSTONE, WitnessBroken

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from pathlib import Path

    from sqlalchemy import Connection

    from warehouse.witness import Testimony


class _Held(NamedTuple):
    state: str
    subject: int | None
    report: dict[str, Any]


def put_back(connection: Connection, testimonies: Sequence[Testimony]) -> int:
    """Put back the signed reports that are not there, and return how many.

    That is what was deleted, what a newer signed report replaced, and what a restore that was owned
    up to has set back.

    Args:
        connection: A transaction that writes.
        testimonies: Entries of the witness, whole.
    """
    held = _held(connection)
    restored = max((one.seq for one in testimonies if one.kind == RESTORED), default=0)
    asked = {one.body["request"]: one.at for one in testimonies if one.kind == TOMBSTONE}
    count = 0
    for request, signed in _signed(testimonies).items():
        newest, row = signed[-1], held.get(request)
        values: dict[str, Any] = {"report": _text(newest), "finished_at": newest.at}
        if row is None:
            values |= {"request": request, "state": DONE}
            values["requested_at"] = asked.get(request, newest.at)
            connection.execute(erasures.insert().values(**values))
        elif not _is(row.report, signed[-1:]) and (
            newest.seq < restored or _is(row.report, signed[:-1])
        ):
            state = DONE if row.subject is None else row.state
            connection.execute(
                update(erasures).where(erasures.c.request == request).values(**values, state=state)
            )
        else:
            continue
        count += 1
    return count


def under_way(directory: Path) -> frozenset[str]:
    """Return the erasures whose report is still being made."""
    return frozenset(one for one in open_cases(directory) if has_case(directory, one))


def check(
    connection: Connection,
    before: Iterable[Testimony],
    testimonies: Iterable[Testimony],
    going_on: Collection[str],
) -> int:
    """Check that the database holds each signed report as it was signed; return how many it does.

    Args:
        connection: A transaction.
        before: Entries of the witness, whole, as of before the transaction.
        testimonies: The same as of now.
        going_on: What was ``under_way`` before the transaction.

    Raises:
        WitnessBroken: A report was changed, or is not signed any more, or was signed by nobody.
    """
    signed, held = _signed(testimonies), _held(connection)
    wanted = _signed(before).keys()
    # Two erasures with the same report shared one signature in earlier versions.
    anyone = [one for of_request in signed.values() for one in of_request]
    proven = {request: row for request, row in held.items() if "signed" in row.report}
    for request in wanted | proven.keys():
        row = held.get(request)
        if row is not None and row.state != DONE and request in going_on:
            continue
        if row is None or row.state != DONE or not _is(row.report, signed.get(request, anyone)):
            raise WitnessBroken("the report of an erasure is not the one that was signed")
    return len(proven)


def _held(connection: Connection) -> dict[str, _Held]:
    rows = connection.execute(select(*erasures.c["request", "state", "subject", "report"]))
    return {
        row.request: _Held(row.state, row.subject, msgspec.json.decode(row.report or "{}"))
        for row in rows
    }


def _signed(testimonies: Iterable[Testimony]) -> dict[str, list[Testimony]]:
    """Return the signed reports of each request, oldest first."""
    found: dict[str, list[Testimony]] = {}
    for one in testimonies:
        if one.kind == REPORT:
            found.setdefault(one.body["request"], []).append(one)
    return found


def _signature(entry: Testimony) -> dict[str, Any]:
    return {"seq": entry.seq, "hash": entry.hash, "signature": entry.signature}


def _text(entry: Testimony) -> str:
    report = entry.body["report"] | {"signed": _signature(entry)}
    return msgspec.json.encode(report).decode()


def _is(report: dict[str, Any], signed: Iterable[Testimony]) -> bool:
    """Tell whether a report is one of those that were signed, and says so."""
    digest = report_digest(report)
    return any(
        one.body["sha256"] == digest and report.get("signed") == _signature(one) for one in signed
    )
