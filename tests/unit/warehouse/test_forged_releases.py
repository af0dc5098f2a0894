"""Who can write the database, and not the keys, forges no noisy release."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from schemas.clock import LATE_DAYS
from schemas.tables import private_releases
from tests.histories import NOW, TODAY
from tests.unit.warehouse.test_releases import QUESTION, ROWS, give, open_releases
from warehouse.engine import writing
from warehouse.keyfile import make_ring
from warehouse.ledgers import verify_ledgers
from warehouse.releases import Question
from warehouse.witness import RELEASE, Witness, WitnessBroken

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    make_ring(tmp_path / "keys", 1)
    return tmp_path / "keys"


@pytest.mark.parametrize("first", ["a release", "a check"])
def test_a_release_that_nobody_gave_is_refused_and_not_signed(
    engine: Engine, keys: Path, first: str
) -> None:
    other = Question(TODAY - 31, TODAY - LATE_DAYS, 100_000, ROWS)
    if first == "a release":
        give(engine, keys, QUESTION)
    else:
        verify_ledgers(engine, keys)
    forged = {
        "question": other.digest,
        "since_day": other.since,
        "until_day": other.until,
        "epsilon_micro": other.epsilon_micro,
        "rows_per_subject": other.rows,
        "released_at": NOW,
        "document": '{"figures": {}}',
    }
    with writing(engine) as connection:
        connection.execute(private_releases.insert().values(**forged))

    with pytest.raises(WitnessBroken, match="none that was given"):
        verify_ledgers(engine, keys)
    for question in (other, Question(TODAY - 32, TODAY - LATE_DAYS, 100_000, ROWS)):
        with pytest.raises(WitnessBroken, match="none that was given"):
            give(engine, keys, question)
    signed = {one.body["question"] for one in Witness(keys).verify() if one.kind == RELEASE}
    assert signed == ({QUESTION.digest.hex()} if first == "a release" else set())


def test_another_answer_than_the_one_that_was_given_is_not_told(engine: Engine, keys: Path) -> None:
    give(engine, keys, QUESTION)
    open_releases(engine)
    with writing(engine) as connection:
        connection.execute(private_releases.update().values(document='{"figures": {}}'))

    with pytest.raises(WitnessBroken, match="release"):
        give(engine, keys, QUESTION)
