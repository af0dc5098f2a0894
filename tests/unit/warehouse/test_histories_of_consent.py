"""Any history of grants, withdrawals, events, runs and erasures admits no row that is forbidden.

People answer, withdraw, act, act late, send again, and ask to be erased, in any order, at a server
that hears of everything and at one that hears of nothing. Runs read and commit in between. At every
read each row's person allows the purpose now; of who was erased nothing comes back; and when all
are erased nothing is left.
"""

from __future__ import annotations

import itertools
import math
import time
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as bounds
from hypothesis import strategies as st
from sqlalchemy import select, true

from ingest.arrivals import Intake
from privacy.pseudonyms import subject_pseudonym
from schemas.clock import micros
from schemas.errors import ConsentRequired
from schemas.purposes import Purpose
from schemas.tables import events, matches, metric_sums, receipts, rejected, staged, subjects
from tests.serving import client_of
from warehouse import batches, burial, erasure, history, match_rows, proposals, staging
from warehouse.engine import reading, writing
from warehouse.erasure_requests import begin_for
from warehouse.keyfile import read_ring
from warehouse.leases import PROCESS_EVENTS, Lease, lease
from warehouse.match_rows import read_matches
from warehouse.recount import reconcile
from warehouse.rejections import replay_rejected
from warehouse.subtraction import settle, unsettled
from warehouse.training import read_training

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from schemas.settings import Settings
    from warehouse.batch_frame import Batch

PEOPLE = range(3)
ROUTES: dict[str, dict[str, Any]] = {
    "match-proposed": {"match_score": 0.5},
    "match-decision": {"decision": True},
    "match-feedback": {"rating": 4},
}
HELD = (staged, rejected, events, matches)
_stories = itertools.count()

Step = tuple[Any, ...]


@dataclass
class Told:
    """One person, as they were told to be: what they allow, and which life they are in."""

    name: str
    allowed: frozenset[str] = frozenset()
    request: str | None = None
    life: int = 0
    erased: datetime | None = None

    def allows(self, purpose: Purpose) -> bool:
        return purpose in self.allowed and self.request is None

    def was_erased_since(self, at: datetime) -> bool:
        return self.erased is not None and at <= self.erased


