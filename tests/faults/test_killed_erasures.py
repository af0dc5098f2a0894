"""Erasures that are killed as they call or leave any function of ours, and are asked for again.

What leads to the person is gone then, from the database and from beside the keys, and they were
searched for by the identifier as well.
"""

from __future__ import annotations

import base64
import random
import signal
import sys
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from schemas.tables import erasures, subjects
from tasks import erasure as steps
from tests.erasing import a_client_of, ask, die, in_a_child, known_as, let_people_in, run
from warehouse import (
    burial,
    case_file,
    erasure,
    erasure_requests,
    keyfile,
    marks,
    proof,
    residue,
    witness,
)
from warehouse.consents import NoSuchPerson
from warehouse.engine import reading
from warehouse.erasure_requests import close_left_cases

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from sqlalchemy import Engine

    from schemas.settings import Settings
    from tests.faults.conftest import Tally

PROMISE = "a killed erasure, asked for again, leaves nothing of the person beside the keys"
OURS: tuple[ModuleType, ...] = (
    burial,
    case_file,
    erasure,
    erasure_requests,
    keyfile,
    marks,
    proof,
    residue,
    steps,
    witness,
)
"""Modules whose calls and returns are the boundaries; the search makes thousands of its own."""
_FILES = frozenset(str(module.__file__) for module in OURS)


class Installation:
    """People who are erased one after the other."""

    def __init__(self, settings: Settings, engine: Engine, home: Path) -> None:
        self._settings = settings
        self._engine = engine
        self._passed = home / "passed"
        self._names = (f"leaver-{number}@exemple.fr" for number in count())

    def let_in(self, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have so many people."""
        with a_client_of(self._settings, self._passed.parent, monkeypatch) as client:
            names = [f"leaver-{number}@exemple.fr" for number in range(number)]
            let_people_in(client, self._engine, *names)
        self._engine.dispose()

    def boundaries(self) -> int:
        """Erase the next person, and return how many boundaries were passed."""
        name = next(self._names)

        def counted() -> None:
            passed = _at(-1, die)
            self._erase(name)
            sys.setprofile(None)
            self._passed.write_text(str(passed()))

        assert in_a_child(counted) == 0
        return int(self._passed.read_text())

    def kill(self, at: int) -> str | None:
        """Kill the erasure of the next person at a boundary, ask again; say what is left."""
        name = next(self._names)
        pseudonyms = known_as(self._settings, name)
        with reading(self._engine) as connection:
            found = select(subjects.c.ledger_id).where(subjects.c.pseudonym.in_(pseudonyms))
            ledger_id = connection.execute(found).scalar_one()
        self._engine.dispose()

        def killed() -> None:
            _at(at, die)
            self._erase(name)

        assert in_a_child(killed) == signal.SIGKILL
        try:
            self._erase(name)
        except NoSuchPerson:  # it was over
            close_left_cases(self._engine, self._settings.keys)
        return self._left([*pseudonyms, ledger_id], at)

    def _erase(self, name: str) -> None:
        run(self._settings, ask(self._engine, self._settings, name), name=name)

    def _left(self, secrets: list[bytes], at: int) -> str | None:
        keys = self._settings.keys
        files = [path for path in keys.rglob("*") if path.is_file()]
        strange = [path.name for path in files if path.name.startswith(".")]
        strange += [path.name for path in (keys / "erasures").iterdir()]
        holding = [
            path.name
            for path in files
            for secret in secrets
            for form in (secret, base64.b64encode(secret), secret.hex().encode())
            if form in path.read_bytes()
        ]
        with reading(self._engine) as connection:
            known = select(subjects.c.subject).where(subjects.c.pseudonym.in_(secrets))
            people = connection.execute(known).scalars().all()
            states = connection.execute(select(erasures.c.state, erasures.c.report)).all()
        undone = [state for state, _ in states if state != "done"]
        unsearched = [1 for _, report in states if '"identifier":null' in (report or "")]
        left = (strange, holding, people, undone, unsearched)
        return f"killed at {at}: {left} are left" if any(left) else None


def _at(boundary: int, act: Callable[[], None]) -> Callable[[], int]:
    passed = 0

    def profile(frame: Any, event: str, _: object) -> None:
        nonlocal passed
        if event in ("call", "return") and frame.f_code.co_filename in _FILES:
            passed += 1
            if passed == boundary:
                act()

    sys.setprofile(profile)
    return lambda: passed


@pytest.mark.promise(PROMISE)
@pytest.mark.trials(short=4, full=60)
def test_erasure_that_is_killed_anywhere_leaves_nothing_beside_the_keys(
    tally: Tally,
    settings: Settings,
    engine: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installation = Installation(settings, engine, tmp_path)
    installation.let_in(tally.planned + 1, monkeypatch)
    every = installation.boundaries()
    draw = random.Random("erasures")
    # Not one near the end may be missed: there the case file goes.
    late = min(tally.planned // 2, 20)
    chosen = draw.sample(range(every - 20, every), late)
    chosen += draw.sample(range(1, every - 20), tally.planned - late)
    for at in chosen:
        tally.count(installation.kill(at))
    assert tally.failures == []


@pytest.mark.promise(PROMISE)
def test_erasure_that_keeps_its_case_file_is_caught(
    tally: Tally,
    settings: Settings,
    engine: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installation = Installation(settings, engine, tmp_path)
    installation.let_in(2, monkeypatch)
    every = installation.boundaries()
    monkeypatch.setattr(erasure_requests, "close_case", lambda *_: None)
    tally.mutant_caught = installation.kill(every // 2) is not None
    assert tally.mutant_caught
