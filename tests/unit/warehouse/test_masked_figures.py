"""A figure that no published block tells is None, a true zero is 0, and None tells no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from schemas.clock import LATE_DAYS, MICROS_PER_DAY, moment
from schemas.events import EventKind
from tests.histories import NOW, TODAY, admit, make_row, process, stage
from warehouse import metrics
from warehouse.blocks import MOST_DAYS, seal
from warehouse.engine import connect, create_tables
from warehouse.leases import AGGREGATE_METRICS, lease

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Engine

K = 10
AS_OF = moment(NOW)
DAY = TODAY - MOST_DAYS - LATE_DAYS
ALL = ("acceptance", "satisfaction", "constraints", "funnel", "trend", "models")


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Engine]:
    """An engine on another empty database."""
    engine = connect(SecretStr(f"sqlite:///{tmp_path / 'other.db'}"))
    create_tables(engine)
    yield engine
    engine.dispose()


def odd(subject: int) -> bool:
    return subject % 2 == 1


def publish(
    engine: Engine,
    people: int,
    *,
    near: Callable[[int], float] = lambda _: 0.5,
    scored: Callable[[int], dict[str, Any]] = lambda _: {},
    accepts: Callable[[int], bool] = odd,
    decided: int | None = None,
    completed: int = 0,
) -> dict[str, Any]:
    """Propose to so many people, each one match; return what is published of it, by metric."""
    admit(engine, range(1, people + 1))
    rows = []
    for subject in range(1, people + 1):
        at = {"subject": subject, "match_key": subject, "occurred_at": DAY * MICROS_PER_DAY + 1}
        figures = {"constraint_satisfaction": {"near": near(subject)}, **scored(subject)}
        rows.append(make_row(EventKind.PROPOSED, figures=figures, **at))
        if decided is None or subject <= decided:
            kind = EventKind.ACCEPTED if accepts(subject) else EventKind.REJECTED
            rows.append(make_row(kind, **at))
        if subject <= completed:
            rows.append(make_row(EventKind.COMPLETED, **at))
    stage(engine, rows)
    process(engine, validate=False)
    with lease(engine, AGGREGATE_METRICS, 60) as held:
        seal(engine, held, TODAY, K, NOW)
    return {name: getattr(metrics, name)(engine, 30, AS_OF, published=True) for name in ALL}


def of(found: dict[str, Any], *names: str) -> list[Any]:
    return [found[name] for name in names]


def test_decisions_of_few_are_masked_in_every_metric(engine: Engine) -> None:
    found = publish(engine, 25, decided=13)

    total = of(found["acceptance"], "total_proposed", "total_decided", "total_accepted")
    assert total == [25, None, None]
    assert of(found["acceptance"], "total_rejected", "total_undecided") == [None, None]
    assert of(found["acceptance"]["mutual"], "count", "of") == [None, None]
    for step in ("decided", "accepted", "mutual"):
        assert found["funnel"]["steps"][step]["count"] is None
    for one in (*found["trend"]["points"], *found["models"]["models"].values()):
        assert of(one, "proposed", "decided", "accepted") == [25, None, None]
    assert of(found["constraints"], "total_matches", "total_decided") == [25, None]
    assert of(found["constraints"]["constraints"]["near"], "proposed", "sample_size") == [25, None]


def test_mean_stands_on_the_slices_whose_sums_are_told(engine: Engine) -> None:
    few = {"match_score": 0.9, "model_version": "4"}
    others = {"match_score": 0.4, "model_version": "4"}
    found = publish(
        engine,
        80,
        scored=lambda subject: few if subject <= 2 else others if subject <= 40 else {},
    )["acceptance"]

    assert found["total_proposed"] == 80
    assert of(found["avg_match_score"], "value", "count") == [0.7, 40]
    assert found["avg_decision_seconds"] == 6.0


def test_true_zero_is_zero(engine: Engine) -> None:
    found = publish(engine, 20, accepts=lambda _: True)

    total = of(found["acceptance"], "total_accepted", "total_rejected", "total_undecided")
    assert total == [20, 0, 0]
    # Nobody viewed or rated, and that is told.
    assert found["funnel"]["steps"]["viewed"]["count"] == 0
    assert found["funnel"]["steps"]["rated"]["count"] == 0
    bands = found["constraints"]["constraints"]["near"]["bands"]
    assert [(one["decided"], one["accepted"]) for one in bands] == [
        *((0, 0), (0, 0), (20, 20), (0, 0), (0, 0))
    ]


def test_bands_of_few_are_masked_beside_those_that_are_told(engine: Engine) -> None:
    # Eight accept and eight reject in each of the outer bands.
    near = {range(1, 17): 0.1, range(17, 33): 0.9}
    found = publish(
        engine,
        72,
        near=lambda subject: (
            next((value for few, value in near.items() if subject in few), 0.5)
            # Of three values alone the sums would tell these counts, and not be told.
            + subject % 4 / 100
        ),
    )

    one = found["constraints"]["constraints"]["near"]
    assert one["sample_size"] == 72
    assert [(band["decided"], band["accepted"]) for band in one["bands"]] == [
        *((None, None), (None, None), (40, 20), (None, None), (None, None))
    ]


def test_masked_figure_looks_the_same_whether_nobody_or_a_few_stand_behind_it(
    engine: Engine, other: Engine
) -> None:
    nobody, few = publish(engine, 40), publish(other, 40, completed=3)

    assert nobody == few
    assert of(few["funnel"], "abandoned") == [None]
    assert few["funnel"]["steps"]["completed"]["count"] is None
    assert metrics.funnel(other, 30, AS_OF, published=False)["steps"]["completed"]["count"] == 3
