"""The metrics that the API and the command line show; a query reads days times groups.

Every rate comes with its count and its 95 % interval. A window of ``days`` ends with the day of
``as_of``; it is half-open, ``[since, until)``. Published metrics read sealed blocks only, and
say which whole blocks they cover. A count that none of these tells is None, not 0; what some tell
is the sum over those.

Undecided proposals are not rejections: rates of acceptance stand on decided proposals. A
decision without a known proposal is an orphan, counted apart.
"""

from __future__ import annotations

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
_OF_ANY_SCORE, _OF_ANY_RATING = 1 / 12, 2.0
"""Variances of what may be any score in [0, 1], any rating from 1 to 5, with equal right."""
_ORPHANS = {
    "viewed": m.ORPHAN_VIEWED,
    "decided": m.ORPHAN_DECIDED,
    "rated": m.ORPHAN_RATED,
    "completed": m.ORPHAN_COMPLETED,
}

# What each metric reads: a measure costs a row a day and model version.
_OF_ACCEPTANCE = (
    *(m.PROPOSED, m.DECIDED, m.ACCEPTED, m.REJECTED, m.DECIDED_OF, m.DECISION_MS),
    *(m.MUTUAL, m.PAIRED, m.SCORE, m.SCORE_SQUARES, *_ORPHANS.values()),
    *(m.UNSCORED, m.UNTIMED),
)
_OF_SATISFACTION = (m.PROPOSED, m.RATED, m.RATED_PROPOSED, m.RATED_OF, *m.RATING)
_OF_FUNNEL = (
    *(m.PROPOSED, m.VIEWED, m.VIEWED_OF, m.VIEWS, m.VIEW_MS, m.DECIDED, m.DECIDED_OF),
    *(m.DECISION_MS, m.ACCEPTED, m.MUTUAL, m.PAIRED, m.RATED_PROPOSED, m.RATED_OF),
    *(m.COMPLETED, m.ABANDONED, *_ORPHANS.values(), m.UNTIMED, m.UNVIEWS),
)
_OF_MODELS = (
    *(m.PROPOSED, m.DECIDED, m.DECIDED_OF, m.ACCEPTED, m.MUTUAL, m.PAIRED),
    *(m.RATED, *m.RATING),
)


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
        total = _Sums(whole_sums(connection, window, _OF_ACCEPTANCE), window)
    rate = wilson(total[m.ACCEPTED], total[m.DECIDED])
    mutual = wilson(total[m.MUTUAL], total[m.PAIRED])
    return {
        "total_proposed": total.told(m.PROPOSED),
        "total_decided": total.told(m.DECIDED, m.DECIDED_OF),
        "total_accepted": total.told(m.ACCEPTED, m.DECIDED_OF),
        "total_rejected": total.told(m.REJECTED, m.DECIDED_OF),
        "total_undecided": total.undecided(),
        "acceptance_rate": _value(rate),
        "acceptance_interval": _interval(rate),
        "mutual": {
            "count": total.told(m.MUTUAL, m.PAIRED),
            "of": total.told(m.PAIRED),
            "rate": _dict(mutual),
        },
        "avg_match_score": _dict(
            mean(
                *(total[m.PROPOSED] - total[m.UNSCORED], total[m.SCORE], total[m.SCORE_SQUARES]),
                bounds=(0.0, 1.0),
                prior_variance=_OF_ANY_SCORE,
                unit=m.UNIT,
            )
        ),
        "avg_decision_seconds": total.seconds_to_decide(),
        "orphan_decisions": total.told(m.ORPHAN_DECIDED, *_ORPHANS.values()),
        "window": window.to_dict() | {"days": days},
    }


