"""The metrics that the API and the command line show; a query reads days times groups.

Every rate comes with its count and its 95 % interval. A window of ``days`` ends with the day of
``as_of``; it is half-open, ``[since, until)``. Published metrics read sealed blocks only, and
say which whole blocks they cover.

Undecided proposals are not rejections: rates of acceptance stand on decided proposals. A
decision without a known proposal is an orphan, counted apart.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from schemas.clock import day_number, iso_day
from warehouse import measures as m
from warehouse import shadow_prices
from warehouse.engine import reading
from warehouse.proportions import Estimate, correlation, mean, wilson
from warehouse.sums import (
    Window,
    exact_window,
    published_window,
    sums_by_constraint,
    sums_by_stretch,
    sums_by_version,
    whole_sums,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from sqlalchemy import Connection, Engine

_MS = 1_000
_ORPHANS = {
    "viewed": m.ORPHAN_VIEWED,
    "decided": m.ORPHAN_DECIDED,
    "rated": m.ORPHAN_RATED,
    "completed": m.ORPHAN_COMPLETED,
}

# What each metric reads: a measure costs a row a day and model version.
_OF_ACCEPTANCE = (
    *(m.PROPOSED, m.DECIDED, m.ACCEPTED, m.REJECTED, m.DECIDED_OF, m.DECISION_MS),
    *(m.MUTUAL, m.PAIRED, m.SCORE, m.SCORE_SQUARES, m.ORPHAN_DECIDED),
)
_OF_SATISFACTION = (m.PROPOSED, m.RATED, m.RATED_PROPOSED, m.RATED_OF, *m.RATING)
_OF_FUNNEL = (
    *(m.PROPOSED, m.VIEWED, m.VIEWED_OF, m.VIEWS, m.VIEW_MS, m.DECIDED, m.DECIDED_OF),
    *(m.DECISION_MS, m.ACCEPTED, m.MUTUAL, m.PAIRED, m.RATED_PROPOSED, m.RATED_OF),
    *(m.COMPLETED, m.ABANDONED, *_ORPHANS.values()),
)
_OF_MODELS = (*(m.PROPOSED, m.DECIDED, m.ACCEPTED, m.MUTUAL, m.PAIRED, m.RATED, *m.RATING),)


def acceptance(engine: Engine, days: int, as_of: datetime, *, published: bool) -> dict[str, Any]:
    """Tell how often decided proposals are accepted, by one party and by all parties.

    Args:
        engine: The database.
        days: Length of the window, days.
        as_of: Its last day.
        published: Read sealed blocks only.

    Returns:
        Ready for JSON. ``acceptance_rate`` is accepted / decided, None when nothing was
        decided; ``mutual`` stands on rows of matches all of whose parties decided.
    """
    with _window(engine, days, as_of, published=published) as (connection, window):
        total = Counter(whole_sums(connection, window, _OF_ACCEPTANCE))
    rate = wilson(total[m.ACCEPTED], total[m.DECIDED])
    mutual = wilson(total[m.MUTUAL], total[m.PAIRED])
    return {
        "total_proposed": total[m.PROPOSED],
        "total_decided": total[m.DECIDED],
        "total_accepted": total[m.ACCEPTED],
        "total_rejected": total[m.REJECTED],
        "total_undecided": _of(total, window, m.DECIDED_OF) - total[m.DECIDED],
        "acceptance_rate": _value(rate),
        "acceptance_interval": _interval(rate),
        "mutual": {"count": total[m.MUTUAL], "of": total[m.PAIRED], "rate": _dict(mutual)},
        "avg_match_score": _dict(
            mean(total[m.PROPOSED], total[m.SCORE], total[m.SCORE_SQUARES], unit=m.UNIT)
        ),
        "avg_decision_seconds": _per(total[m.DECISION_MS], total[m.DECIDED] * _MS),
        "orphan_decisions": total[m.ORPHAN_DECIDED],
        "window": window.to_dict() | {"days": days},
    }


def satisfaction(engine: Engine, days: int, as_of: datetime, *, published: bool) -> dict[str, Any]:
    """Tell how matches were rated.

    Arguments as in ``acceptance``. Each rated (match, subject) counts once, with its latest
    rating, whether or not its proposal is known.
    """
    with _window(engine, days, as_of, published=published) as (connection, window):
        total = Counter(whole_sums(connection, window, _OF_SATISFACTION))
    counts = {stars: total[name] for stars, name in zip(m.RATINGS, m.RATING, strict=True)}
    stars_sum = sum(stars * count for stars, count in counts.items())
    squares = sum(stars * stars * count for stars, count in counts.items())
    rating = mean(sum(counts.values()), stars_sum, squares)
    return {
        "avg_rating": _value(rating),
        "rating_interval": _interval(rating),
        "rating_counts": {str(stars): count for stars, count in counts.items()},
        "total_feedbacks": total[m.RATED],
        "rated_of_proposed": _dict(wilson(total[m.RATED_PROPOSED], _of(total, window, m.RATED_OF))),
        "window": window.to_dict() | {"days": days},
    }


def constraints(engine: Engine, days: int, as_of: datetime, *, published: bool) -> dict[str, Any]:
    """Tell how the satisfaction of each constraint goes with acceptance.

    Arguments as in ``acceptance``. ``correlation`` is Pearson's, of satisfaction and
    acceptance over the decided proposals that name the constraint, with Fisher's interval;
    ``avg_satisfaction`` is over all proposals that name it; ``bands`` hold acceptance by
    fifths of satisfaction; ``shadow_price`` is what insisting on it costs, as the newest retrain
    found. ``total_matches`` counts all proposals.
    """
    with _window(engine, days, as_of, published=published) as (connection, window):
        total = Counter(whole_sums(connection, window, (m.PROPOSED, m.DECIDED)))
        found = sums_by_constraint(connection, window, m.OF_CONSTRAINTS)
        prices = shadow_prices.read(connection, published=published)
    return {
        "constraints": {
            name: _constraint(Counter(sums)) | {"shadow_price": prices.get(name)}
            for name, sums in found.items()
        },
        "total_matches": total[m.PROPOSED],
        "total_decided": total[m.DECIDED],
        "window": window.to_dict() | {"days": days},
    }


def funnel(engine: Engine, days: int, as_of: datetime, *, published: bool) -> dict[str, Any]:
    """Tell how far proposals get: viewed, decided, accepted, completed, rated.

    Arguments as in ``acceptance``. Each step stands on proposals, ``rate`` being its share of
    ``of``. ``orphans`` count what came for a match whose proposal is not known.
    """
    with _window(engine, days, as_of, published=published) as (connection, window):
        total = Counter(whole_sums(connection, window, _OF_FUNNEL))
    finished = total[m.COMPLETED] + total[m.ABANDONED]
    steps = {
        "viewed": (total[m.VIEWED], _of(total, window, m.VIEWED_OF), "proposed"),
        "decided": (total[m.DECIDED], _of(total, window, m.DECIDED_OF), "proposed"),
        "accepted": (total[m.ACCEPTED], total[m.DECIDED], "decided"),
        "mutual": (total[m.MUTUAL], total[m.PAIRED], "paired"),
        "rated": (total[m.RATED_PROPOSED], _of(total, window, m.RATED_OF), "proposed"),
        "completed": (total[m.COMPLETED], finished, "finished"),
    }
    return {
        "proposed": total[m.PROPOSED],
        "steps": {
            name: {"count": count, "of": of, "rate": _dict(wilson(count, whole))}
            for name, (count, whole, of) in steps.items()
        },
        "abandoned": total[m.ABANDONED],
        "views_per_viewed": _per(total[m.VIEWS], total[m.VIEWED]),
        "seconds_per_view": _per(total[m.VIEW_MS], total[m.VIEWS] * _MS),
        "seconds_to_decide": _per(total[m.DECISION_MS], total[m.DECIDED] * _MS),
        "orphans": {name: total[measure] for name, measure in _ORPHANS.items()},
        "window": window.to_dict() | {"days": days},
    }


def models(engine: Engine, days: int, as_of: datetime, *, published: bool) -> dict[str, Any]:
    """Compare the model versions that proposed; ``""`` is the matcher's own score.

    Arguments as in ``acceptance``.
    """
    with _window(engine, days, as_of, published=published) as (connection, window):
        found = sums_by_version(connection, window, _OF_MODELS)
    return {
        "models": {version: _model(Counter(sums)) for version, sums in found.items()},
        "window": window.to_dict() | {"days": days},
    }


def trend(engine: Engine, days: int, as_of: datetime, *, published: bool) -> dict[str, Any]:
    """Tell how acceptance went day by day; published, block by block.

    Arguments as in ``acceptance``. A proposal counts on the day on which it was made, so the
    newest days move while people decide. Days without a proposal are left out.
    """
    names = (m.PROPOSED, m.DECIDED, m.ACCEPTED)
    with _window(engine, days, as_of, published=published) as (connection, window):
        found = sums_by_stretch(connection, window, names)
    return {
        "points": [_point(since, until, Counter(sums)) for (since, until), sums in found.items()],
        "window": window.to_dict() | {"days": days},
    }


@contextmanager
def _window(
    engine: Engine, days: int, as_of: datetime, *, published: bool
) -> Iterator[tuple[Connection, Window]]:
    today = day_number(as_of)
    with reading(engine) as connection:
        find = published_window if published else lambda _, *span: exact_window(*span)
        yield connection, find(connection, days, today)


def _point(since: int, until: int, total: Mapping[str, int]) -> dict[str, Any]:
    return {
        "since": iso_day(since),
        "until": iso_day(until),
        "proposed": total[m.PROPOSED],
        "decided": total[m.DECIDED],
        "accepted": total[m.ACCEPTED],
        "acceptance": _dict(wilson(total[m.ACCEPTED], total[m.DECIDED])),
    }


def _of(total: Mapping[str, int], window: Window, told: str) -> int:
    """Return the proposals that a step's count stands beside; a block may not tell the step."""
    return total[m.PROPOSED if window.blocks is None else told]


