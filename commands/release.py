"""Release noisy figures to the outside."""

from __future__ import annotations

import click

from commands.shared import AS_JSON, NumberRange, read_settings, ready_engine
from console import result, working


@click.command()
@click.option("--month", help="YYYY-MM; the last finished month by default.")
@click.option("--epsilon", type=NumberRange(0, 10, min_open=True), help="Its price.")
@AS_JSON
def release(month: str | None, epsilon: float | None, *, as_json: bool) -> None:
    """Give a month's figures with noise, so that nobody can be told from them.

    Asked again, the answer is the same and costs nothing; a new one is paid from the budget.
    """
    from datetime import UTC, datetime

    from privacy.noise import add_noise
    from schemas.clock import micros
    from warehouse.releases import MICRO, Budget, Question
    from warehouse.releases import release as answer

    settings = read_settings()
    now = micros(datetime.now(UTC))
    since, until = _month(month, now)
    price = round((epsilon or settings.private_epsilon) * MICRO)
    question = Question(since, until, max(price, 1), settings.private_rows_per_subject)
    budget = Budget(round(settings.private_budget_epsilon * MICRO), settings.private_period_days)
    engine = ready_engine()
    with working("releasing"):
        found = answer(engine, settings.keys, question, budget, now=now, add_noise=add_noise)
    result(found, as_json=as_json)


def _month(name: str | None, now: int) -> tuple[int, int]:
    """Return the first day of a month and that of the next, days since 1970."""
    from datetime import date, timedelta

    from schemas.clock import LATE_DAYS, MICROS_PER_DAY, day_number, iso_day
    from schemas.errors import InvalidInput

    if name is None:
        finished = date.fromisoformat(iso_day(now // MICROS_PER_DAY - LATE_DAYS))
        first = (finished.replace(day=1) - timedelta(days=1)).replace(day=1)
    else:
        try:
            first = date.fromisoformat(f"{name}-01")
        except ValueError:
            raise InvalidInput("month", "must be YYYY-MM") from None
    following = (first + timedelta(days=32)).replace(day=1)
    return day_number(first), day_number(following)


COMMANDS = (release,)
