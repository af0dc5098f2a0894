"""Rotation: people stay linked where they are met again, and a destroyed key cuts the others."""

from __future__ import annotations

import base64
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from sqlalchemy import select

from ingest.arrivals import Intake, person_of
from schemas.consents import Options
from schemas.errors import InvalidInput
from schemas.events import MatchDecisionEvent, MatchProposedEvent
from schemas.tables import staged, subjects
from tests.erasing import die, in_a_child
from warehouse import consents, keyfile
from warehouse.engine import reading, writing
from warehouse.key_rotation import KeyCopied, destroy, periods, rotate
from warehouse.keyfile import make_ring, read_ring
from warehouse.notices import Notice
from warehouse.staging import Outcome, stage
from warehouse.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Engine

    from schemas.events import Event

SECOND = 1_000_000
START = 1_790_000_000 * SECOND


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    make_ring(tmp_path / "ring", START)
    return tmp_path / "ring"


@pytest.fixture
def watch(engine: Engine, keys: Path) -> Iterator[Watch]:
    watch = Watch(engine, keys, 0.5)
    yield watch
    watch.close()


def answer(engine: Engine, keys: Path, user_id: str, now: int, *, allows: bool = True) -> int:
    person = person_of(read_ring(keys), user_id, now)
    entry = consents.Entry(
        uuid4(), Options(allows, False, False), Notice("1", bytes(32)), "test", None, now
    )
    with writing(engine) as connection:
        return consents.record(connection, person, entry).subject


def send(engine: Engine, intake: Intake, event: Event, now: int, *, fresh: bool = False) -> Outcome:
    arrival = intake.arrive(event, now, fresh=fresh)
    with writing(engine) as connection:
        return stage(connection, [arrival], now)[0]


def proposed(user_id: str) -> MatchProposedEvent:
    return MatchProposedEvent(
        user_id=user_id,
        match_id="m",
        session_id="s",
        match_score=0.5,
        match_parameters={},
        alternatives_count=1,
        constraint_satisfaction={},
    )


def decided(user_id: str) -> MatchDecisionEvent:
    return MatchDecisionEvent(
        user_id=user_id, match_id="m", session_id="s", decision=True, decision_time_seconds=1.0
    )


def key_of(engine: Engine, subject: int) -> str:
    with reading(engine) as connection:
        return connection.execute(
            select(subjects.c.key_id).where(subjects.c.subject == subject)
        ).scalar_one()


def test_a_running_server_moves_people_to_a_new_key_and_keeps_their_rows_together(
    engine: Engine, keys: Path, watch: Watch
) -> None:
    person = answer(engine, keys, "anna", START)
    intake = Intake(watch, keys, 395)
    assert send(engine, intake, proposed("anna"), START + 1) == Outcome.STORED

    fresh = rotate(keys, START + 2, lead_seconds=10)
    watch._poll()
    assert send(engine, intake, proposed("anna"), START + 3) == Outcome.STORED
    before = key_of(engine, person)
    assert send(engine, intake, decided("anna"), fresh.since + 1) == Outcome.STORED

    assert before != fresh.key_id == key_of(engine, person)
    with reading(engine) as connection:
        linked = connection.execute(
            select(staged.c.subject, staged.c.match_key, staged.c.session_key).distinct()
        ).all()
    assert len(linked) == 1
    assert linked[0].subject == person
    assert answer(engine, keys, "anna", fresh.since + 2) == person


def test_two_servers_of_which_one_has_not_read_the_key_yet_know_one_person(
    engine: Engine, keys: Path, watch: Watch
) -> None:
    late = Watch(engine, keys, 0.5)
    late.close()
    fresh = rotate(keys, START, lead_seconds=60)
    watch._poll()
    before = fresh.since - 1

    first = answer(engine, keys, "anna", before)
    assert send(engine, Intake(watch, keys, 395), proposed("anna"), before) == Outcome.STORED
    assert send(engine, Intake(late, keys, 395), proposed("anna"), before) == Outcome.STORED

    with reading(engine) as connection:
        assert connection.execute(select(subjects.c.subject)).scalars().all() == [first]
        assert set(connection.execute(select(staged.c.subject)).scalars()) == {first}


