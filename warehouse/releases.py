"""Noisy releases to the outside, and the ledger of what they cost.

The same question asked again is answered from the ledger and costs nothing. A new one is paid
for in the transaction that stores its answer, behind a lock that all of them take, so racing
requests cannot spend more than the budget. Costs are whole millionths of epsilon and add up over
the last days (basic composition).

The witness beside the keys knows every release before anybody is told it, and is asked before
anything is paid: a database that was set back has spent what it had spent, and gives the answers
that it gave.

A person counts with their first proposals of the window alone, a bounded number, so that each
figure changes by a known amount when they come or go. What depends on two people, such as mutual
acceptance, is not released.

BudgetSpent
└── raised when a release would cost more than is left
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import func, select

from schemas.clock import LATE_DAYS, MICROS_PER_DAY, iso_day
from schemas.errors import InvalidInput, NotReady, SmartMatchError
from schemas.purposes import Purpose
from schemas.tables import private_releases, versions
from warehouse import bulk
from warehouse.clock_witness import check_clock
from warehouse.engine import add_to, insert_ignore, reading, writing
from warehouse.purposes import consented_sql
from warehouse.witness import ADOPTED, RELEASE, Witness, WitnessBroken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from sqlalchemy import Connection, Engine

    from warehouse.witness import Testimony

MICRO = 1_000_000
WAIT_SECONDS = 60.0
"""So long a release waits for others that hold the database."""
_PAUSE_SECONDS = 0.05
_COUNTS = ("proposed", "viewed", "decided", "accepted", "rated", "completed")
RATING = "rating_above_3"
"""Sum over rated proposals of the rating less 3, from -2 to 2 each."""

_EXACT = (
    "SELECT COUNT(*), COALESCE(SUM(CASE WHEN views > 0 THEN 1 ELSE 0 END), 0),"
    " COALESCE(SUM(CASE WHEN accepted IS NULL THEN 0 ELSE 1 END), 0),"
    " COALESCE(SUM(CASE WHEN accepted THEN 1 ELSE 0 END), 0),"
    " COALESCE(SUM(CASE WHEN rating IS NULL THEN 0 ELSE 1 END), 0),"
    " COALESCE(SUM(CASE WHEN completed THEN 1 ELSE 0 END), 0),"
    " COALESCE(SUM(rating - 3), 0) FROM (SELECT m.views, m.accepted, m.rating, m.completed,"
    " ROW_NUMBER() OVER (PARTITION BY m.subject ORDER BY m.proposed_at, m.match_key) AS place"
    " FROM matches m JOIN subjects s ON s.subject = m.subject"
    " WHERE m.day >= :since AND m.day < :until AND m.proposed_at IS NOT NULL"
    f" AND {consented_sql(Purpose.ANALYTICS, 's')}) AS bounded WHERE place <= :rows"
)


class BudgetSpent(SmartMatchError):
    """A release would cost more than is left of the period's budget."""


@dataclass(frozen=True)
class Question:
    """What is asked: the figures of a window, at a price.

    Attributes:
        since: First day, days since 1970.
        until: The day after the last.
        epsilon_micro: Price, millionths of epsilon.
        rows: Most proposals that one person counts with.
    """

    since: int
    until: int
    epsilon_micro: int
    rows: int

    @property
    def digest(self) -> bytes:
        """Name of the question; the same for the same question."""
        said = f"steps 1 {self.since} {self.until} {self.epsilon_micro} {self.rows}"
        return hashlib.sha256(said.encode()).digest()


@dataclass(frozen=True)
class Budget:
    """What may be spent.

    Attributes:
        limit_micro: In a period, millionths of epsilon.
        days: Length of the period: the last so many days.
    """

    limit_micro: int
    days: int


def sensitivities(rows: int) -> dict[str, int]:
    """Tell by how much one person changes each figure at most, by name."""
    return dict.fromkeys(_COUNTS, rows) | {RATING: 2 * rows}


def exact(connection: Connection, question: Question) -> dict[str, int]:
    """Count what is to be released, each person with their first proposals alone."""
    bounds = {"since": question.since, "until": question.until, "rows": question.rows}
    found = bulk.fetch(connection, _EXACT, bounds)[0]
    return {name: int(value) for name, value in zip((*_COUNTS, RATING), found, strict=True)}


def release(
    engine: Engine,
    directory: Path,
    question: Question,
    budget: Budget,
    *,
    now: int,
    add_noise: Callable[[Mapping[str, int], Mapping[str, int], float], Mapping[str, Any]],
) -> dict[str, Any]:
    """Answer a question, from the ledger or for its price.

    Args:
        engine: The database.
        directory: Where the keys lie.
        question: What is asked.
        budget: What may be spent.
        now: Microseconds since 1970.
        add_noise: ``privacy.noise.add_noise``.

    Returns:
        Ready for JSON: ``figures`` by name with ``value`` and ``within`` (95 % of the noise),
        the window, the price, and what is left of the budget.

    Raises:
        ClockJumped: The clock is further ahead of the last purge than is believed.
        BudgetSpent: It would cost more than is left; nothing was told.
        InvalidInput: The window is empty or not finished.
        KeyMissing: There is no key file.
        NotReady: The database was in use by others for a minute.
        WitnessBroken: An entry of the witness cannot be read, or the database holds a release that
            was given by nobody.
    """
    if not question.since < question.until:
        raise InvalidInput("until", "must be after since")
    if question.until > now // MICROS_PER_DAY - LATE_DAYS:
        raise InvalidInput("until", "must be a finished day")
    with reading(engine) as connection:
        document = _known(connection, question)
    if document is None or not _was_given(Witness(directory), question, document):
        # By a clock that is a year ahead all that was spent would look long past.
        check_clock(engine, now)
        with reading(engine) as connection:
            figures = exact(connection, question)
        # Drawn before anybody has to wait for it: the first time it takes seconds.
        drawn = _document(question, figures, add_noise)
        pay = partial(_pay, engine, Witness(directory), question, budget, now, drawn)
        document = _patiently(pay)
    with reading(engine) as connection:
        left = budget.limit_micro - _spent(connection, budget, now)
    answer: dict[str, Any] = msgspec.json.decode(document)
    return answer | {"budget_left": left / MICRO}


