"""Boosted trees as numbers.

scikit-learn grows them; afterwards they are arrays, written as JSON and read without
scikit-learn and without running anything that was stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

DIGITS = 9
CHUNK = 16_384
"""Rows that are sent down the trees at once: they stay in the processor's cache."""


@dataclass(frozen=True, eq=False)
class Trees:
    """A sum of binary trees in log-odds.

    Attributes:
        base: Log-odds before the first tree.
        feature: Column that a node compares, -1 at a leaf; all trees one after the other.
        threshold: Rows at or below it go left.
        left: Node to go to, counted from the first node of all.
        right: Node to go to otherwise.
        value: What a leaf adds; nought elsewhere.
        roots: First node of each tree.
    """

    base: float
    feature: Ints
    threshold: Floats
    left: Ints
    right: Ints
    value: Floats
    roots: Ints

    def log_odds(self, matrix: Floats) -> Floats:
        """Add up the leaves that each row falls into; shape (n, k) in, (n,) out."""
        parts = [
            self._leaves(matrix[begin : begin + CHUNK]) for begin in range(0, len(matrix), CHUNK)
        ]
        return np.concatenate([np.empty(0), *parts])

    def _leaves(self, matrix: Floats) -> Floats:
        total = np.full(len(matrix), self.base)
        rows = np.arange(len(matrix))
        for root in self.roots:
            node = np.full(len(matrix), root)
            column = self.feature[node]
            while (column >= 0).any():
                low = matrix[rows, np.maximum(column, 0)] <= self.threshold[node]
                below = np.where(low, self.left[node], self.right[node])
                node = np.where(column >= 0, below, node)
                column = self.feature[node]
            total += self.value[node]
        return total

    def to_dict(self) -> dict[str, Any]:
        """Say the trees in plain JSON."""
        names = ("feature", "threshold", "left", "right", "value", "roots")
        return {"base": self.base} | {name: getattr(self, name).tolist() for name in names}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """Read what ``to_dict`` said."""
        whole = {
            name: np.array(plain[name], "int64") for name in ("feature", "left", "right", "roots")
        }
        real = {name: np.array(plain[name], "float64") for name in ("threshold", "value")}
        return cls(base=float(plain["base"]), **whole, **real)


@dataclass(frozen=True)
class Boosting:
    """How the trees are grown.

    Leaves are large and trees few and shallow: a leaf that holds five people remembers them.
    """

    trees: int = 80
    learning_rate: float = 0.08
    leaves: int = 8
    rows_a_leaf: int = 40
    ridge: float = 10.0


def grow(
    matrix: Floats,
    accepted: Floats,
    rising: Sequence[bool],
    settings: Boosting | None = None,
    seed: int = 0,
) -> Trees:
    """Grow monotone boosted trees.

    Args:
        matrix: Columns, shape (n, k).
        accepted: 0 or 1, shape (n,).
        rising: Whether more of a column may only raise the log-odds, length k.
        settings: How they are grown.
        seed: Only breaks ties; nothing is sampled.
    """
    # scikit-learn takes seconds to import, and no command but retraining needs it.
    from sklearn.ensemble import HistGradientBoostingClassifier

    chosen = settings or Boosting()
    growing = HistGradientBoostingClassifier(
        max_iter=chosen.trees,
        learning_rate=chosen.learning_rate,
        max_leaf_nodes=chosen.leaves,
        min_samples_leaf=chosen.rows_a_leaf,
        l2_regularization=chosen.ridge,
        monotonic_cst=[int(up) for up in rising],
        early_stopping=False,
        random_state=seed,
    )
    # Its threads exist from the import on; several would add in an order of their own.
    with threadpool_limits(limits=1):
        return _read(growing.fit(matrix, accepted))


def _read(grown: Any) -> Trees:
    """Take the nodes out of a fitted scikit-learn model, one tree an iteration."""
    nodes = [predictors[0].nodes for predictors in grown._predictors]  # noqa: SLF001 - the only way
    starts = np.cumsum([0, *(len(tree) for tree in nodes)])
    joined = np.concatenate(nodes)
    offset = np.repeat(starts[:-1], [len(tree) for tree in nodes])
    leaf = joined["is_leaf"].astype(bool)
    return Trees(
        base=round(float(np.ravel(grown._baseline_prediction)[0]), DIGITS),  # noqa: SLF001
        feature=np.where(leaf, -1, joined["feature_idx"]).astype("int64"),
        threshold=np.where(leaf, 0.0, np.nan_to_num(joined["num_threshold"])),
        left=np.where(leaf, 0, joined["left"] + offset).astype("int64"),
        right=np.where(leaf, 0, joined["right"] + offset).astype("int64"),
        value=np.where(leaf, np.round(joined["value"], DIGITS), 0.0),
        roots=starts[:-1].astype("int64"),
    )
