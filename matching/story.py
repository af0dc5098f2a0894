"""What MLflow keeps beside a version: parameters, figures, plots and the reasons of the gate.

Nothing here holds a value of a row: figures are sums and means, and of the rows that were
learned from only their digest is told.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.meta_dataset import MetaDataset

from matching import figures
from matching.refresh import RECORD

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from matching.gate import Verdict
    from matching.model import Model
    from matching.training import Retraining

EXPERIMENT = """\
**What people accept, learned from what they decided.** One run a retraining: promotions and
refusals alike, newest first. A run's name says which version it made, what the gate said, what was
gained over the champion of the day, in nats a decision, of which kind the version is, and when. A
`refresh` goes on with newer decisions: its gain is that of learning at all, in its sentence.

* `verdict.json`, `gate.png`: each check of the gate, what was measured and its bound
* `calibration.png`, `coefficients.png`, `weights.png`: what the model says, and what it weighs
* `model_card.md`: intended use, data, figures, limits
* metrics `side/...` and `slice/...`: the gain by side and by slice

No row of a person is in here: of the training set only its digest is kept.
"""
MODEL = """\
Says, before a match is proposed, how likely each party is to accept it and how satisfied they will
be. Each version's page is its model card, and leads to the run with its evidence.

`champion` serves; `previous` is what `smartmatch rollback` puts back; `challenger` is the newest
candidate that the gate refused. Load what serves as `models:/NAME@champion`.
"""
TAG_CHARACTERS = 4_900
"""MLflow keeps 5,000 characters of a tag."""
DATASET_DIGEST_CHARACTERS = 36
METRIC_DECIMALS = 6
"""The page of a run shows every decimal that is kept."""
_NAME = re.compile(r"[^\w\-. /]+")


def parameters(model: Model) -> dict[str, Any]:
    """Return what a version was fitted with, as MLflow's parameters."""
    shared = {f"width.{family}": width for family, width in sorted(model.widths.items())}
    return {
        "kind": model.kind,
        "constraints": ", ".join(model.constraints)[:TAG_CHARACTERS],
        "prior.intercept": model.prior.intercept,
        "prior.slope": model.prior.slope,
        "trained_rows": model.trained_rows,
        "groups": model.groups,
        "trained_until": model.trained_until or "never",
        "digest": model.digest,
    } | shared


def run_name(found: Retraining, version: str, as_of: datetime) -> str:
    """Return a name that tells the story in a list, which may show the beginning alone."""
    outcome = "promoted" if found.verdict.promote else "refused"
    gain = found.metrics.get("gain")
    told = "" if gain is None or gain != gain else f" {gain:+.4f}"  # noqa: PLR0124 - not NaN
    if any(check.name == RECORD for check in found.verdict.checks):
        told = " refresh"
    return f"v{version} {outcome}{told}, {found.model.kind}, {as_of:%Y-%m-%d %H:%M}"


def gate_tags(verdict: Verdict) -> dict[str, str]:
    """Return the decision of the gate and each of its checks, to filter versions and runs by."""
    checks = {
        f"gate.{_clean(check.name.replace(':', ''))}": "holds" if check.passed else "fails"
        for check in verdict.checks
    }
    return checks | {
        "gate": "promoted" if verdict.promote else "refused",
        "promoted": str(verdict.promote).lower(),
        "sentence": verdict.sentence[:TAG_CHARACTERS],
    }


def slice_metrics(found: Retraining) -> dict[str, float]:
    """Return rows and gain of each side and slice under names that sort."""
    measured: dict[str, float] = {}
    for row in found.slices.to_dict("records"):
        if row["label"] == "":
            continue
        family = "side" if row["slicing"] == "side" else f"slice/{_clean(row['slicing'])}"
        place = f"{family}/{_clean(row['label'])}"
        measured |= {f"{place}/{name}": float(row[name]) for name in ("rows", "gain")}
    return measured


def log_evidence(found: Retraining, extra: Mapping[str, str | float]) -> None:
    """Keep figures, plots and reasons with the run that is open.

    Args:
        found: What was found.
        extra: Further tags (text) and metrics (numbers).
    """
    texts = {name: value for name, value in extra.items() if isinstance(value, str)}
    numbers = {name: float(value) for name, value in extra.items() if not isinstance(value, str)}
    mlflow.set_tags(texts | gate_tags(found.verdict))
    measured = found.metrics | slice_metrics(found) | numbers
    mlflow.log_metrics(
        {
            name: round(value, METRIC_DECIMALS)
            for name, value in measured.items()
            if value == value  # noqa: PLR0124 - not NaN
        }
    )
    mlflow.log_dict(found.verdict.to_dict(), "verdict.json")
    mlflow.log_dict(found.weights.to_dict(), "weights.json")
    mlflow.log_text(found.slices.to_csv(index=False), "slices.csv")
    mlflow.log_figure(figures.gate_figure(found), "gate.png")
    mlflow.log_figure(figures.calibration_figure(found), "calibration.png")
    mlflow.log_figure(figures.weights_figure(found.weights), "weights.png")
    mlflow.log_figure(figures.coefficients_figure(found.model), "coefficients.png")


def log_training_set(digest: str) -> None:
    """Say which rows were read without showing any: a digest, no schema and no profile."""
    source = CodeDatasetSource(tags={"sha256": digest})
    short = digest[:DATASET_DIGEST_CHARACTERS]
    # MLflow's own class; its abstract profile is None for metadata.
    dataset = MetaDataset(source, name="training", digest=short)  # type: ignore[abstract]
    mlflow.log_input(dataset, context="training")


def _clean(name: object) -> str:
    return _NAME.sub("_", str(name))