def satisfaction(engine: Engine, days: int, as_of: datetime, *, published: bool) -> dict[str, Any]:
    """Tell how matches were rated.

    Arguments as in ``acceptance``. Each rated (match, subject) counts once, with its latest
    rating, whether or not its proposal is known.
    """
    with _window(engine, days, as_of, published=published) as (connection, window):
        total = _Sums(whole_sums(connection, window, _OF_SATISFACTION), window)
    stars = list(zip(m.RATINGS, m.RATING, strict=True))
    rating = mean(
        sum(total[name] for _, name in stars),
        sum(star * total[name] for star, name in stars),
        sum(star * star * total[name] for star, name in stars),
        bounds=(m.RATINGS[0], m.RATINGS[-1]),
        prior_variance=_OF_ANY_RATING,
    )
    return {
        "avg_rating": _value(rating),
        "rating_interval": _interval(rating),
        "rating_counts": {str(star): total.told(name, *m.RATING) for star, name in stars},
        "total_feedbacks": total.told(m.RATED),
        "rated_of_proposed": _dict(wilson(total[m.RATED_PROPOSED], total.of(m.RATED_OF))),
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
        names = (m.PROPOSED, m.DECIDED, m.DECIDED_OF)
        total = _Sums(whole_sums(connection, window, names), window)
        found = sums_by_constraint(connection, window, m.OF_CONSTRAINTS)
        prices = shadow_prices.read(connection, published=published)
    return {
        "constraints": {
            name: _constraint(_Sums(sums, window)) | {"shadow_price": prices.get(name)}
            for name, sums in found.items()
        },
        "total_matches": total.told(m.PROPOSED),
        "total_decided": total.told(m.DECIDED, m.DECIDED_OF),
        "window": window.to_dict() | {"days": days},
    }


def funnel(engine: Engine, days: int, as_of: datetime, *, published: bool) -> dict[str, Any]:
    """Tell how far proposals get: viewed, decided, accepted, completed, rated.

    Arguments as in ``acceptance``. Each step stands on proposals, ``rate`` being its share of
    ``of``. ``orphans`` count what came for a match whose proposal is not known.
    """
    with _window(engine, days, as_of, published=published) as (connection, window):
        total = _Sums(whole_sums(connection, window, _OF_FUNNEL), window)
    finished = (m.COMPLETED, m.ABANDONED)
    # What is counted, of how many, what these are called, and what says that it is told.
    steps = {
        "viewed": (m.VIEWED, total.of(m.VIEWED_OF), "proposed", (m.VIEWED_OF,)),
        "decided": (m.DECIDED, total.of(m.DECIDED_OF), "proposed", (m.DECIDED_OF,)),
        "accepted": (m.ACCEPTED, total[m.DECIDED], "decided", (m.DECIDED_OF,)),
        "mutual": (m.MUTUAL, total[m.PAIRED], "paired", (m.PAIRED,)),
        "rated": (m.RATED_PROPOSED, total.of(m.RATED_OF), "proposed", (m.RATED_OF,)),
        "completed": (m.COMPLETED, sum(total[name] for name in finished), "finished", finished),
    }
    return {
        "proposed": total.told(m.PROPOSED),
        "steps": {
            name: {
                "count": total.told(count, *beside),
                "of": of,
                "rate": _dict(wilson(total[count], whole)),
            }
            for name, (count, whole, of, beside) in steps.items()
        },
        "abandoned": total.told(m.ABANDONED, *finished),
        "views_per_viewed": _per(total[m.VIEWS], total[m.VIEWED] - total[m.UNVIEWS]),
        "seconds_per_view": _per(total[m.VIEW_MS], total[m.VIEWS] * _MS),
        "seconds_to_decide": total.seconds_to_decide(),
        "orphans": {
            name: total.told(measure, *_ORPHANS.values()) for name, measure in _ORPHANS.items()
        },
        "window": window.to_dict() | {"days": days},
    }


def models(engine: Engine, days: int, as_of: datetime, *, published: bool) -> dict[str, Any]:
    """Compare the model versions that proposed; ``""`` is the matcher's own score.

    Arguments as in ``acceptance``.
    """
    with _window(engine, days, as_of, published=published) as (connection, window):
        found = sums_by_version(connection, window, _OF_MODELS)
    return {
        "models": {version: _model(_Sums(sums, window)) for version, sums in found.items()},
        "window": window.to_dict() | {"days": days},
    }


def trend(engine: Engine, days: int, as_of: datetime, *, published: bool) -> dict[str, Any]:
    """Tell how acceptance went day by day; published, block by block.

    Arguments as in ``acceptance``. A proposal counts on the day on which it was made, so the
    newest days move while people decide. Days without a proposal are left out.
    """
    names = (m.PROPOSED, m.DECIDED, m.ACCEPTED, m.DECIDED_OF)
    with _window(engine, days, as_of, published=published) as (connection, window):
        found = sums_by_stretch(connection, window, names)
    return {
        "points": [
            _point(since, until, _Sums(sums, window)) for (since, until), sums in found.items()
        ],
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


class _Sums:
    """Sums by measure, and which counts are told.

    A published block keeps no zero, so what it left out and what nobody did look the same, and
    must: only what stands beside a count shows that it is told. So None is read from what is
    published already, and tells no more than a 0 would.
    """

    def __init__(self, sums: Mapping[str, int], window: Window) -> None:
        self._sums = sums
        self.exact = window.blocks is None

    def __getitem__(self, name: str) -> int:
        return self._sums.get(name, 0)

    def told(self, name: str, *beside: str) -> int | None:
        """Return a count, or None where neither it nor what is told with it is there."""
        there = self.exact or any(self[one] for one in (name, *beside))
        return self[name] if there else None

    def of(self, told: str) -> int:
        """Return the proposals that a step's count stands beside."""
        return self[m.PROPOSED if self.exact else told]

    def undecided(self) -> int | None:
        """Return how many proposals wait for a decision."""
        decided = self.told(m.DECIDED, m.DECIDED_OF)
        return None if decided is None else self.of(m.DECIDED_OF) - decided

    def seconds_to_decide(self) -> float | None:
        """Return the mean time of a decision."""
        return _per(self[m.DECISION_MS], (self[m.DECIDED] - self[m.UNTIMED]) * _MS)


def _point(since: int, until: int, total: _Sums) -> dict[str, Any]:
    return {
        "since": iso_day(since),
        "until": iso_day(until),
        "proposed": total.told(m.PROPOSED),
        "decided": total.told(m.DECIDED, m.DECIDED_OF),
        "accepted": total.told(m.ACCEPTED, m.DECIDED_OF),
        "acceptance": _dict(wilson(total[m.ACCEPTED], total[m.DECIDED])),
    }


def _constraint(total: _Sums) -> dict[str, Any]:
    # A published block tells them apart from the bands, of which it may leave some out.
    in_bands = sum(total[name] for name in m.BAND_DECIDED)
    decided = total[m.CONSTRAINT_DECIDED] or in_bands
    accepted = total[m.CONSTRAINT_ACCEPTED] or sum(total[name] for name in m.BAND_ACCEPTED)
    # Where those that are told make up the whole, the others are empty.
    every = total.exact or 0 < decided == in_bands
    found = correlation(
        decided, total[m.DECIDED_SUM], total[m.DECIDED_SQUARES], accepted, total[m.ACCEPTED_SUM]
    )
    return {
        "correlation": _value(found),
        "correlation_interval": _interval(found),
        "sample_size": decided if decided or total.exact else None,
        "avg_satisfaction": _per(
            total[m.SATISFACTION_SUM], total[m.SATISFACTION_PROPOSED] * m.UNIT
        ),
        "proposed": total[m.SATISFACTION_PROPOSED],
        "avg_satisfaction_accepted": _per(total[m.ACCEPTED_SUM], accepted * m.UNIT),
        "avg_satisfaction_rejected": _per(
            total[m.DECIDED_SUM] - total[m.ACCEPTED_SUM], (decided - accepted) * m.UNIT
        ),
        "bands": [_band(total, band, every=every) for band in range(m.BANDS)],
    }


def _band(total: _Sums, band: int, *, every: bool) -> dict[str, Any]:
    decided, accepted = total[m.BAND_DECIDED[band]], total[m.BAND_ACCEPTED[band]]
    return {
        "from": band / m.BANDS,
        "to": (band + 1) / m.BANDS,
        "decided": decided if every or decided else None,
        "accepted": accepted if every or decided else None,
        "rate": _dict(wilson(accepted, decided)),
    }


def _model(total: _Sums) -> dict[str, Any]:
    stars = sum(s * total[name] for s, name in zip(m.RATINGS, m.RATING, strict=True))
    return {
        "proposed": total.told(m.PROPOSED),
        "decided": total.told(m.DECIDED, m.DECIDED_OF),
        "accepted": total.told(m.ACCEPTED, m.DECIDED_OF),
        "acceptance": _dict(wilson(total[m.ACCEPTED], total[m.DECIDED])),
        "mutual": _dict(wilson(total[m.MUTUAL], total[m.PAIRED])),
        "avg_rating": _per(stars, sum(total[name] for name in m.RATING)),
        "total_feedbacks": total.told(m.RATED),
    }


def _dict(found: Estimate | None) -> dict[str, float | int] | None:
    return found.to_dict() if found else None


def _value(found: Estimate | None) -> float | None:
    return found.value if found else None


def _interval(found: Estimate | None) -> list[float] | None:
    return [found.lower, found.upper] if found else None


def _per(total: int, count: int) -> float | None:
    return total / count if count else None
