from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import event, func, select

from schemas.tables import staged
from tests.histories import NOW, admit, make_row, process, stage
from warehouse.engine import reading
from warehouse.queue import backlog

if TYPE_CHECKING:
    from sqlalchemy import Engine


def rows(engine: Engine) -> int:
    with reading(engine) as connection:
        return int(connection.execute(select(func.count()).select_from(staged)).scalar_one())


def test_backlog_is_what_waits_whatever_became_of_the_others(engine: Engine) -> None:
    assert backlog(engine) == (0, None)
    admit(engine, [1])
    stage(engine, [make_row("match_viewed", subject=1) for _ in range(3)])  # to be processed
    stage(engine, [make_row("match_feedback", subject=1, figures={"rating": 9})])  # rejected
    stage(engine, [make_row("match_viewed", subject=2)])  # dropped: they allow nothing
    assert backlog(engine)[0] == rows(engine) == 5

    process(engine, as_of=NOW)
    stage(engine, [make_row("match_viewed", subject=1, received_at=NOW + 7)])

    assert backlog(engine) == (1, NOW + 7)
    assert rows(engine) == 1


def test_backlog_counts_no_rows(engine: Engine) -> None:
    asked: list[str] = []

    def hear(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        asked.append(statement.lower())

    event.listen(engine, "before_cursor_execute", hear)
    backlog(engine)

    assert asked
    assert not [one for one in asked if "count(" in one]
