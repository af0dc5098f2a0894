"""What an assignment may and must do, checked once and brought into one form."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from matching.solvers import (
    DENSE_CELLS,
    SMALL_SIDE,
    SPARSE_DENSITY,
    Bounds,
    Floats,
    Integers,
    Pairs,
)
from schemas.errors import InvalidInput

Utilities: TypeAlias = ArrayLike | sparse.sparray | sparse.spmatrix


@dataclass(frozen=True)
class Constraints:
    """What an assignment may and must do besides being worth as much as possible.

    Args:
        forbidden: Pairs that must not be made: a boolean array of the shape of the
            utilities, or a sequence of (row, column). Minus infinity and NaN among the
            utilities forbid too, and so does an entry that a sparse matrix does not store.
        required: Pairs (row, column) that must be made.
        row_capacity: Places of each row: one number for all or one a row. A pair is made
            at most once, whatever the places.
        column_capacity: Places of each column.
        unassigned_cost: What a place of a row that stays empty costs, in the unit of the
            utilities: one number for all or one a row. None: the side with fewer places in
            all must be filled. With a cost a pair is made only if it is worth more than
            leaving the row's place empty, so ``0.0`` means "never a pair of negative
            utility".
    """

    forbidden: ArrayLike | None = None
    required: Sequence[tuple[int, int]] = ()
    row_capacity: int | ArrayLike = 1
    column_capacity: int | ArrayLike = 1
    unassigned_cost: float | ArrayLike | None = None


@dataclass(frozen=True)
class Problem:
    """An assignment problem in canonical form: permitted pairs, places, costs.

    ``dense`` is set where a dense solver is the faster one, ``sparse_pairs`` otherwise.
    """

    shape: tuple[int, int]
    dense: Floats | None
    sparse_pairs: Pairs | None
    row_places: Integers
    column_places: Integers
    empty_costs: Floats | None
    required: Integers

    @cached_property
    def pairs(self) -> Pairs:
        """Give the permitted pairs with their utilities, sorted by row and column."""
        if self.sparse_pairs is not None:
            return self.sparse_pairs
        assert self.dense is not None  # noqa: S101 -- one of the two is always set
        rows, columns = np.nonzero(np.isfinite(self.dense))
        return Pairs(self.shape, rows, columns, self.dense[rows, columns])

    @cached_property
    def is_required(self) -> NDArray[np.bool_]:
        """Say of each permitted pair whether it must be made."""
        width = self.shape[1]
        wanted = self.required[:, 0] * width + self.required[:, 1]
        return np.isin(self.pairs.rows * width + self.pairs.columns, wanted)

    @property
    def fills_rows(self) -> bool:
        """Say whether every place of the rows must be filled."""
        return self.empty_costs is None and self.row_places.sum() <= self.column_places.sum()

    @property
    def fills_columns(self) -> bool:
        """Say whether every place of the columns must be filled."""
        return self.empty_costs is None and self.column_places.sum() <= self.row_places.sum()

    @property
    def gains(self) -> Floats:
        """What each permitted pair is worth above leaving the row's place empty."""
        if self.empty_costs is None:
            return self.pairs.gains
        return self.pairs.gains + self.empty_costs[self.pairs.rows]

    def bounds(self, rounds: int = 1) -> Bounds:
        """Give the bounds on the pairs of each row and column over some rounds."""
        rows, columns = self.row_places * rounds, self.column_places * rounds
        return Bounds(
            row_least=rows * self.fills_rows,
            row_most=rows,
            column_least=columns * self.fills_columns,
            column_most=columns,
        )

    def without_required(self) -> Problem:
        """Take the required pairs and the places they use out of the problem."""
        if not self.required.size:
            return self
        rows, columns = self.required.T
        dense, pairs = self.dense, self.sparse_pairs
        if dense is not None:
            dense = dense.copy()
            dense[rows, columns] = -np.inf
        if pairs is not None:
            pairs = pairs.take(~self.is_required)
        return replace(
            self,
            dense=dense,
            sparse_pairs=pairs,
            row_places=self.row_places - np.bincount(rows, minlength=self.shape[0]),
            column_places=self.column_places - np.bincount(columns, minlength=self.shape[1]),
            required=np.empty((0, 2), dtype=np.intp),
        )


def read_problem(utilities: Utilities, constraints: Constraints) -> Problem:
    """Check utilities and constraints and bring them into canonical form.

    Raises:
        InvalidInput: A shape, a capacity, a cost or a pair breaks a rule.
    """
    dense, pairs, shape = _read_utilities(utilities, constraints.forbidden)
    return Problem(
        shape=shape,
        dense=dense,
        sparse_pairs=pairs,
        row_places=_read_places("row_capacity", constraints.row_capacity, shape[0]),
        column_places=_read_places("column_capacity", constraints.column_capacity, shape[1]),
        empty_costs=_read_costs(constraints.unassigned_cost, shape[0]),
        required=_read_pairs("required", constraints.required, shape),
    )