def _constraint(total: Mapping[str, int]) -> dict[str, Any]:
    # A published block tells them apart from the bands, of which it may leave some out.
    decided = total[m.CONSTRAINT_DECIDED] or sum(total[name] for name in m.BAND_DECIDED)
    accepted = total[m.CONSTRAINT_ACCEPTED] or sum(total[name] for name in m.BAND_ACCEPTED)
    found = correlation(
        decided, total[m.DECIDED_SUM], total[m.DECIDED_SQUARES], accepted, total[m.ACCEPTED_SUM]
    )
    return {
        "correlation": _value(found),
        "correlation_interval": _interval(found),
        "sample_size": decided,
        "avg_satisfaction": _per(
            total[m.SATISFACTION_SUM], total[m.SATISFACTION_PROPOSED] * m.UNIT
        ),
        "proposed": total[m.SATISFACTION_PROPOSED],
        "avg_satisfaction_accepted": _per(total[m.ACCEPTED_SUM], accepted * m.UNIT),
        "avg_satisfaction_rejected": _per(
            total[m.DECIDED_SUM] - total[m.ACCEPTED_SUM], (decided - accepted) * m.UNIT
        ),
        "bands": [_band(total, band) for band in range(m.BANDS)],
    }


def _band(total: Mapping[str, int], band: int) -> dict[str, Any]:
    decided, accepted = total[m.BAND_DECIDED[band]], total[m.BAND_ACCEPTED[band]]
    return {
        "from": band / m.BANDS,
        "to": (band + 1) / m.BANDS,
        "decided": decided,
        "accepted": accepted,
        "rate": _dict(wilson(accepted, decided)),
    }


def _model(total: Mapping[str, int]) -> dict[str, Any]:
    stars = sum(s * total[name] for s, name in zip(m.RATINGS, m.RATING, strict=True))
    return {
        "proposed": total[m.PROPOSED],
        "decided": total[m.DECIDED],
        "accepted": total[m.ACCEPTED],
        "acceptance": _dict(wilson(total[m.ACCEPTED], total[m.DECIDED])),
        "mutual": _dict(wilson(total[m.MUTUAL], total[m.PAIRED])),
        "avg_rating": _per(stars, sum(total[name] for name in m.RATING)),
        "total_feedbacks": total[m.RATED],
    }


def _dict(found: Estimate | None) -> dict[str, float | int] | None:
    return found.to_dict() if found else None


def _value(found: Estimate | None) -> float | None:
    return found.value if found else None


def _interval(found: Estimate | None) -> list[float] | None:
    return [found.lower, found.upper] if found else None


def _per(total: int, count: int) -> float | None:
    return total / count if count else None