def test_a_clock_that_is_set_back_to_before_a_key_began_knows_one_person(
    engine: Engine, keys: Path, watch: Watch
) -> None:
    person = answer(engine, keys, "anna", START)
    fresh = rotate(keys, START, lead_seconds=10)
    watch._poll()
    intake, before, after = Intake(watch, keys, 395), fresh.since - 1, fresh.since + 1
    assert send(engine, intake, proposed("anna"), after) == Outcome.STORED
    assert key_of(engine, person) == fresh.key_id
    assert send(engine, intake, decided("anna"), before) == Outcome.STORED

    assert answer(engine, keys, "anna", before, allows=False) == person

    assert send(engine, intake, decided("anna"), before) == Outcome.FORBIDDEN
    assert send(engine, intake, decided("anna"), after) == Outcome.FORBIDDEN
    assert answer(engine, keys, "anna", after) == person
    assert key_of(engine, person) == fresh.key_id


def test_two_servers_of_which_one_s_clock_is_behind_know_one_person_and_forget_them(
    engine: Engine, keys: Path, watch: Watch
) -> None:
    person = answer(engine, keys, "anna", START)
    fresh = rotate(keys, START, lead_seconds=10)
    watch._poll()
    before, after = fresh.since - 1, fresh.since + 1
    ahead, behind = Intake(watch, keys, 395), Intake(watch, keys, 395)
    assert send(engine, ahead, proposed("anna"), after) == Outcome.STORED
    known_as = [person_of(watch.ring, "anna", at).candidates[0] for at in (before, after)]
    assert len(set(known_as)) == 2
    watch.consents.learn(dict.fromkeys(known_as, person), seen=1_000)

    assert answer(engine, keys, "anna", before, allows=False) == person
    assert answer(engine, keys, "bert", before) != person
    watch._poll()

    for intake, now in ((ahead, after), (behind, before)):
        assert send(engine, intake, decided("anna"), now, fresh=True) == Outcome.FORBIDDEN
        assert send(engine, intake, decided("bert"), now, fresh=True) == Outcome.STORED


def test_a_destroyed_key_makes_those_unlinkable_who_did_not_come_back(
    engine: Engine, keys: Path
) -> None:
    gone, stayed = (answer(engine, keys, name, START) for name in ("gone", "stayed"))
    first = read_ring(keys).current
    fresh = rotate(keys, START, lead_seconds=1)
    later = fresh.since + 1
    assert answer(engine, keys, "stayed", later) == stayed
    secret = (keys / "ring.json").read_bytes()

    destroy(keys, first.key_id, later)

    assert answer(engine, keys, "stayed", later) == stayed
    assert answer(engine, keys, "gone", later) != gone
    old, new = periods(engine, read_ring(keys))
    assert (old.key_id, old.subjects, old.unlinkable) == (first.key_id, 1, 1)
    assert (old.since, old.until, old.destroyed_at) == (first.since, fresh.since, later)
    assert (new.subjects, new.unlinkable, new.links) == (2, 0, True)
    assert secret != (keys / "ring.json").read_bytes()


def test_the_bytes_of_a_destroyed_key_are_overwritten(engine: Engine, keys: Path) -> None:
    first = rotate(keys, START, lead_seconds=1)
    held = keys.parent / "still-open"
    held.hardlink_to(keys / "ring.json")
    before = held.read_bytes()

    destroy(keys, read_ring(keys).pseudonym_keys[0].key_id, first.since)

    assert len(held.read_bytes()) == len(before)
    assert b"secret" in before
    assert b"secret" not in held.read_bytes()