def _read_utilities(
    utilities: Utilities, forbidden: ArrayLike | None
) -> tuple[Floats | None, Pairs | None, tuple[int, int]]:
    if sparse.issparse(utilities):
        pairs = _stored_pairs(sparse.coo_array(utilities))
        allowed = np.isfinite(pairs.gains)
        if forbidden is not None:
            allowed &= ~_is_forbidden(forbidden, pairs)
        pairs = pairs.take(allowed)
    else:
        matrix = _real(utilities)
        if matrix.ndim != 2:  # noqa: PLR2004 -- a matrix
            raise InvalidInput("utilities", "must be a matrix of rows by columns")
        _refuse_infinite_worth(matrix)
        matrix[np.isnan(matrix)] = -np.inf
        _forbid(matrix, forbidden)
        rows, columns = np.nonzero(np.isfinite(matrix))
        if not _is_sparse(matrix.shape, rows.size):
            return matrix, None, matrix.shape
        pairs = Pairs(matrix.shape, rows, columns, matrix[rows, columns])
    if _is_sparse(pairs.shape, pairs.gains.size):
        return None, pairs, pairs.shape
    matrix = np.full(pairs.shape, -np.inf)
    matrix[pairs.rows, pairs.columns] = pairs.gains
    return matrix, None, pairs.shape


def _real(given: Utilities) -> Floats:
    """Copy numbers; None counts as NaN."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            return np.array(given, dtype=np.float64)
    except (TypeError, ValueError, np.exceptions.ComplexWarning):
        raise InvalidInput("utilities", "must be real numbers") from None


def _is_sparse(shape: tuple[int, int], permitted: int) -> bool:
    cells = shape[0] * shape[1]
    return cells > DENSE_CELLS or (max(shape) > SMALL_SIDE and permitted < SPARSE_DENSITY * cells)


def _stored_pairs(utilities: sparse.coo_array) -> Pairs:
    rows, columns = (np.asarray(at, dtype=np.intp) for at in utilities.coords)
    gains = _real(utilities.data)
    _refuse_infinite_worth(gains)
    shape = (int(utilities.shape[0]), int(utilities.shape[1]))
    keys = rows * shape[1] + columns
    steps = np.diff(keys)
    if (steps <= 0).any():
        order = np.argsort(keys, kind="stable")
        rows, columns, gains, steps = (
            rows[order],
            columns[order],
            gains[order],
            np.diff(keys[order]),
        )
    if (steps == 0).any():
        raise InvalidInput("utilities", "must store each pair once")
    return Pairs(shape, rows, columns, gains)


def _refuse_infinite_worth(utilities: Floats) -> None:
    if np.isposinf(utilities).any():
        raise InvalidInput("utilities", "must not be plus infinity; use required pairs")


def _forbid(matrix: Floats, forbidden: ArrayLike | None) -> None:
    if forbidden is None:
        return
    given = np.asarray(forbidden)
    if given.dtype == bool:
        _check_mask(given, matrix.shape)
        matrix[given] = -np.inf
    else:
        rows, columns = _read_pairs("forbidden", forbidden, matrix.shape).T
        matrix[rows, columns] = -np.inf


def _is_forbidden(forbidden: ArrayLike, pairs: Pairs) -> NDArray[np.bool_]:
    given = np.asarray(forbidden)
    if given.dtype == bool:
        _check_mask(given, pairs.shape)
        return np.asarray(given[pairs.rows, pairs.columns])
    rows, columns = _read_pairs("forbidden", forbidden, pairs.shape).T
    return np.isin(pairs.rows * pairs.shape[1] + pairs.columns, rows * pairs.shape[1] + columns)


def _check_mask(mask: NDArray[np.bool_], shape: tuple[int, ...]) -> None:
    if mask.shape != shape:
        raise InvalidInput("forbidden", "must have the shape of the utilities")


def _read_pairs(field: str, given: ArrayLike, shape: tuple[int, ...]) -> Integers:
    pairs = np.asarray(given)
    if pairs.size == 0:
        return np.empty((0, 2), dtype=np.intp)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu":  # noqa: PLR2004
        raise InvalidInput(field, "must be pairs of a row and a column")
    if (pairs < 0).any() or (pairs >= np.asarray(shape)).any():
        raise InvalidInput(field, "must name rows and columns that exist")
    distinct = np.unique(pairs, axis=0)
    return distinct.astype(np.intp)


def _read_places(field: str, given: int | ArrayLike, size: int) -> Integers:
    places = np.asarray(given)
    if places.dtype.kind not in "iu":
        raise InvalidInput(field, "must be whole numbers")
    if places.ndim > 1 or (places.ndim == 1 and places.size != size):
        raise InvalidInput(field, "must be one number, or one a row or column")
    if (places < 0).any():
        raise InvalidInput(field, "must not be negative")
    return np.broadcast_to(places, (size,)).astype(np.intp)


def _read_costs(given: float | ArrayLike | None, size: int) -> Floats | None:
    if given is None:
        return None
    costs = np.asarray(given, dtype=np.float64)
    if costs.ndim > 1 or (costs.ndim == 1 and costs.size != size):
        raise InvalidInput("unassigned_cost", "must be one number, or one a row")
    if not np.isfinite(costs).all():
        raise InvalidInput("unassigned_cost", "must be finite, or None to fill every place")
    return np.broadcast_to(costs, (size,)).astype(np.float64)
