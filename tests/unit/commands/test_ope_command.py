"""``smartmatch ope``: files in, estimates or a refusal out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from cli import main
from commands.tables import read_table
from matching.ope import evaluate
from schemas.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def log() -> pd.DataFrame:
    """A plain log of 600 actions that another policy might have taken as well."""
    draw = np.random.default_rng(4)
    propensity = draw.uniform(0.2, 0.8, 600)
    return pd.DataFrame(
        {
            "group": np.arange(600) // 5,
            "reward": (draw.random(600) < 0.4).astype(int),
            "propensity": propensity,
            "target_propensity": np.clip(propensity + draw.normal(0, 0.05, 600), 0, 1),
        }
    )


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["ope", *arguments])


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_file_of_either_kind_gives_what_the_library_gives(
    log: pd.DataFrame, tmp_path: Path, ending: str
) -> None:
    file = tmp_path / f"log.{ending}"
    log.to_csv(file, index=False) if ending == "csv" else log.to_parquet(file)

    called = call(str(file), "--json", "--seed", "3")

    assert called.exit_code == 0, called.output
    wanted = evaluate(log.assign(group=log["group"].astype("str")), seed=3)
    told = json.loads(called.stdout)
    assert [one["value"] for one in told["estimates"]] == pytest.approx(
        [one.value for one in wanted.estimates]
    )
    assert told["overlap"]["groups"] == 120


def test_a_person_reads_a_table_of_estimates(log: pd.DataFrame, tmp_path: Path) -> None:
    log.to_csv(tmp_path / "log.csv", index=False)

    called = call(str(tmp_path / "log.csv"))

    assert called.exit_code == 0
    assert "snips" in called.stdout
    assert "overlap.effective_rows" in called.stdout


def test_hopeless_overlap_is_refused_with_its_reason_and_the_diagnostics(
    log: pd.DataFrame, tmp_path: Path
) -> None:
    hopeless = log.assign(target_propensity=0.0)
    hopeless.loc[:3, "target_propensity"] = 1.0
    hopeless.to_csv(tmp_path / "log.csv", index=False)

    called = call(str(tmp_path / "log.csv"), "--json")

    assert called.exit_code == 1
    told = json.loads(called.stdout)
    assert "effective sample size" in told["refused"]
    assert told["refused"] in called.stderr
    assert told["overlap"]["rows"] == 600


def test_the_matchers_own_assignments_are_evaluated_on_every_feasible_pair(
    tmp_path: Path,
) -> None:
    rounds = [
        {
            "group": f"2026-01-{number:02}",
            "match_id": f"{number}-{left}-{right}",
            "user_id": f"{side}-{left if side == 0 else right}",
            "side": side,
            "match_score": 0.9 if left == right else 0.1,
            "propensity": 0.5,
            # Half of the rounds proposed the diagonal, which always works out.
            "reward": float(left == right) if (left == right) == (number % 2 == 0) else None,
        }
        for number in range(1, 29)
        for left in range(6)
        for right in range(6)
        for side in (0, 1)
        if left == right or right == (left + 1) % 6
    ]
    pd.DataFrame(rounds).to_csv(tmp_path / "log.csv", index=False)

    called = call(str(tmp_path / "log.csv"), "--policy", "matcher", "--json")

    assert called.exit_code == 0, called.output
    values = {one["estimator"]: one["value"] for one in json.loads(called.stdout)["estimates"]}
    assert values == {"ips": pytest.approx(1.0), "snips": pytest.approx(1.0)}


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("reward", "yes", "reward: must be a number"),
        ("propensity", "1 / 2", "propensity: must be a number"),
        ("proposed", "no", "proposed: must be 0 or 1"),
        ("occurred_at", "soon", "occurred_at: must be a time"),
        ("constraint:secret name", "far", "constraint:.*: must be a number"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_by_column_and_rule(
    log: pd.DataFrame, tmp_path: Path, column: str, value: str | None, message: str
) -> None:
    wrong = log.assign(**{column: log.get(column, 1)}).astype({column: "object"})
    wrong.loc[5, column] = value
    wrong.to_csv(tmp_path / "log.csv", index=False)

    with pytest.raises(InvalidInput, match=message) as refused:
        read_table(tmp_path / "log.csv")

    assert "secret name" not in str(refused.value)
    assert str(value) not in str(refused.value).split(":", 1)[1] or value is None


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"PAR1 and nothing"])
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, ending: str, content: bytes) -> None:
    file = tmp_path / f"log.{ending}"
    file.write_bytes(content)

    called = call(str(file))

    assert called.exit_code == 1
    assert called.stderr.startswith("smartmatch: ")
    assert "Traceback" not in called.stderr


def test_ids_and_rounds_stay_what_they_are(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_text("group,match_id,user_id,reward\n0017,01,007,1\n0017,01,,\n")

    found = read_table(file)

    assert found["group"].tolist() == ["0017", "0017"]
    assert found["match_id"].tolist() == ["01", "01"]
    assert found["user_id"].iloc[0] == "007"
    assert found["user_id"].isna().tolist() == [False, True]