@dataclass
class Story:
    """People, two servers and a flow; every step is checked against what people were told."""

    settings: Settings
    engine: Engine
    doors: tuple[Any, Any]
    held: dict[str, Lease]
    people: list[Told] = field(default_factory=list)
    sent: dict[bytes, tuple[Told, int, dict[str, Any]]] = field(default_factory=dict)
    batch: Batch | None = None

    def run(self, steps: list[Step]) -> None:
        """Take steps, and then erase everybody."""
        self._clear()
        number = next(_stories)
        self.people = [Told(f"person {number}-{place}") for place in PEOPLE]
        for name, *arguments in steps:
            getattr(self, name)(*arguments)
        self.train()
        self.measure()
        for place in PEOPLE:
            self.ask(place)
            self.erase(place)
        with reading(self.engine) as connection:
            for table in (*HELD, metric_sums):
                left = connection.execute(select(table)).all()
                assert left == [], f"{table.name} of nobody"

    def answer(self, place: int, allowed: frozenset[str]) -> None:
        person = self.people[place]
        body = {"user_id": person.name, **dict.fromkeys(allowed, True)}
        status = self.doors[0].post("/api/tracking/consent", json=body).status_code
        assert status == (200 if person.request is None else 409)
        if status == 200:
            person.allowed = frozenset(allowed)

    def act(self, place: int, match: int, route: str, door: int, days_ago: int) -> None:
        person, event_id = self.people[place], uuid.uuid4()
        at = datetime.now(UTC) - timedelta(days=days_ago, seconds=1)
        body = {
            "user_id": person.name,
            "match_id": f"{self.people[0].name} {match}",
            "event_id": str(event_id),
            "occurred_at": at.isoformat(),
            **ROUTES[route],
        }
        status = self._send(door, route, body)
        # Who hears of nothing may refuse what is allowed by now, never the other way round; and
        # whoever has heard of an erasure refuses what happened before it.
        expected = {200} if person.allows(Purpose.ANALYTICS) else {403}
        assert status in expected | ({403} if door or person.was_erased_since(at) else set())
        self.sent[event_id.bytes] = (person, person.life, {"route": route, "body": body})

    def again(self, which: int) -> None:
        """Send again what was sent before, as a client does that had no reply."""
        if not self.sent:
            return
        person, life, sent = list(self.sent.values())[which % len(self.sent)]
        self.doors[0].app.service.watch._poll()
        status = self._send(0, **sent)
        at = datetime.fromisoformat(sent["body"]["occurred_at"])
        is_late = person.life != life or person.was_erased_since(at)
        allowed = person.allows(Purpose.ANALYTICS) and not is_late
        assert status == (200 if allowed else 403)

    def _send(self, door: int, route: str, body: dict[str, Any]) -> int:
        answer = self.doors[door].post(f"/api/tracking/event/{route}", json=body)
        return int(answer.status_code)

    def read(self) -> None:
        parts = batches.plan(self.engine, 1_000)
        self.batch = (
            batches.read(self.engine, parts[0], micros(datetime.now(UTC))) if parts else None
        )

    def commit(self, broken: int) -> None:
        """Commit what was read, with so many of its events broken."""
        with writing(self.engine) as connection:
            settle(connection, unsettled(connection))
        if self.batch is None:
            return
        before, now = self._ids(events), micros(datetime.now(UTC))
        wrong = {"rating: wrong": self.batch.seq[:broken].tolist()}
        batches.commit(self.engine, self.held[PROCESS_EVENTS], self.batch, wrong, {}, as_of=now)
        self.batch = None
        for event_id in self._ids(events) - before:
            assert self.sent[event_id][0].allows(Purpose.ANALYTICS), "processed and not allowed"
        reconcile(self.engine, 0)
        self.look()

    def process(self, broken: int) -> None:
        self.read()
        self.commit(broken)

    def replay(self) -> None:
        before = self._ids(staged)
        replay_rejected(self.engine)
        for event_id in self._ids(staged) - before:
            assert self.sent[event_id][0].allows(Purpose.ANALYTICS), "replayed and not allowed"

    def train(self) -> None:
        frame = read_training(self.engine, since_day=0, as_of=datetime.now(UTC)).frame
        self._allow(frame["subject"], Purpose.IMPROVEMENT)
        if history.ACCEPTED in frame.columns:
            told = frame[history.ACCEPTED].notna()
            self._allow(frame.loc[told, "subject"], Purpose.PREFERENCES)

    def measure(self) -> None:
        with reading(self.engine) as connection:
            rows = read_matches(connection, Purpose.ANALYTICS, "m.match_key IS NOT NULL", {})
            explained = proposals.select_proposals(connection, Purpose.ANALYTICS)
        self._allow(rows["subject"][rows["allowed"]], Purpose.ANALYTICS)
        self._allow(explained["subject"], Purpose.ANALYTICS)

    def ask(self, place: int) -> None:
        """Ask for an erasure, behind the back of both servers."""
        person = self.people[place]
        if person.request is None and self._known_as(person) in self._numbers().values():
            now = datetime.now(UTC)
            with writing(self.engine) as connection:
                person.request = begin_for(
                    connection, self.settings.keys, [self._known_as(person)], now
                )

    def erase(self, place: int) -> None:
        person = self.people[place]
        if person.request is None:
            return
        now = datetime.now(UTC)
        marks = burial.bury(self.engine, self.settings.keys, person.request, now)
        erasure.delete_subject(self.engine, person.request, self.held["erase_subject"], marks=marks)
        erasure.mark_forgotten(self.engine, person.request)
        erasure.finish_erasure(self.engine, person.request, now)
        person.allowed, person.request, person.life = frozenset(), None, person.life + 1
        person.erased = now
        self.look()

    def look(self) -> None:
        """See that nothing is held of who was erased, and nothing that was refused."""
        for table in (staged, rejected, events):
            for event_id in self._ids(table):
                person, life, _ = self.sent[event_id]
                assert person.life == life, f"{table.name} of somebody who was erased"
        known = self._numbers().keys()
        with reading(self.engine) as connection:
            for table in HELD:
                of = set(connection.execute(select(table.c.subject)).scalars())
                assert of <= known, f"{table.name} of somebody unknown"

    def _allow(self, numbers: Any, purpose: Purpose) -> None:
        known = self._numbers()
        by_pseudonym = {self._known_as(person): person for person in self.people}
        for number in set(numbers):
            assert by_pseudonym[known[number]].allows(purpose), f"read for {purpose}"

    def _numbers(self) -> dict[int, bytes]:
        with reading(self.engine) as connection:
            rows = connection.execute(select(subjects.c.subject, subjects.c.pseudonym))
            return dict(rows.tuples().all())

    def _known_as(self, person: Told) -> bytes:
        return subject_pseudonym(read_ring(self.settings.keys).current.secret, person.name)

    def _ids(self, table: Any) -> set[bytes]:
        with reading(self.engine) as connection:
            return set(connection.execute(select(table.c.event_id)).scalars())

    def _clear(self) -> None:
        self.sent, self.batch = {}, None
        with writing(self.engine) as connection:
            for table in (*HELD, metric_sums, receipts, subjects):
                connection.execute(table.delete())


