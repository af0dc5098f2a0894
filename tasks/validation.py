"""Check what is about to be learned from."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import BatchUnusable
from tasks.policies import compute_task, io_task
from warehouse import validations
from warehouse.training import TrainingSet
from warehouse.validations import Checked

BOTH_KINDS = 2

_logger = logging.getLogger("smartmatch")


@dataclass(frozen=True)
class Judged:
    """Whether a training set can be learned from.

    Attributes:
        reason: Why not: names the rules that are broken and how many rows break each; None
            when nothing stands against it.
        checked: What the suite found; empty where it was not asked.
    """

    reason: str | None
    checked: tuple[Checked, ...] = ()


@compute_task
def judge(rows: TrainingSet) -> Judged:
    """Say whether a training set can be learned from."""
    # They import Great Expectations, which takes seconds.
    from expectations import training_set
    from expectations.validation import broken_rules, rules_of

    accepted = rows.frame["accepted"].dropna()
    if accepted.nunique() < BOTH_KINDS:
        return Judged("a model needs accepted and rejected proposals to learn from")
    suite = training_set.suite(rows.frame.columns)
    found = broken_rules(rows.frame, suite)
    broken = {rule: len(labels) for rule, labels in found.items()}
    checked = Checked(suite.name, len(rows.frame), rules_of(suite), broken)
    if not broken:
        return Judged(None, (checked,))
    told = "; ".join(f"{rule} ({count} rows)" for rule, count in broken.items())
    return Judged(f"the training set breaks its suite: {told}", (checked,))


@io_task
def record(where: Path, at: int, checked: tuple[Checked, ...]) -> None:
    """Keep what a run's suites found, for the page of validation over time."""
    with _not_failing():
        validations.record(where, at, validations.add_up(checked))


@contextmanager
def noting_unusable(where: Path, at: int) -> Iterator[None]:
    """Keep that a batch was refused as a whole, and let the run fail all the same."""
    try:
        yield
    except BatchUnusable as found:
        with _not_failing():
            validations.record_unusable(where, at, found.suite, found.rule)
        raise


@contextmanager
def _not_failing() -> Iterator[None]:
    """Let a disk of the logs that takes no line cost the line, and not the run."""
    try:
        yield
    except OSError as error:
        _logger.warning("What was validated could not be noted: %s", type(error).__name__)
