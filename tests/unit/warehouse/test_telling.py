"""What may be told together, division by division, of rows whose people are given."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warehouse.disclosure import UNTOLD, Telling

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]
    Mask = NDArray[np.bool_]

K = 10


def test_divisions_are_told_together_or_not_at_all() -> None:
    people = np.arange(40)
    telling = Telling(people, K)
    halves, few = people // 20, np.where(people < 3, 0, UNTOLD)
    assert not telling.tell(halves, few)
    assert telling.tell(np.where(people < 25, 0, UNTOLD))


@pytest.mark.parametrize(("accepting", "told"), [(0, True), (3, False), (10, True)])
def test_what_categories_leave_is_held_to_k_for_each_decision(accepting: int, told: bool) -> None:
    people = np.arange(100)
    carers, cooks = people < 30, (people >= 30) & (people < 60)
    accepted = (people % 2 == 0) & (people < 60) | (people >= 100 - accepting)
    telling = Telling(people, K)

    assert telling.tell(np.zeros(100), carers - 1)
    assert telling.tell(np.where(accepted, 0, 1))
    assert telling.tell(np.where(cooks, accepted, UNTOLD))
    assert telling.tell(np.where(carers, accepted, UNTOLD)) is told


def fewest_of_combinations(subjects: Integers, figures: list[Mask], most: int) -> int:
    """Weigh every figure with a whole number up to ``most``; return the fewest people of a sum."""
    kinds, kind = np.unique(np.array(figures).T, axis=0, return_inverse=True)
    people = [set(subjects[kind.ravel() == at].tolist()) for at in range(len(kinds))]
    weights = np.array(list(product(range(-most, most + 1), repeat=len(figures))), np.int8)
    about = np.unique(weights @ kinds.T.astype(np.int8) != 0, axis=0)
    groups = (set().union(*(people[at] for at in np.flatnonzero(one))) for one in about)
    return min((len(group) for group in groups if group), default=len(set(subjects.tolist())))


@st.composite
def small_worlds(draw: st.DrawFn) -> tuple[Integers, list[Integers]]:
    """Draw few people, what each did, and what each figure counts of them."""
    subjects = st.lists(st.integers(0, 15), min_size=9, max_size=30)
    whose = np.array(draw(subjects), np.int64)
    patterns = draw(st.lists(st.lists(st.integers(-1, 1), min_size=5, max_size=5), max_size=7))
    if not patterns:
        return whose, []
    chosen = st.lists(st.integers(0, len(patterns) - 1), min_size=len(whose), max_size=len(whose))
    return whose, list(np.array(patterns, np.int64)[draw(chosen)].T)


@settings(max_examples=150, deadline=None)
@given(small_worlds())
def test_no_weighing_of_figures_is_about_fewer_than_k(world: tuple[Integers, list[Any]]) -> None:
    subjects, divisions = world
    smallest = 4
    telling = Telling(subjects, smallest)
    figures = [
        division == label
        for division in divisions
        if telling.tell(division)
        for label in np.unique(division[division != UNTOLD])
    ]

    if figures:
        assert fewest_of_combinations(subjects, figures[:7], 2) >= smallest
