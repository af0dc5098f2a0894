"""The key file: readable by its owner alone, made once, replaced whole, destroyed for good."""

from __future__ import annotations

import fcntl
import os
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from schemas.errors import KeyMissing, NotReady
from warehouse import keyfile
from warehouse.keyfile import (
    KEY_BYTES,
    KeyRing,
    PseudonymKey,
    day_key,
    days_with_keys,
    destroy_day_key,
    has_ring,
    locked,
    make_ring,
    open_to_others,
    read_ring,
    replace_ring,
    ring_stamp,
)

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_790_000_000_000_000
OLD = PseudonymKey("old", b"o" * KEY_BYTES, NOW - 10)
MIDDLE = PseudonymKey("middle", b"m" * KEY_BYTES, NOW)
COMING = PseudonymKey("coming", b"c" * KEY_BYTES, NOW + 10)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_only_the_owner_may_read_what_is_made(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make_ring(tmp_path / "keys", NOW)
        day_key(tmp_path / "keys", 20_700, make=True)
    finally:
        os.umask(before)

    keys = tmp_path / "keys"
    assert [mode(keys), mode(keys / "days")] == [0o700, 0o700]
    assert [mode(keys / "ring.json"), mode(keys / "days" / "20700.key")] == [0o600, 0o600]


def test_a_new_ring_holds_one_random_key_in_force_from_now(tmp_path: Path) -> None:
    first, second = make_ring(tmp_path / "a", NOW), make_ring(tmp_path / "b", NOW)

    assert [key.since for key in first.pseudonym_keys] == [NOW]
    assert len(first.current.secret) == len(first.digest_key) == KEY_BYTES
    secrets = {first.current.secret, first.digest_key, second.current.secret, second.digest_key}
    assert len(secrets) == 4


def test_a_ring_that_exists_stays_as_it_is(tmp_path: Path) -> None:
    first = make_ring(tmp_path, NOW)

    assert make_ring(tmp_path, NOW + 1) == first == read_ring(tmp_path)


def test_many_who_make_the_ring_at_once_have_the_same_one(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        rings = list(pool.map(lambda number: make_ring(tmp_path, NOW + number), range(32)))

    assert len({ring.current.secret for ring in rings}) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["ring.json"]


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "\xff", '{"pseudonym_keys":[],"digest_key":""}', '{"digest_key":"c2VjcmV0"}'],
)
def test_a_ring_that_cannot_be_used_is_missing_and_not_quoted(content: str, tmp_path: Path) -> None:
    (tmp_path / "ring.json").write_text(content, encoding="latin-1")

    for use in (read_ring, lambda directory: make_ring(directory, NOW)):
        with pytest.raises(KeyMissing, match="is broken; put a copy") as caught:
            use(tmp_path)

    assert "c2VjcmV0" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_ring_that_was_cut_is_broken_and_left_as_it_is(share: float, tmp_path: Path) -> None:
    make_ring(tmp_path, NOW)
    file = tmp_path / "ring.json"
    os.truncate(file, int(file.stat().st_size * share))
    before = file.read_bytes()

    with pytest.raises(KeyMissing, match="is broken; put a copy"):
        make_ring(tmp_path, NOW)

    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({}, []),
        ({".": 0o755}, []),
        ({".": 0o755, "ring.json": 0o640}, ["ring.json"]),
        ({".": 0o711, "days": 0o711, "days/20700.key": 0o604}, ["days/20700.key"]),
        ({".": 0o777, "days": 0o770, "ring.json": 0o666}, [".", "days", "ring.json"]),
        ({"ring.json": 0o666}, []),
    ],
)
def test_what_other_users_may_read_or_change_is_listed(
    changed: dict[str, int], found: list[str], tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    make_ring(keys, NOW)
    day_key(keys, 20_700, make=True)
    for name, mode_ in changed.items():
        (keys / name).chmod(mode_)

    assert open_to_others(keys) == [keys / name for name in found]


def test_without_a_ring_nothing_is_read_and_nothing_is_made(tmp_path: Path) -> None:
    assert not has_ring(tmp_path)
    with pytest.raises(KeyMissing, match="smartmatch init"):
        read_ring(tmp_path)
    with pytest.raises(KeyMissing, match="smartmatch init"):
        ring_stamp(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_replaced_ring_is_read_whole_and_shows_in_the_stamp(tmp_path: Path) -> None:
    made = make_ring(tmp_path, NOW)
    before = ring_stamp(tmp_path)
    rotated = KeyRing([*made.pseudonym_keys, COMING], made.digest_key)

    replace_ring(tmp_path, rotated)

    assert read_ring(tmp_path) == rotated
    assert ring_stamp(tmp_path) != before
    assert mode(tmp_path / "ring.json") == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["ring.json"]


def test_a_key_comes_first_from_its_moment_on_and_last_before_it() -> None:
    ring = KeyRing([OLD, MIDDLE, COMING], b"d" * KEY_BYTES)

    assert ring.usable(NOW) == [MIDDLE, OLD, COMING]
    assert ring.usable(NOW - 1) == [OLD, MIDDLE, COMING]
    assert ring.usable(NOW + 10) == [COMING, MIDDLE, OLD]
    assert ring.usable(0) == [OLD, MIDDLE, COMING]
    assert (ring.current, ring.linking) == (COMING, OLD)


def test_the_key_of_a_day_is_made_once_and_only_on_request(tmp_path: Path) -> None:
    with pytest.raises(KeyMissing):
        day_key(tmp_path, 20_700)

    made = day_key(tmp_path, 20_700, make=True)

    assert len(made) == KEY_BYTES
    assert made == day_key(tmp_path, 20_700) == day_key(tmp_path, 20_700, make=True)
    assert made != day_key(tmp_path, 20_701, make=True)


def test_many_who_make_the_key_of_a_day_at_once_have_the_same_one(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: day_key(tmp_path, 20_700, make=True), range(32)))

    assert len(keys) == 1


def test_days_with_keys_are_listed_oldest_first(tmp_path: Path) -> None:
    assert days_with_keys(tmp_path) == []
    for day in (20_701, 9_999, 20_700):
        day_key(tmp_path, day, make=True)

    assert days_with_keys(tmp_path) == [9_999, 20_700, 20_701]


def test_a_destroyed_key_is_overwritten_before_its_file_goes(tmp_path: Path) -> None:
    day_key(tmp_path, 20_700, make=True)
    file = tmp_path / "days" / "20700.key"
    held = tmp_path / "still-open"
    held.hardlink_to(file)
    before = held.read_bytes()

    destroy_day_key(tmp_path, 20_700)

    assert not file.exists()
    assert len(held.read_bytes()) == len(before)
    assert held.read_bytes() != before
    assert days_with_keys(tmp_path) == []
    with pytest.raises(KeyMissing, match="gone"):
        day_key(tmp_path, 20_700)


def test_destroying_a_key_twice_is_done_once(tmp_path: Path) -> None:
    day_key(tmp_path, 20_700, make=True)

    destroy_day_key(tmp_path, 20_700)
    destroy_day_key(tmp_path, 20_700)

    assert days_with_keys(tmp_path) == []


def test_a_key_file_that_is_no_key_opens_nothing(tmp_path: Path) -> None:
    day_key(tmp_path, 20_700, make=True)
    (tmp_path / "days" / "20700.key").write_bytes(b"\xff not a key")

    with pytest.raises(KeyMissing):
        day_key(tmp_path, 20_700)


def test_who_stands_still_inside_the_lock_of_the_keys_holds_nobody_up_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyfile, "LOCK_SECONDS", 0.1)
    make_ring(tmp_path, NOW)

    with locked(tmp_path), pytest.raises(NotReady, match="holds the key directory"):
        day_key(tmp_path, 20_700, make=True)

    assert day_key(tmp_path, 20_700, make=True)


def test_who_waited_in_vain_only_looks_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, waited = [0.0], []

    def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(keyfile, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    holder = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    for pause in (0.0, 0.0, 2.0, 60.0):
        now[0] += pause
        before = now[0]
        with pytest.raises(NotReady), locked(tmp_path):
            pass
        waited.append(now[0] > before)
    os.close(holder)
    with locked(tmp_path):
        assert waited == [True, False, False, True]
