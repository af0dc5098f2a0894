"""A backup taken under load and put back: nothing before it is lost, and nobody is back."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

import httpx
import pytest
from sqlalchemy import func, select

from privacy.pseudonyms import subject_pseudonym
from schemas.clock import moment
from schemas.tables import events, matches, staged, subjects
from tests.faults.processes import ForkedServer, forked
from tests.faults.worlds import now
from tests.faults.writers import started, stopped
from tests.histories import process
from tests.serving import allow, proposed
from warehouse import burial, tombstones
from warehouse.audit import balance, stored_event_ids
from warehouse.backups import accept_restored, back_up, put_back
from warehouse.engine import reading, writing
from warehouse.erasure import delete_subject, finish_erasure, mark_forgotten
from warehouse.erasure_requests import begin_for, pending_erasures
from warehouse.keyfile import read_ring
from warehouse.leases import lease
from warehouse.ledgers import verify_ledgers
from warehouse.recount import reconcile

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from schemas.settings import Settings
    from tests.faults.conftest import Tally

pytestmark = [
    pytest.mark.promise("a backup put back: nothing before it is lost, and nobody is back"),
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
]

ERASED, WITHDRAWN = "leaver", "doubter"
PROPOSED = "/api/tracking/event/match-proposed"


@dataclass
class Life:
    """An installation under load that is backed up, loses people, and is put back."""

    settings: Settings
    engine: Engine
    directory: Path
    before: set[UUID] = field(default_factory=set)

    def live(self, name: str) -> list[str]:
        """Return what is wrong after a backup under load was put back."""
        log = self.directory / "server.log"
        server = ForkedServer(forked("tests.faults.jobs"), self.settings, log)
        writers = started(server, 4)
        with httpx.Client(base_url=server.url, timeout=20) as client:
            for person in (ERASED, WITHDRAWN):
                allow(client, person)
                assert client.post(PROPOSED, json=proposed(user_id=person)).status_code == 200
            process(self.engine, as_of=now(), validate=False)
            time.sleep(0.2)
            self.before = set().union(*(set(writer.acknowledged) for writer in writers))
            file = self.directory / f"{name}.backup"
            back_up(self.engine, file)
            self._lose_people(client)
        stopped(writers)
        server.stop()
        put_back(self.engine, file, self.settings.keys)
        accept_restored(self.engine, self.settings.keys)
        return self._wrong()

    def _lose_people(self, client: httpx.Client) -> None:
        """Erase one person, as the flow does, and let another withdraw."""
        allow(client, WITHDRAWN, analytics=False)
        at, keys = moment(now()), self.settings.keys
        # Asked for over HTTP, it would start a process of its own.
        with writing(self.engine) as connection:
            begin_for(connection, keys, [self._pseudonym(ERASED)], at)
        for request in pending_erasures(self.engine):
            marks = burial.bury(self.engine, keys, request, at)
            with lease(self.engine, "erase_subject", 60) as held:
                delete_subject(self.engine, request, held, marks=marks)
            mark_forgotten(self.engine, request)
            finish_erasure(self.engine, request, at)

    def _wrong(self) -> list[str]:
        wrong = []
        lost = self.before - set(stored_event_ids(self.engine))
        if lost or not self.before:
            wrong.append(f"{len(lost)} events of before the backup are gone")
        if self._rows(ERASED):
            wrong.append("somebody who was erased is back")
        with reading(self.engine) as connection:
            told = subjects.c.pseudonym == self._pseudonym(WITHDRAWN)
            allowed = connection.execute(select(subjects.c.analytics).where(told)).scalar_one()
        if allowed:
            wrong.append("a consent that was withdrawn is back")
        if not balance(self.engine).agrees:
            wrong.append("the books do not balance")
        process(self.engine, as_of=now(), validate=False)
        reconcile(self.engine, 0)
        verify_ledgers(self.engine, self.settings.keys)
        return wrong

    def _rows(self, name: str) -> int:
        """Count the rows of the tables of people that are a person's."""
        with reading(self.engine) as connection:
            told = subjects.c.pseudonym == self._pseudonym(name)
            number = connection.execute(select(subjects.c.subject).where(told)).scalar()
            return sum(
                connection.execute(
                    select(func.count()).select_from(table).where(table.c.subject == number)
                ).scalar_one()
                for table in (subjects, staged, events, matches)
            )

    def _pseudonym(self, name: str) -> bytes:
        return subject_pseudonym(read_ring(self.settings.keys).current.secret, name)


@pytest.mark.trials(short=1, full=20)
def test_nothing_before_the_backup_is_lost_and_nobody_is_back(
    settings: Settings, engine: Engine, tmp_path: Path, tally: Tally
) -> None:
    life = Life(settings, engine, tmp_path)
    for trial in range(tally.planned):
        tally.count("; ".join(life.live(str(trial))) or None)
    assert tally.failures == []


def test_restore_that_does_not_follow_the_witness_is_caught(
    settings: Settings,
    engine: Engine,
    tmp_path: Path,
    tally: Tally,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tombstones, "catch_up", lambda *_: 0)
    found = Life(settings, engine, tmp_path).live("forgetful")
    tally.mutant_caught = any("is back" in fault for fault in found)
    assert tally.mutant_caught
