"""A person's copy: everything about them with its reasons, and nothing of anybody else."""

from __future__ import annotations

import csv
import io
import json
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from sqlalchemy import insert, update

from privacy.sealing import Sealer, open_texts
from schemas.clock import day_number
from schemas.data_map import TABLES, Personal
from schemas.events import EventKind
from schemas.settings import Settings
from schemas.tables import published_weights, staged, training_sets
from tests.histories import NOW
from tests.population import RUN, answer, arrive, event, process
from warehouse.access import as_csv, export
from warehouse.engine import writing
from warehouse.keyfile import day_key

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

TODAY = day_number(RUN)
TEXT = "Rendez-vous à Nantes, appelez Zoé"
OTHERS = "a-version-of-the-other"


def sealed(keys: Path, event_id: bytes, *texts: str) -> dict[str, Any]:
    key = day_key(keys, TODAY, make=True)
    return {"sealed": Sealer(key).seal(msgspec.json.encode(texts), event_id), "sealed_day": TODAY}


@pytest.fixture
def person(engine: Engine, tmp_path: Path) -> int:
    """A person with a kept proposal and a waiting feedback, beside another party of the match."""
    own = answer(engine, "own", "analytics", "improvement")
    other = answer(engine, "other", "analytics")
    figures = {"match_score": 0.5, "constraint_satisfaction": {"skills": 0.25, "hours": 1.0}}
    arrive(
        engine,
        [
            event(EventKind.PROPOSED, own, 77, figures=figures, session_key=5),
            event(EventKind.PROPOSED, other, 77, figures={"model_version": OTHERS}),
            event(EventKind.ACCEPTED, own, 77),
        ],
    )
    process(engine)
    ids = (b"a" * 16, b"b" * 16)
    arrive(
        engine,
        [
            event(
                EventKind.FEEDBACK,
                own,
                77,
                event_id=ids[0],
                figures={"rating": 4},
                **sealed(tmp_path, ids[0], TEXT),
            ),
            event(
                EventKind.FEEDBACK,
                other,
                77,
                event_id=ids[1],
                figures={"rating": 1},
                **sealed(tmp_path, ids[1], "of the other"),
            ),
        ],
    )
    weights = [{"name": "skills", "weight": 0.8}, {"name": "hours", "weight": -0.2}]
    with writing(engine) as connection:
        connection.execute(
            insert(published_weights),
            [{"version": "3", "published_at": 1, "document": _document(weights)}],
        )
        connection.execute(insert(training_sets), [_version("2", NOW + 1), _version("1", 1)])
    return own


def _document(weights: list[dict[str, Any]]) -> str:
    return json.dumps({"version": "3", "weights": weights})


def _version(version: str, as_of: int) -> dict[str, Any]:
    evidence = {"digest": "", "consent_digest": "", "outcome": "promoted", "reason": ""}
    read = {"as_of": as_of, "since": 0, "consent_seq": 2, "event_seq": 3}
    return {"version": version, "rows": 1, "subjects": 1, **read, **evidence}


def copy_of(engine: Engine, person: int, keys: Path) -> dict[str, Any]:
    opened = partial(open_texts, partial(day_key, keys))
    return export(engine, person, Settings(events_retention_days=100), opened)


def test_it_says_what_is_held_why_and_how_long(engine: Engine, person: int, tmp_path: Path) -> None:
    found = copy_of(engine, person, tmp_path)

    assert found["consent"]["improvement"] is True
    assert len(found["consent_history"]) == 1
    assert [row["kind"] for row in found["events"]["kept"]] == ["match_proposed", "match_accepted"]
    assert found["matches"][0]["accepted"] is True
    assert found["matches"][0]["day"] == found["matches"][0]["proposed_at"][:10]
    held = found["about"]["held"]
    assert set(held) == {
        name
        for name, table in TABLES.items()
        if {kind for kind, _ in table.columns.values()} != {Personal.NO}
    }
    assert held["events"]["kept"] == "100 days"
    assert found["about"]["source"]


def test_waiting_texts_are_opened_for_their_own_author(
    engine: Engine, person: int, tmp_path: Path
) -> None:
    (waiting,) = copy_of(engine, person, tmp_path)["events"]["waiting"]
    assert waiting["sealed_texts"] == [TEXT]

    (tmp_path / "days" / f"{TODAY}.key").unlink()

    (waiting,) = copy_of(engine, person, tmp_path)["events"]["waiting"]
    assert (waiting["has_sealed_text"], waiting["sealed_texts"]) == (True, None)


def test_it_tells_the_logic_of_the_scores_and_who_learned_from_them(
    engine: Engine, person: int, tmp_path: Path
) -> None:
    found = copy_of(engine, person, tmp_path)

    assert [version["version"] for version in found["learned_from_by"]] == ["2"]
    (proposal,) = found["scores"]["contributions"]
    assert proposal["by_constraint"] == {"skills": 0.2, "hours": -0.2}
    assert proposal["match_key"] == found["matches"][0]["match_key"]
    assert found["scores"]["version"] == "3"
    # The model knows more than the weights, a person's own history too (matching/features.py).
    assert "share of earlier proposals that they accepted" in found["scores"]["logic"]


@pytest.mark.parametrize("payload", [b"{", b"\xff"])
def test_what_cannot_be_read_keeps_nobody_from_their_copy(
    engine: Engine, person: int, tmp_path: Path, payload: bytes
) -> None:
    with writing(engine) as connection:
        connection.execute(update(staged).values(payload=payload))

    (waiting,) = copy_of(engine, person, tmp_path)["events"]["waiting"]

    assert (waiting["payload"], waiting["match_key"] is None) == (None, False)


def test_nothing_of_the_other_party_or_of_inner_numbers_is_in_it(
    engine: Engine, person: int, tmp_path: Path
) -> None:
    first, second = (copy_of(engine, person, tmp_path) for _ in range(2))

    text = json.dumps(first)
    assert OTHERS not in text
    assert "of the other" not in text
    assert str(person) not in text
    assert '"match_key": 77' not in text
    assert first["matches"][0]["match_key"] != second["matches"][0]["match_key"]
    assert {row["match_key"] for row in first["events"]["kept"]} == {
        first["matches"][0]["match_key"]
    }


def test_the_table_holds_every_value_of_the_copy(
    engine: Engine, person: int, tmp_path: Path
) -> None:
    found = copy_of(engine, person, tmp_path)

    rows = list(csv.DictReader(io.StringIO(as_csv(found))))

    values = {(row["part"], row["field"]): row["value"] for row in rows}
    assert values["events.waiting", "sealed_texts.1"] == TEXT
    assert values["matches", "constraints.skills"] == "0.25"
    assert values["about", "held.events.kept"] == "100 days"
    assert len(rows) == _leaves(found)


def _leaves(value: Any) -> int:
    if isinstance(value, dict | list):
        return sum(map(_leaves, value.values() if isinstance(value, dict) else value))
    return 1


def test_a_text_is_no_formula_in_a_spreadsheet() -> None:
    assert "'=1+1" in as_csv({"part": [{"text": "=1+1"}]})
    assert "-5" in as_csv({"part": [{"number": -5}]})
    assert "'-5" not in as_csv({"part": [{"number": -5}]})
