"""Prices are kept in the place of the earlier ones, and rounded where they are published."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from schemas.clock import moment
from schemas.errors import LeaseLost
from tests.histories import NOW, admit, make_row, process, stage
from warehouse import metrics, shadow_prices
from warehouse.engine import reading
from warehouse.leases import lease
from warehouse.shadow_prices import Priced

if TYPE_CHECKING:
    from sqlalchemy import Engine


def priced(facet: str, cost: float, lower: float | None = None, upper: float | None = None) -> Any:
    return Priced(facet, 0.5, 100, 40, 8, cost, lower, upper)


def test_newest_prices_replace_the_earlier_ones(engine: Engine) -> None:
    shadow_prices.keep(engine, [priced("far", 0.2), priced("near", 0.1)], "1", moment(NOW))
    shadow_prices.keep(engine, [priced("near", 0.123456, 0.1044, 0.1456)], "2", moment(NOW))

    with reading(engine) as connection:
        exact = shadow_prices.read(connection, published=False)
        published = shadow_prices.read(connection, published=True)

    assert exact == {
        "near": {
            "cost": 0.123456,
            "interval": [0.1044, 0.1456],
            "threshold": 0.5,
            "rounds": 8,
            "model_version": "2",
        }
    }
    assert published["near"]["cost"] == 0.12
    assert published["near"]["interval"] == [0.1, 0.15]


def test_metric_gives_the_price_of_the_constraints_that_it_shows(engine: Engine) -> None:
    admit(engine, [1])
    satisfied = {"constraint_satisfaction": {"near": 0.5, "far": 0.5}}
    stage(engine, [make_row("match_proposed", figures=satisfied)])
    process(engine, validate=False)
    shadow_prices.keep(engine, [priced("near", 0.1), priced("gone", 0.3)], "1", moment(NOW))

    found = metrics.constraints(engine, 30, moment(NOW), published=False)["constraints"]

    assert {name: one["shadow_price"] is not None for name, one in found.items()} == {
        "near": True,
        "far": False,
    }
    assert found["near"]["shadow_price"]["interval"] is None


def test_a_retrain_that_was_overtaken_leaves_the_prices_of_the_other(engine: Engine) -> None:
    with lease(engine, "retrain_model", 60.0) as overtaken:
        pass
    with lease(engine, "retrain_model", 60.0) as other:
        shadow_prices.keep(engine, [priced("near", 0.1)], "2", moment(NOW), lease=other)
        with pytest.raises(LeaseLost):
            shadow_prices.keep(engine, [], "1", moment(NOW), lease=overtaken)

    with reading(engine) as connection:
        assert shadow_prices.read(connection, published=False).keys() == {"near"}
