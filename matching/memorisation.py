"""Does a model remember whom it learned from?

A person who can be recognised in a model by its loss has not been forgotten by deleting
their rows. The audit fits the same kind of model on halves of the people, and asks how well
an attacker, who knows a row and its decision, tells those it learned from from the others:
by the loss alone, and by LiRA's likelihood ratio, which knows how each row behaves in models
with and without it. It is asked of single rows; what the sum of a person's rows tells is in
``docs/adr/0030-the-audit-is-of-decisions.md``.

Of eight models a member has three others with them and four without, which draws the ratio's AUC
down by up to .05; the figures with that taken out, and with more models, are in
``docs/adr/0022-memorisation-refuses-what-is-certain.md``. What becomes of a candidate that is seen
through: ``docs/adr/0023-memorisation-narrows-or-refuses.md``.

References:
    Yeom, Giacomelli, Fredrikson, Jha (2018). Privacy risk in machine learning. CSF.
    Carlini et al. (2022). Membership inference attacks from first principles. IEEE S&P.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from matching.calibration import auc
from matching.logistic import log_loss

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Mask = NDArray[np.bool_]
    Predict = Callable[[Mask], Floats]

SHADOWS = 8
"""Models fitted; each is attacked with the other seven as shadows."""
AUDITS = 3
"""Audits with other halves, whose mean is taken: of one alone the ratio's AUC varies by .02."""
FALSE_POSITIVES = 0.01


@dataclass(frozen=True)
class Membership:
    """What an attacker learns about who was learned from.

    Attributes:
        loss_auc: AUC of the attack by loss; 0.5 is guessing.
        ratio_auc: AUC of the attack by likelihood ratio.
        found: Share of members found at one false alarm in a hundred, by the better attack.
    """

    loss_auc: float
    ratio_auc: float
    found: float

    @property
    def auc(self) -> float:
        """AUC of the better attack."""
        return max(self.loss_auc, self.ratio_auc)


def audit(
    predict: Predict, accepted: Floats, person: NDArray[np.int64], *, seed: int
) -> Membership:
    """Attack a kind of model with what it shows of its own training rows.

    Args:
        predict: From a mask of the rows to learn from to the probability of every row.
        accepted: 0 or 1, shape (n,).
        person: Code of the deciding person, shape (n,), dense from 0; at least two.
        seed: For the halves.

    Returns:
        The figures, pooled over the models of an audit, means over ``AUDITS`` audits.
    """
    seeds = range(AUDITS * seed, AUDITS * (seed + 1))
    figures = np.array([_figures(predict, accepted, person, one) for one in seeds])
    loss_auc, ratio_auc, *found = figures.mean(axis=0).tolist()
    return Membership(loss_auc, ratio_auc, max(found))


def _figures(
    predict: Predict, accepted: Floats, person: NDArray[np.int64], seed: int
) -> tuple[float, float, float, float]:
    """AUC by loss and by ratio, share found by loss and by ratio."""
    inside = _halves(int(person.max()) + 1, seed)[:, person]
    odds = np.array([_confidence(accepted, predict(mask)) for mask in inside])
    losses = np.array([log_loss(accepted, _sure(accepted, row)) for row in odds])
    ratios = np.array([_ratio(odds, inside, target) for target in range(SHADOWS)])
    member = inside.ravel().astype("float64")
    return (
        auc(member, -losses.ravel()),
        auc(member, ratios.ravel()),
        _found(inside, -losses),
        _found(inside, ratios),
    )


def _halves(people: int, seed: int) -> Mask:
    """Draw who is in which model: each person in exactly half of them.

    Drawn anew while a model would have learned from everybody or from nobody, as happens with
    few people.
    """
    generator = np.random.default_rng(seed)
    places = np.tile(np.arange(SHADOWS) < SHADOWS // 2, (people, 1))
    while True:
        drawn = generator.permuted(places, axis=1).T
        if drawn.any(axis=1).all() and not drawn.all(axis=1).any():
            return np.asarray(drawn)


def _confidence(accepted: Floats, probability: Floats) -> Floats:
    safe = np.clip(probability, 1e-6, 1 - 1e-6)
    logit = np.log(safe) - np.log1p(-safe)
    return np.where(accepted > 0, logit, -logit)


def _sure(accepted: Floats, confidence: Floats) -> Floats:
    right = 1 / (1 + np.exp(-confidence))
    return np.where(accepted > 0, right, 1 - right)


def _ratio(odds: Floats, inside: Mask, target: int) -> Floats:
    """Log likelihood ratio of membership of each row in the target model."""
    others = np.arange(SHADOWS) != target
    held, seen = inside[others], odds[others]
    mean_in = (seen * held).sum(axis=0) / held.sum(axis=0)
    mean_out = (seen * ~held).sum(axis=0) / (~held).sum(axis=0)
    rest = seen - np.where(held, mean_in, mean_out)
    variance = (rest**2).sum() / (rest.size - 2 * rest.shape[1]) + 1e-12
    gap = (odds[target] - mean_out) ** 2 - (odds[target] - mean_in) ** 2
    return np.asarray(gap / (2 * variance))


def _found(inside: Mask, signal: Floats) -> float:
    """Members above the threshold that one outsider in a hundred passes, mean over models."""
    shares = []
    for held, values in zip(inside, signal, strict=True):
        threshold = np.quantile(values[~held], 1 - FALSE_POSITIVES, method="higher")
        shares.append(float((values[held] > threshold).mean()))
    return float(np.mean(shares))
