"""Whoever can write the database, and not the keys, changes and hides no report of an erasure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from sqlalchemy import delete, select, update

from schemas.tables import erasures
from tests.population import RUN
from tests.unit.warehouse.test_states import answer, begun
from warehouse import proof
from warehouse.backups import accept_restored
from warehouse.engine import reading, writing
from warehouse.erasure import finish_erasure, read_erasure
from warehouse.erasure_requests import close_left_cases
from warehouse.keyfile import make_ring
from warehouse.ledgers import verify_ledgers
from warehouse.witness import REPORT, Witness, WitnessBroken

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    make_ring(tmp_path / "keys", 1)
    return tmp_path / "keys"


@pytest.fixture
def requests(engine: Engine, keys: Path) -> list[str]:
    """Two erasures that are done, with a signed report each."""
    found = []
    for name, purposes in (("a", ["analytics"]), ("b", ["analytics", "improvement"])):
        answer(engine, keys, name, *purposes)
        request = begun(engine, keys, name)
        proof.sign(engine, keys, request, [], RUN)
        finish_erasure(engine, request, RUN)
        close_left_cases(engine, keys)
        found.append(request)
    assert verify_ledgers(engine, keys).reports == 2
    return found


def rows(engine: Engine) -> list[Any]:
    with reading(engine) as connection:
        columns = erasures.c["request", "state", "subject", "finished_at", "report"]
        return list(connection.execute(select(*columns).order_by(erasures.c.request)))


def change(engine: Engine, request: str, **values: object) -> None:
    with writing(engine) as connection:
        connection.execute(update(erasures).where(erasures.c.request == request).values(**values))


def without_signature(engine: Engine, request: str, **parts: object) -> str:
    report = read_erasure(engine, request).report | parts
    del report["signed"]
    return msgspec.json.encode(report).decode()


@pytest.mark.parametrize("state", ["requested", "deleted", "forgotten"])
def test_a_report_of_an_erasure_that_is_said_to_go_on_is_a_breach(
    engine: Engine, keys: Path, requests: list[str], state: str
) -> None:
    change(engine, requests[0], state=state)

    with pytest.raises(WitnessBroken, match="report"):
        verify_ledgers(engine, keys)


@pytest.mark.parametrize("parts", [{}, {"deleted": {"events": 0}}])
def test_a_report_that_lost_its_signature_is_a_breach(
    engine: Engine, keys: Path, requests: list[str], parts: dict[str, object]
) -> None:
    change(engine, requests[0], report=without_signature(engine, requests[0], **parts))
    with pytest.raises(WitnessBroken, match="report"):
        verify_ledgers(engine, keys)

    change(engine, requests[0], report=None)
    with pytest.raises(WitnessBroken, match="report"):
        verify_ledgers(engine, keys)


def test_two_reports_that_traded_places_are_a_breach(
    engine: Engine, keys: Path, requests: list[str]
) -> None:
    texts = {row.request: row.report for row in rows(engine)}
    change(engine, requests[0], report=texts[requests[1]])

    with pytest.raises(WitnessBroken, match="report"):
        verify_ledgers(engine, keys)


def test_a_report_that_was_deleted_is_put_back_as_it_was(
    engine: Engine, keys: Path, requests: list[str]
) -> None:
    before = rows(engine)
    with writing(engine) as connection:
        connection.execute(delete(erasures).where(erasures.c.request == requests[1]))

    checked = verify_ledgers(engine, keys)

    assert (checked.reports, checked.reports_put_back) == (2, 1)
    assert rows(engine) == before
    assert verify_ledgers(engine, keys).reports_put_back == 0


def test_a_report_that_was_set_back_to_before_the_identifier_was_searched_for_is_put_back(
    engine: Engine, keys: Path, requests: list[str]
) -> None:
    early = read_erasure(engine, requests[0]).report
    proof.add_identifier(engine, keys, requests[0], [], RUN)
    whole = read_erasure(engine, requests[0]).report
    change(engine, requests[0], report=msgspec.json.encode(early).decode())

    assert verify_ledgers(engine, keys).reports_put_back == 1

    assert read_erasure(engine, requests[0]).report == whole != early


def test_what_a_restore_has_set_back_is_put_back_once_somebody_owned_up_to_it(
    engine: Engine, keys: Path, requests: list[str]
) -> None:
    before = rows(engine)
    change(engine, requests[0], state="deleted", report='{"deleted": {}}')
    with pytest.raises(WitnessBroken, match="report"):
        verify_ledgers(engine, keys)

    accept_restored(engine, keys)

    assert verify_ledgers(engine, keys).reports_put_back == 1
    assert rows(engine) == before


def test_an_erasure_under_way_is_no_breach(engine: Engine, keys: Path) -> None:
    answer(engine, keys, "a", "analytics")
    request = begun(engine, keys, "a")
    proof.sign(engine, keys, request, [], RUN)
    report = without_signature(engine, request)
    assert verify_ledgers(engine, keys).reports == 1

    change(engine, request, report=report)  # as when it is stopped before the database has it
    verify_ledgers(engine, keys)

    finish_erasure(engine, request, RUN)
    with pytest.raises(WitnessBroken, match="report"):
        verify_ledgers(engine, keys)


def test_proof_that_was_killed_behind_its_signature_is_signed_once(
    engine: Engine, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(engine, keys, "a", "analytics")
    request = begun(engine, keys, "a")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(proof.erasure, "add_to_report", killed)
        with pytest.raises(KeyboardInterrupt):
            proof.sign(engine, keys, request, [], RUN)
    proof.sign(engine, keys, request, [], RUN)

    signed = [one.body["request"] for one in Witness(keys).verify() if one.kind == REPORT]
    assert signed == [request]