def agree(connection: Connection, witness: Witness) -> int:
    """Have the database and the witness hold the same releases.

    The first time, the witness adopts those of before it knew of any. From then on each is written
    to it before its commit, and one that only the database holds was given by nobody.

    Args:
        connection: A transaction that writes.
        witness: What survives a restore of the database.

    Returns:
        How many the database did not hold.

    Raises:
        WitnessBroken: An entry of the witness cannot be read, or a release was given by nobody.
    """
    held, testimonies = _held(connection), list(witness.entries())
    witnessed = _witnessed(testimonies)
    unknown = sorted(held.keys() - witnessed.keys())
    adopted = any(one.kind == ADOPTED for one in testimonies)
    if unknown and adopted:
        raise WitnessBroken("a release with noise is none that was given")
    missing = [witnessed[question] for question in witnessed.keys() - held.keys()]
    if missing:
        rows = [body | {"question": bytes.fromhex(body["question"])} for body in missing]
        connection.execute(insert_ignore(connection, private_releases), rows)
    for question in unknown:
        witness.append(RELEASE, held[question], held[question]["released_at"])
    if not adopted:
        witness.append(ADOPTED, {"releases": len(unknown)}, time.time_ns() // 1_000)
    return len(missing)


def check(connection: Connection, testimonies: Iterable[Testimony]) -> int:
    """Check that the releases in the database are those that were given; return how many are.

    Raises:
        WitnessBroken: One was changed.
    """
    held = _held(connection)
    if any(held.get(question) != body for question, body in _witnessed(testimonies).items()):
        raise WitnessBroken("a release with noise is not the one that was given")
    return len(held)


def _held(connection: Connection) -> dict[str, dict[str, Any]]:
    """Return the releases in the database as the witness holds them, by question."""
    rows = [dict(row) for row in connection.execute(select(private_releases)).mappings()]
    return {row["question"].hex(): row | {"question": row["question"].hex()} for row in rows}


def _witnessed(testimonies: Iterable[Testimony]) -> dict[str, dict[str, Any]]:
    return {one.body["question"]: one.body for one in testimonies if one.kind == RELEASE}


def _was_given(witness: Witness, question: Question, document: str) -> bool:
    given = _witnessed(witness.entries()).get(question.digest.hex())
    return given is not None and given["document"] == document


def _known(connection: Connection, question: Question) -> str | None:
    return connection.execute(
        select(private_releases.c.document).where(private_releases.c.question == question.digest)
    ).scalar()


def _spent(connection: Connection, budget: Budget, now: int) -> int:
    recent = private_releases.c.released_at > now - budget.days * MICROS_PER_DAY
    total = select(func.coalesce(func.sum(private_releases.c.epsilon_micro), 0))
    return int(connection.execute(total.where(recent)).scalar_one())


def _document(
    question: Question,
    figures: Mapping[str, int],
    add_noise: Callable[[Mapping[str, int], Mapping[str, int], float], Mapping[str, Any]],
) -> str:
    bounded = sensitivities(question.rows)
    return msgspec.json.encode(
        {
            "since": iso_day(question.since),
            "until": iso_day(question.until),
            "epsilon": question.epsilon_micro / MICRO,
            "proposals_per_person": question.rows,
            "sensitivities": bounded,
            "figures": add_noise(figures, bounded, question.epsilon_micro / MICRO),
        }
    ).decode()


def _patiently(pay: Callable[[], str]) -> str:
    """Try again while others hold the database; paid twice is paid once, by the witness."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            return pay()
        except NotReady:
            if time.monotonic() >= deadline:
                raise
        time.sleep(_PAUSE_SECONDS)


def _pay(  # noqa: PLR0917
    engine: Engine, witness: Witness, question: Question, budget: Budget, now: int, drawn: str
) -> str:
    """Pay for what was drawn and return it, or what somebody else was told meanwhile."""
    with writing(engine) as connection:
        # Whoever comes second waits here, and then sees what the first one spent.
        connection.execute(
            add_to(connection, versions, ["name"]), [{"name": "releases", "value": 1}]
        )
        agree(connection, witness)
        known = _known(connection, question)
        if known is not None:
            if not _was_given(witness, question, known):
                raise WitnessBroken("a release with noise is not the one that was given")
            return known
        left = budget.limit_micro - _spent(connection, budget, now)
        if question.epsilon_micro > left:
            raise BudgetSpent(
                f"this costs epsilon {question.epsilon_micro / MICRO:g}, and"
                f" {max(left, 0) / MICRO:g} is left of the last {budget.days} days"
            )
        newest = connection.execute(select(func.max(private_releases.c.released_at))).scalar()
        connection.execute(
            private_releases.insert().values(
                question=question.digest,
                since_day=question.since,
                until_day=question.until,
                epsilon_micro=question.epsilon_micro,
                rows_per_subject=question.rows,
                # A clock that is set back makes no release older than those before it.
                released_at=max(now, newest or 0),
                document=drawn,
            )
        )
        # Before the commit: killed in between it is paid and told to nobody, and asked again it
        # is told as it stands in the witness.
        witness.append(RELEASE, _held(connection)[question.digest.hex()], now)
    return drawn