def written(keys: Path) -> bytes:
    return b"".join(path.read_bytes() for path in keys.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("module", "name"),
    [(os, "fsync"), (Path, "replace"), (keyfile, "sync_directory"), (keyfile, "_overwrite")],
)
def test_a_rotation_that_was_killed_leaves_no_copy_of_a_key_that_is_destroyed(
    module: Any, name: str, keys: Path
) -> None:
    first = read_ring(keys).current

    def killed() -> None:
        setattr(module, name, die)
        rotate(keys, START, lead_seconds=1)

    assert in_a_child(killed) == signal.SIGKILL
    fresh = read_ring(keys).current
    # The draft goes with the next change of any file, and at the latest as the key does.
    if fresh == first:
        fresh = rotate(keys, START, lead_seconds=1)
    destroy(keys, first.key_id, fresh.since + 1)

    assert base64.b64encode(first.secret) not in written(keys)
    assert [path.name for path in keys.iterdir()] == ["ring.json"]


@pytest.mark.parametrize("name", ["hardlink_to", "unlink"])
def test_a_first_key_file_that_was_killed_as_it_got_its_name_is_kept_whole(
    name: str, tmp_path: Path
) -> None:
    def killed() -> None:
        setattr(Path, name, die)
        make_ring(tmp_path, START)

    assert in_a_child(killed) == signal.SIGKILL
    ring = make_ring(tmp_path, START)
    fresh = rotate(tmp_path, START, lead_seconds=1)

    assert read_ring(tmp_path).pseudonym_keys == [*ring.pseudonym_keys, fresh]
    assert [path.name for path in tmp_path.iterdir()] == ["ring.json"]


@pytest.mark.parametrize("form", [bytes, base64.b64encode, bytes.hex])
def test_a_key_of_which_there_is_a_copy_beside_it_is_not_said_to_be_destroyed(
    form: Callable[[bytes], Any], keys: Path
) -> None:
    first = read_ring(keys).current
    fresh = rotate(keys, START, lead_seconds=1)
    copy = keys / "days" / "ring.json.before"
    copy.parent.mkdir()
    content = form(first.secret)
    copy.write_bytes(content if isinstance(content, bytes) else content.encode())

    with pytest.raises(KeyCopied, match=r"delete days/ring\.json\.before first"):
        destroy(keys, first.key_id, fresh.since + 1)

    assert first in read_ring(keys).pseudonym_keys
    copy.unlink()
    destroy(keys, first.key_id, fresh.since + 1)
    assert base64.b64encode(first.secret) not in written(keys)


@pytest.mark.parametrize("later", [-1, 1])
def test_the_key_in_use_is_not_destroyed(later: int, keys: Path) -> None:
    first = read_ring(keys).current
    fresh = rotate(keys, START, lead_seconds=1)
    target = first if later < 0 else fresh

    with pytest.raises(InvalidInput, match="in use"):
        destroy(keys, target.key_id, fresh.since + later)
    with pytest.raises(InvalidInput, match="exists"):
        destroy(keys, "nokey", fresh.since + later)


def test_rotations_at_once_lose_no_key(keys: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: rotate(keys, START, lead_seconds=1).key_id, range(16)))

    ring = read_ring(keys)
    assert {key.key_id for key in ring.pseudonym_keys} >= set(made)
    assert len(ring.pseudonym_keys) == 17
    starts = [key.since for key in ring.pseudonym_keys]
    assert starts == sorted(set(starts))


def test_a_key_that_is_to_begin_in_years_can_be_destroyed(keys: Path) -> None:
    first = read_ring(keys).current
    far = rotate(keys, START + 3_650 * 86_400 * SECOND)

    destroy(keys, far.key_id, START + 1)

    assert rotate(keys, START + 2, lead_seconds=1).since == START + 2 + SECOND
    assert read_ring(keys).pseudonym_keys[0] == first


def test_what_a_killed_destruction_left_of_a_key_is_overwritten_with_the_next_change(
    keys: Path,
) -> None:
    first = read_ring(keys).current
    fresh = rotate(keys, START, lead_seconds=1)
    secret = base64.b64encode(first.secret)

    def killed() -> None:
        module: Any = keyfile
        module._overwrite = die
        destroy(keys, first.key_id, fresh.since + 1)

    with (keys / "ring.json").open("rb") as held:
        assert in_a_child(killed) == signal.SIGKILL
        assert secret in held.read()
        rotate(keys, fresh.since + 2, lead_seconds=1)
        held.seek(0)
        assert secret not in held.read()
