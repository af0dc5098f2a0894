"""Quality, privacy and the loop as the dashboard shows them, exact and protected."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event

from deployments import TAGS
from schemas import tables
from schemas.clock import MICROS_PER_DAY, iso_day, moment
from schemas.settings import Settings
from schemas.tables import erasures, events, published_weights
from tests.engines import on_sqlite
from tests.histories import NOW, TODAY, admit, make_row, process, stage
from tests.population import answer
from warehouse import accounts, erasure_requests, overview, tallies
from warehouse.engine import writing
from warehouse.erasure_requests import DONE
from warehouse.leases import AGGREGATE_METRICS, lease

if TYPE_CHECKING:
    from sqlalchemy import Engine

AS_OF = moment(NOW)
SETTINGS = Settings()


def privacy(engine: Engine, *, published: bool = False) -> dict[str, Any]:
    return overview.privacy(engine, SETTINGS, 30, AS_OF, published=published)


@pytest.mark.parametrize("published", [False, True])
def test_empty_installation_answers(engine: Engine, published: bool) -> None:
    found = [
        overview.quality(engine, smallest=10, published=published),
        privacy(engine, published=published),
        overview.loop(engine, AS_OF, smallest=10, published=published),
    ]

    assert json.loads(json.dumps(found)) == found
    assert found[2]["champion"] is None


def test_counts_are_exact_or_whole_multiples_of_k(engine: Engine) -> None:
    books = {
        (accounts.RECEIVED, ""): 129,
        (accounts.REFUSED, "consent"): 9,
        (accounts.REFUSED, "user_id: is required"): 11,
        (accounts.DUPLICATE, ""): 25,
    }
    with writing(engine) as connection:
        accounts.add(connection, books)

    exact = overview.quality(engine, smallest=10, published=False)
    protected = overview.quality(engine, smallest=10, published=True)

    assert exact["events"]["received"] == 129
    assert exact["refused"] == {"user_id: is required": 11, "consent": 9}
    assert protected["events"]["received"] == 120
    assert protected["events"]["duplicate"] == 20
    assert protected["refused"] == {"user_id: is required": 10}


def test_consents_and_erasures_are_counted(engine: Engine) -> None:
    person = answer(engine, "a", "analytics")
    answer(engine, "b", "analytics", "improvement")
    answer(engine, "b", "analytics", at=NOW - 1_000)
    erasure_requests.begin(engine, person, moment(NOW - 40 * MICROS_PER_DAY))
    with lease(engine, AGGREGATE_METRICS, 60) as held:
        tallies.count_people(engine, held, NOW)

    found = privacy(engine)

    assert (found["counted"], found["people"]) == (iso_day(TODAY), 2)
    assert found["purposes"]["analytics"] == {"consenting": 2, "withdrawn": 0}
    assert found["purposes"]["improvement"] == {"consenting": 0, "withdrawn": 1}
    assert found["erasures"] == {"pending": 1, "overdue": 1, "done": 0, "done_ever": 0}
    protected = privacy(engine, published=True)
    assert protected["people"] == 0
    assert protected["purposes"]["improvement"]["withdrawn"] == 0
    assert protected["erasures"] == {"pending": 0, "overdue": 1, "done": 0, "done_ever": 0}


def test_windows_over_published_counts_do_not_tell_of_one_more_day(engine: Engine) -> None:
    ended = [1] * 9 + [2] + [3] * 25
    rows = [
        {
            "request": f"r{number}",
            "state": DONE,
            "requested_at": 0,
            "finished_at": (TODAY - back) * MICROS_PER_DAY,
        }
        for number, back in enumerate(ended)
    ]
    taken_back = [
        {"day": TODAY - back, "figure": tallies.WITHDRAWN, "rule": "improvement", "value": number}
        for back, number in Counter(ended).items()
    ]
    with writing(engine) as connection:
        connection.execute(erasures.insert(), rows)
        connection.execute(tables.tallies.insert(), taken_back)

    for published, counts in ((True, [0, 0, 20, 20]), (False, [9, 10, 35, 35])):
        found = [
            overview.privacy(engine, SETTINGS, days, AS_OF, published=published)
            for days in (2, 3, 4, 5)
        ]
        assert [one["erasures"]["done"] for one in found] == counts
        assert [one["purposes"]["improvement"]["withdrawn"] for one in found] == counts


def test_oldest_row_of_each_class_is_held_against_its_retention(engine: Engine) -> None:
    admit(engine, [1])
    stage(engine, [make_row("match_proposed", occurred_at=NOW - 3 * MICROS_PER_DAY)])
    process(engine, validate=False)
    stage(engine, [make_row("match_viewed")])

    ages = {one["data_class"]: one for one in privacy(engine)["retention"]}

    for name in ("events", "matches", "metric_sums"):
        assert ages[name]["oldest"] == iso_day(TODAY - 3), name
    assert ages["staged"]["oldest"] == iso_day(TODAY)
    assert ages["blocks"]["empty"] is True
    assert not any(one["overdue"] for one in ages.values())
    assert all(one["oldest"] is None for one in privacy(engine, published=True)["retention"])

    with writing(engine) as connection:
        connection.execute(events.update().values(occurred_at=NOW - 400 * MICROS_PER_DAY))
    assert [
        one["data_class"] for one in privacy(engine, published=True)["retention"] if one["overdue"]
    ] == ["events"]


def test_loop_tells_what_waits_what_ran_and_since_when_the_champion_serves(
    engine: Engine,
) -> None:
    stage(engine, [make_row("match_viewed", received_at=NOW - 90_000_000)])
    began = NOW - 9 * MICROS_PER_DAY
    with lease(engine, "process_events", 60):
        pass
    with writing(engine) as connection:
        for version, day in (("1", 0), ("2", 3), ("1", 4), ("1", 5)):
            connection.execute(
                published_weights.insert().values(
                    version=version, published_at=began + day * MICROS_PER_DAY, document="{}"
                )
            )

    found = overview.loop(engine, AS_OF, smallest=10, published=False)

    assert (found["waiting"], found["oldest_waiting_seconds"]) == (1, 90.0)
    assert [name for name, at in found["flows"].items() if at] == ["process_events"]
    assert found["champion"] == {
        "version": "1",
        "since": moment(began + 4 * MICROS_PER_DAY).isoformat(),
        "age_days": 5,
    }
    assert overview.loop(engine, AS_OF, smallest=10, published=True)["waiting"] == 0


def test_last_erasure_is_told_like_any_flow_but_not_published(engine: Engine) -> None:
    for name in ("erase_subject", "purge_expired"):
        with lease(engine, name, 60):
            pass

    def ran(*, published: bool) -> set[str]:
        found = overview.loop(engine, AS_OF, smallest=10, published=published)["flows"]
        assert set(found) == set(TAGS)
        return {name for name, at in found.items() if at}

    assert ran(published=False) == {"erase_subject", "purge_expired"}
    assert ran(published=True) == {"purge_expired"}


@on_sqlite
def test_no_table_of_people_or_events_is_read_row_by_row(engine: Engine) -> None:
    ran: list[str] = []

    @event.listens_for(engine, "checkout")
    def trace(raw: Any, _record: object, _proxy: object) -> None:
        raw.set_trace_callback(ran.append)

    privacy(engine)
    overview.quality(engine, smallest=10, published=False)
    overview.loop(engine, AS_OF, smallest=10, published=False)
    event.remove(engine, "checkout", trace)
    statements = [sql for sql in ran if sql.lstrip().startswith("SELECT")]

    assert len(statements) > 10
    with engine.connect() as connection:
        raw: Any = connection.connection.driver_connection
        for sql in statements:
            steps = [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {sql}")]
            for table in ("subjects", "consents", "events", "matches", "metric_sums"):
                assert not [step for step in steps if step.startswith(f"SCAN {table}")], sql
