"""Check what is about to be learned from."""

from __future__ import annotations

from expectations import training_set
from expectations.validation import broken_rules
from tasks.policies import compute_task
from warehouse.training import TrainingSet

BOTH_KINDS = 2


@compute_task
def reason_not_to_learn(rows: TrainingSet) -> str | None:
    """Say why nothing can be learned from a training set, or None when it can.

    Returns:
        A sentence that names the rules that are broken and how many rows break each.
    """
    accepted = rows.frame["accepted"].dropna()
    if accepted.nunique() < BOTH_KINDS:
        return "a model needs accepted and rejected proposals to learn from"
    broken = broken_rules(rows.frame, training_set.suite(rows.frame.columns))
    if broken:
        told = "; ".join(f"{rule} ({len(labels)} rows)" for rule, labels in broken.items())
        return f"the training set breaks its suite: {told}"
    return None
