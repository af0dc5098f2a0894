"""Steps of an erasure. The request's number stands for the person, who is never named."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from privacy import traces
from schemas.clock import moment
from schemas.errors import NotReady
from schemas.settings import Settings
from tasks.opening import opened
from tasks.policies import io_task
from warehouse import burial, erasure, proof, residue, stores
from warehouse.case_file import CaseFile, open_cases, read_case
from warehouse.engine import is_postgres
from warehouse.erasure_requests import close_left_cases
from warehouse.leases import Lease
from warehouse.rewriting import overwrite

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sqlalchemy import Engine

_identifiers: dict[str, str] = {}
"""By request, whom this process was asked to erase: never a parameter, which would be stored."""


@contextmanager
def asked_for(request: str, identifier: str) -> Iterator[None]:
    """Let ``prove`` search for the identifier as well, of a request that runs in this process."""
    _identifiers[request] = identifier
    try:
        yield
    finally:
        del _identifiers[request]


@io_task
def remember(url: SecretStr, keys: Path, request: str, now: int) -> int:
    """Write the tombstone and the case file; return the number of the mark."""
    with opened(url) as engine:
        return burial.bury(engine, keys, request, moment(now))


@io_task
def look_before(request: str, lease: Lease) -> None:
    """Search every store while the person is still there: so the search is shown to find."""
    settings = Settings()
    with opened(settings.url) as engine:
        lease.renew(engine)
        if erasure.read_erasure(engine, request).state == erasure.REQUESTED:
            proof.keep_found_before(settings.keys, request, _swept(settings, request))


@io_task
def delete(url: SecretStr, request: str, lease: Lease, marks: int) -> None:
    """Delete everything about the person and take it out of the sums."""
    with opened(url) as engine:
        erasure.delete_subject(engine, request, lease, marks=marks)


@io_task
def forget(url: SecretStr, request: str, lease: Lease) -> None:
    """Overwrite the deleted bytes; tried again while a reader keeps the log open."""
    with opened(url) as engine:
        lease.renew(engine)
        if erasure.read_erasure(engine, request).state == erasure.DONE:
            return
        if not _overwritten(engine, request):
            raise NotReady(
                "deleted bytes are left in the database: a reader keeps its log open, its disk is"
                " full, or it has to be compacted"
            )
        erasure.mark_forgotten(engine, request)


@io_task
def prove(request: str, lease: Lease, now: int) -> None:
    """Search every store for what is left, and sign the report into the witness.

    In SQLite's files nothing may be left: else the request stays open, and is taken up again.
    """
    settings = Settings()
    with opened(settings.url) as engine:
        lease.renew(engine)
        if erasure.read_erasure(engine, request).state != erasure.DONE:
            again = erasure.known_again(engine, read_case(settings.keys, request))
            swept = _swept(settings, request, but_for=again)
            if not is_postgres(engine) and any(
                one.found for one in swept if one.store == "database"
            ):
                raise NotReady("deleted bytes are left in the database: see the runbook")
            proof.sign(engine, settings.keys, request, swept, moment(now), again=len(again))
        identifier = _identifiers.get(request)
        if identifier and erasure.read_erasure(engine, request).report.get("identifier") is None:
            look = traces.looker(traces.of_identifier(identifier))
            found = stores.sweep(engine, settings, look)
            proof.add_identifier(engine, settings.keys, request, found, moment(now))


@io_task
def finish(url: SecretStr, keys: Path, request: str, lease: Lease, now: int) -> erasure.Erasure:
    """Queue the retrain where one is due, close the request, and then every case that is over."""
    with opened(url) as engine:
        done = erasure.finish_erasure(engine, request, moment(now), lease)
        try:
            close_left_cases(engine, keys, lease)
        except OSError:
            # The case of another is for the check of the ledgers to tell of, each night.
            if request in open_cases(keys):
                raise
        return done


def _overwritten(engine: Engine, request: str) -> bool:
    case = read_case(Settings().keys, request)
    if not residue.is_large(engine):
        return residue.forget_bytes(engine)
    # Where nobody knows any more what to look for, all is written anew.
    return residue.compact(engine) if case is None else overwrite(engine, case.marks())


def _swept(
    settings: Settings, request: str, *, but_for: Collection[bytes] = ()
) -> list[stores.Swept]:
    """Search every store for the pseudonyms and the number of a request's subject."""
    case = read_case(settings.keys, request)
    if case is None:
        return []
    with opened(settings.url) as engine:
        return stores.sweep(engine, settings, traces.looker(_needles(case, but_for)))


def _needles(case: CaseFile, but_for: Collection[bytes]) -> list[traces.Needle]:
    wanted = traces.of_number("subject", case.subject)
    for pseudonym in case.pseudonyms:
        if pseudonym not in but_for:
            wanted += traces.of_bytes("pseudonym", pseudonym)
    return wanted
