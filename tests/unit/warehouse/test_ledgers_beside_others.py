"""Whoever leaves while the ledgers are checked is no breach: with many entries it takes minutes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.population import NOW, RUN
from tests.unit.warehouse.test_states import MINUTE, answer, begun
from warehouse import consents, proof, releases
from warehouse.erasure import finish_erasure
from warehouse.erasure_requests import close_left_cases
from warehouse.keyfile import make_ring
from warehouse.ledgers import verify_ledgers

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine


@pytest.fixture
def keys(engine: Engine, tmp_path: Path) -> Path:
    keys = tmp_path / "keys"
    make_ring(keys, 1)
    for name in "abc":
        answer(engine, keys, name, "analytics", "improvement")
    return keys


def end(engine: Engine, keys: Path, request: str) -> None:
    finish_erasure(engine, request, RUN)
    close_left_cases(engine, keys)


def test_who_withdraws_or_is_erased_while_the_ledger_is_read_is_no_breach(
    engine: Engine, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = consents.verify

    def leave_meanwhile(*given: Any, **more: Any) -> int:
        entries = verify(*given, **more)
        answer(engine, keys, "a", at=NOW + MINUTE)
        request = begun(engine, keys, "b")
        proof.sign(engine, keys, request, [], RUN)
        end(engine, keys, request)
        return entries

    with monkeypatch.context() as patch:
        patch.setattr(consents, "verify", leave_meanwhile)
        assert verify_ledgers(engine, keys).reports == 1

    checked = verify_ledgers(engine, keys)
    assert (checked.entries, checked.reports) == (4, 1)


def test_an_erasure_that_ends_while_its_report_is_looked_at_is_no_breach(
    engine: Engine, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = begun(engine, keys, "b")
    proof.sign(engine, keys, request, [], RUN)
    check = releases.check

    def end_meanwhile(*given: Any) -> int:
        end(engine, keys, request)
        return check(*given)

    monkeypatch.setattr(releases, "check", end_meanwhile)

    assert verify_ledgers(engine, keys).reports == 1
