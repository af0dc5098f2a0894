"""Purge one class of rows, as of the day that the tests live on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, select

from schemas.clock import MICROS_PER_DAY
from schemas.events import EventKind
from schemas.retention import Rule, rules
from schemas.settings import Settings
from tests.population import RUN, event
from warehouse.engine import reading, writing
from warehouse.leases import lease
from warehouse.retention import begin_evidence, delete_expired

if TYPE_CHECKING:
    from sqlalchemy import Engine, Table

SETTINGS = Settings(
    events_retention_days=100,
    metrics_retention_days=200,
    rejected_retention_days=10,
    staging_retention_days=2,
    logs_retention_days=50,
)


def rule(data_class: str) -> Rule:
    return next(rule for rule in rules(SETTINGS, RUN) if rule.data_class == data_class)


def purge(engine: Engine, data_class: str) -> int:
    with lease(engine, "purge_expired", 60.0) as held:
        run = f"{data_class}-{held.fence}"
        begin_evidence(engine, run, [rule(data_class)], RUN)
        return delete_expired(engine, rule(data_class), held, run)


def proposed(subject: int, match_key: int, day: int, **given: Any) -> dict[str, Any]:
    at = day * MICROS_PER_DAY + 1
    return event(EventKind.PROPOSED, subject, match_key, occurred_at=at, **given)


def count(engine: Engine, table: Table) -> int:
    with reading(engine) as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def fill(engine: Engine, table: Table, rows: list[dict[str, Any]]) -> None:
    with writing(engine) as connection:
        connection.execute(insert(table), rows)
