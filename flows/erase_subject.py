"""Erase a person who asked for it."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Annotated

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from pydantic import Field

from schemas.clock import micros
from schemas.settings import Settings
from tasks import erasure, opening
from warehouse.engine import connect
from warehouse.erasure import Erasure
from warehouse.leases import lease

WAIT_SECONDS = 60.0
Request = Annotated[str, Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]


@flow(name="erase-subject")
def erase_subject(request: Request) -> Erasure:
    """Delete everything about one person, take it out of the metrics, and prove it.

    Safe to run again after a failure at any step. Collection stopped when the request was
    made.

    Args:
        request: Number of the request, as `smartmatch erase` and `POST /api/privacy/erasure` give
            it (36 characters); a person's id is never a parameter.

    Returns:
        What was deleted, by table, the model versions that had learned from the person, and
        the report, signed into the witness.

    Raises:
        NoSuchErasure: There is no such request.
        LeaseHeld: Another erasure was still at work after a minute.
        OverMatch: It would touch more than one person.
        KeyMissing: There is no key file.
    """
    settings = Settings()
    now = micros(datetime.now(UTC))
    engine = connect(settings.url)
    opening.follow_witness(settings.url, settings.keys)

    with lease(engine, "erase_subject", settings.lease_seconds, wait_seconds=WAIT_SECONDS) as held:
        marks = erasure.remember(settings.url, settings.keys, request, now)
        erasure.look_before(request, held)
        erasure.delete(settings.url, request, held, marks)
        erasure.forget(settings.url, request, held)
        erasure.prove(request, held, now)
        done = erasure.finish(settings.url, settings.keys, request, held, now)
    engine.dispose()

    create_markdown_artifact(
        key="erasure",
        description="What was deleted of one person, where it was searched for, and what is left",
        markdown=_report(done),
    )
    return done


def erase_person(request: str, identifier: str) -> Erasure:
    """Run the flow in the process that was asked, and search for the identifier as well.

    Args:
        request: Number of the request.
        identifier: The person, as the platform names them; no parameter of the flow, because
            Prefect would store it.

    Returns:
        As the flow.
    """
    with erasure.asked_for(request, identifier):
        return erase_subject(request)


def _report(done: Erasure) -> str:
    rows = "\n".join(f"| {table} | {count} |" for table, count in done.deleted.items())
    models = ", ".join(done.models) or "none"
    stores = "\n".join(
        f"| {store['store']} | {store['files']} | {store['bytes']} |"
        f" {_counted(store['places_before'])} | {store['places_after']} |"
        for store in done.report.get("stores", [])
    )
    return (
        f"Request {done.request} is {done.state}.\n\n"
        f"| table | rows deleted |\n|---|---|\n{rows}\n\n"
        f"| store | files | bytes | places before | places after |\n|---|---|---|---|---|\n"
        f"{stores}\n\n"
        f"Model versions that had learned from the person: {models}."
        f" {done.report.get('unbooked_versions') or ''}".rstrip()
    )


def _counted(places: int | None) -> str:
    return "not searched" if places is None else str(places)


if __name__ == "__main__":
    erase_subject(sys.argv[1])
