"""What there is to learn from since the model last learned is counted, and never comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warehouse import accounts, decisions
from warehouse.engine import writing

if TYPE_CHECKING:
    from sqlalchemy import Engine


def test_decisions_that_were_learned_are_not_new_again_by_a_run_that_began_before(
    engine: Engine,
) -> None:
    with writing(engine) as connection:
        accounts.add(connection, {(accounts.DECIDED, ""): 9})
    decisions.note_learned(engine, 7)

    decisions.note_learned(engine, 5)

    assert decisions.count_new(engine) == 2
