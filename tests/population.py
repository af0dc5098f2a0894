"""People who answer the notice and what they do, by the code that serves them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from privacy.pseudonyms import subject_pseudonym
from schemas.clock import moment
from schemas.consents import Options
from tests.histories import NOW, make_row
from warehouse import accounts, batches, consents, staging, withdrawals
from warehouse.engine import writing
from warehouse.erasure import delete_subject, finish_erasure, mark_forgotten
from warehouse.erasure_requests import begin
from warehouse.leases import PROCESS_EVENTS, lease
from warehouse.notices import Notice
from warehouse.residue import forget_bytes
from warehouse.subtraction import settle, unsettled
from warehouse.training import read_training, record_training

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Engine

    from warehouse.erasure import Erasure
    from warehouse.training import TrainingSet
    from warehouse.witness import Witness

KEY = bytes(range(32))
NOTICE = Notice("2026-11", bytes(32))


def answer(engine: Engine, user_id: str, *purposes: str, at: int = NOW - 86_400_000_000) -> int:
    """Let a person allow these purposes and no other; return their subject's number."""
    person = consents.Person("key", (subject_pseudonym(KEY, user_id),))
    options = Options(*(name in purposes for name in ("analytics", "preferences", "improvement")))
    entry = consents.Entry(uuid4(), options, NOTICE, "test", None, at)
    with writing(engine) as connection:
        return consents.record(connection, person, entry).subject


def event(kind: str, subject: int, match_key: int, **given: Any) -> dict[str, Any]:
    """Return the staged row of an event; what is not given is ordinary."""
    return make_row(kind, subject=subject, match_key=match_key, **given)


def arrive(engine: Engine, rows: Iterable[Mapping[str, Any]]) -> None:
    """Stage events as the server does, with their receipts and in the books."""
    with writing(engine) as connection:
        count = withdrawals.stand(connection)
        arrivals = [
            staging.Arrival(
                staging.Staged(**row), bytes(row["event_id"][:16]), (), withdrawals=count
            )
            for row in rows
        ]
        outcomes = staging.stage(connection, arrivals, NOW)
        accounts.add(connection, staging.counts(outcomes))


def process(
    engine: Engine,
    *,
    broken: Mapping[str, Iterable[int]] | None = None,
    texts: Mapping[int, str] | None = None,
) -> batches.Counts:
    """Fold what is staged into the matches and their sums, as one run of the flow does."""
    with lease(engine, PROCESS_EVENTS, 60.0) as held:
        with writing(engine) as connection:
            settle(connection, unsettled(connection))
        total = batches.Counts()
        for partition in batches.plan(engine, 10_000):
            batch = batches.read(engine, partition, NOW)
            total += batches.commit(engine, held, batch, broken or {}, texts or {}, as_of=NOW)
    return total


def erase(engine: Engine, subject: int) -> Erasure:
    """Ask for the erasure of a person and carry it out, as the flow does."""
    request = begin(engine, subject, RUN)
    with lease(engine, "erase_subject", 60.0) as held:
        delete_subject(engine, request, held)
    assert forget_bytes(engine)
    mark_forgotten(engine, request)
    return finish_erasure(engine, request, RUN)


def learn(engine: Engine, version: str, at: int = NOW) -> None:
    """Keep in the books that a version learned from what was there at a moment."""
    book(engine, version, read_training(engine, since_day=0, as_of=moment(at)), at=at)


def book(
    engine: Engine,
    version: str,
    training: TrainingSet,
    outcome: str = "promoted",
    witness: Witness | None = None,
    *,
    at: int = NOW,
) -> int:
    """Keep in the books what a version learned from; return how many of them left meanwhile."""
    told: dict[str, Any] = {"outcome": outcome, "reason": "It is better.", "now": moment(at)}
    with lease(engine, "retrain_model", 60.0) as held:
        return record_training(engine, held, version, training, witness=witness, **told)


def days_before(days: float) -> int:
    """Return a time so many days before now, microseconds since 1970."""
    return NOW - round(days * 86_400_000_000)


RUN = moment(NOW)
"""Now, as an aware time."""
