"""Learning from new decisions alone, between full refits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matching import features
from matching.design import Design
from matching.logistic import linear_posterior, posterior, rounded
from matching.model import Model, acceptance_prior, satisfaction_prior
from matching.weights import composition
from schemas.errors import InvalidInput, NotEnoughDecisions

if TYPE_CHECKING:
    import pandas as pd


def update(model: Model, new_rows: pd.DataFrame) -> Model:
    """Learn from new decisions alone: the last posterior is the prior, the design stays.

    Costs in proportion to the new rows. What it gives differs from a full refit by the
    error of replacing the old decisions by their quadratic, by names that appeared since,
    and by widths that the evidence would choose anew.

    Args:
        model: A linear model: the matcher's own or an earlier update.
        new_rows: Proposals, none of them learned from before; undecided ones are context.

    Raises:
        NotEnoughDecisions: None of the rows is decided.
        InvalidInput: The model has trees, which cannot be updated.
    """
    if model.trees is not None:
        raise InvalidInput("model.kind", "must be linear to be updated")
    rows = features.with_context(new_rows)
    decided = rows[rows["accepted"].notna()]
    if decided.empty:
        raise NotEnoughDecisions("none of the new proposals is decided")
    begun = model if model.trained_rows else _with_names(model, decided)
    matrix = begun.design.matrix(decided)
    accepted = decided["accepted"].to_numpy(dtype="float64")
    rated = (decided["accepted"] == 1) & decided["rating"].notna()
    latest = decided["occurred_at"].max().isoformat()
    return Model(
        kind="update",
        design=begun.design,
        prior=begun.prior,
        widths=begun.widths,
        acceptance=rounded(posterior(matrix, accepted, begun.acceptance)),
        satisfaction=rounded(
            linear_posterior(
                matrix[rated.to_numpy()],
                decided.loc[rated, "rating"].to_numpy(dtype="float64"),
                begun.satisfaction,
            )
        ),
        composition=begun.composition or composition(decided, begun.design),
        trained_rows=begun.trained_rows + len(decided),
        groups=begun.groups + int(decided["group"].nunique()),
        trained_until=max(latest, begun.trained_until),
    )


def _with_names(model: Model, rows: pd.DataFrame) -> Model:
    """Give a model without data the names and centres of its first rows."""
    design = Design.learn(rows)
    return Model(
        kind=model.kind,
        design=design,
        prior=model.prior,
        widths=model.widths,
        acceptance=acceptance_prior(model.prior, design, model.widths),
        satisfaction=satisfaction_prior(design, model.widths),
    )