PURPOSES = st.frozensets(st.sampled_from([str(purpose) for purpose in Purpose]))
PERSON = st.sampled_from(PEOPLE)
ACT = st.tuples(
    st.just("act"), PERSON, st.integers(0, 1), st.sampled_from(list(ROUTES)), st.integers(0, 1),
    st.sampled_from([0, 0, 1, 9]),
)  # fmt: skip
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("answer"), PERSON, PURPOSES),
        st.tuples(st.just("answer"), PERSON, st.just(frozenset(Purpose))),
        ACT,
        ACT,
        ACT,
        st.tuples(st.just("again"), st.integers(0, 9)),
        st.sampled_from([("read",), ("train",), ("measure",), ("replay",)]),
        st.tuples(st.sampled_from(["commit", "process"]), st.integers(0, 1)),
        st.tuples(st.sampled_from(["ask", "erase"]), PERSON),
    ),
    max_size=24,
)


@pytest.fixture
def story(settings: Settings, engine: Engine) -> Iterator[Story]:
    """Nothing has happened; the second server will hear of nothing."""
    with ExitStack() as opened:
        hears, deaf = (opened.enter_context(client_of(settings)) for _ in range(2))
        watch = deaf.app.service.watch  # type: ignore[attr-defined]
        watch._interval = 3_600.0
        time.sleep(0.4)  # the turn that it has already begun to wait for
        watch.consents_until = watch.api_keys_until = math.inf
        held = {
            name: opened.enter_context(lease(engine, name, 3_600))
            for name in (PROCESS_EVENTS, "erase_subject")
        }
        yield Story(settings, engine, (hears, deaf), held)


def test_no_history_admits_a_forbidden_row(story: Story) -> None:
    @bounds(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @given(STEPS)
    def hold(steps: list[Step]) -> None:
        story.run(steps)

    hold()


ALL, NO_LEARNING = frozenset(Purpose), frozenset({"analytics"})
TELLING: list[Step] = [
    *[("answer", place, ALL) for place in PEOPLE],
    *[("act", place, 0, route, 1, 2) for place in PEOPLE for route in ROUTES],
    ("process", 1),
    ("act", 0, 1, "match-proposed", 1, 0),
    ("act", 1, 1, "match-proposed", 0, 0),
    ("read",),
    ("answer", 0, frozenset({"improvement"})),
    ("answer", 1, NO_LEARNING),
    ("commit", 0),
    ("train",),
    ("measure",),
    ("answer", 1, frozenset({"analytics", "improvement"})),
    ("train",),
    ("act", 0, 1, "match-decision", 1, 0),
    ("replay",),
    ("process", 0),
    ("ask", 0),
    ("act", 0, 1, "match-decision", 1, 0),
    ("erase", 0),
    ("answer", 0, ALL),
    ("again", 1),
    ("replay",),
    ("process", 0),
]
"""A history in which each of the faults below shows."""


def _trust(connection: Any, batch: Any, **more: Any) -> Any:
    found = _ask(connection, batch, **more)
    found[:, 1] = 1
    return found


_ask = batches._consents
_delete = erasure._delete_rows
FAULTS: dict[str, tuple[Any, str, Any]] = {
    "training joins no consent": (proposals, "consented", lambda _purpose: true()),
    "histories join no consent": (history, "consented", lambda _purpose: true()),
    "sums join no consent": (match_rows, "consented_sql", lambda *_: "(s.subject IS NOT NULL)"),
    "a run trusts what it read": (batches, "_consents", _trust),
    "a server trusts what it remembers": (staging, "_known", lambda arrival, _count: arrival),
    "an erasure leaves the rejected": (
        erasure,
        "_delete_rows",
        lambda connection, table, subject: (
            0 if table is rejected else _delete(connection, table, subject)
        ),
    ),
    "an erasure leaves the sums": (erasure, "subtract_subject", lambda *_: {}),
    "a tombstone is not looked at": (Intake, "_was_erased", lambda *_: False),
}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_telling_history_finds_each_fault(story: Story) -> None:
    story.run(TELLING)
    missed = []
    for fault, (owner, name, wrong) in FAULTS.items():
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(owner, name, wrong)
            try:
                story.run(TELLING)
            except (AssertionError, ConsentRequired):
                continue
            missed.append(fault)

    assert missed == []
