"""What is remembered of whoever holds a key, while keys are made and revoked."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from ingest.gate import Gate
from ingest.replies import Refused
from warehouse.api_keys import KeyHash, Scope

if TYPE_CHECKING:
    from collections.abc import Callable

RATE = 5


class Keys:
    """What a watch knows, read anew from the database whenever a key is made or revoked."""

    def __init__(self) -> None:
        self.api_keys: dict[bytes, KeyHash] | None = None

    def has_fresh_keys(self) -> bool:
        return True

    def read(self, *numbers: int) -> None:
        self.api_keys = {
            b"%012x" % number: KeyHash(
                hashlib.sha256(b"%043d" % number).digest(), frozenset({Scope.INGEST})
            )
            for number in numbers
        }


def presenting(number: int) -> dict[str, Any]:
    return {"headers": [(b"x-api-key", b"sm_%012x_%043d" % (number, number))]}


DIRECT = {"client": ("127.0.0.1", 50_000), "headers": []}


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> Keys:
    monkeypatch.setattr("ingest.gate.time", SimpleNamespace(monotonic=lambda: 0.0))
    return Keys()


@pytest.fixture
def gate(keys: Keys) -> Gate:
    watch: Any = keys
    return Gate(watch, RATE, ())


def refused(call: Callable[..., Any], *given: Any) -> int:
    with pytest.raises(Refused) as found:
        call(*given)
    return found.value.refusal.status


def test_what_a_key_has_spent_stays_spent_when_other_keys_change(gate: Gate, keys: Keys) -> None:
    keys.read(1, 2)
    for number in (1, 2):
        for _ in range(RATE):
            gate.admit(presenting(number))
    for others in ((2, 3), (), (2,), (2, 3, 4)):
        keys.read(1, *others)
        for number in others[1:]:
            gate.admit(presenting(number))
        assert refused(gate.admit, presenting(1)) == 429


def test_callers_of_keys_that_are_no_more_are_forgotten(gate: Gate, keys: Keys) -> None:
    for number in range(100):
        keys.read(number, number + 1)
        gate.admit(presenting(number))
        assert len(gate._callers) <= 2


def test_who_was_let_in_is_asked_for_again(gate: Gate, keys: Keys) -> None:
    direct = gate.admit(DIRECT)
    gate.confirm(direct)
    keys.read(1, 2)
    assert refused(gate.confirm, direct) == 401
    first, second = gate.admit(presenting(1)), gate.admit(presenting(2))
    keys.read(2, 3)
    gate.confirm(second)
    assert refused(gate.confirm, first) == 401
    keys.read()
    assert refused(gate.confirm, second) == 401
