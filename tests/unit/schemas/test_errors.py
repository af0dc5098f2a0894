"""Errors reach a person from wherever they were raised."""

from __future__ import annotations

import pickle

import pytest

from schemas import errors
from schemas.errors import BatchUnusable, InvalidInput, SmartMatchError

ONE_SENTENCE = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type)
    and issubclass(kind, SmartMatchError)
    and kind not in {InvalidInput, BatchUnusable}
]


@pytest.mark.parametrize("kind", ONE_SENTENCE)
def test_error_travels_between_processes(kind: type[SmartMatchError]) -> None:
    found = pickle.loads(pickle.dumps(kind("a sentence")))  # our own bytes

    assert (type(found), str(found)) == (kind, "a sentence")


def test_field_and_rule_travel_between_processes() -> None:
    found = pickle.loads(pickle.dumps(InvalidInput("rating", "must be at most 5")))

    assert (found.field, found.rule) == ("rating", "must be at most 5")
    assert str(found) == "rating: must be at most 5"


def test_suite_and_rule_travel_between_processes() -> None:
    found = pickle.loads(pickle.dumps(BatchUnusable("training_set", "accepted: must be there")))

    assert (found.suite, found.rule) == ("training_set", "accepted: must be there")
    assert str(found) == "training_set: accepted: must be there"
