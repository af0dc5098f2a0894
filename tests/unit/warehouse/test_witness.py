"""The witness: every change of it shows, and a killed writer leaves it whole."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from schemas.errors import NotReady
from warehouse.keyfile import make_ring
from warehouse.witness import FILE_NAME, HEAD, TOMBSTONE, Witness, WitnessBroken

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    make_ring(tmp_path, 1)
    return Witness(tmp_path)


def fill(witness: Witness, entries: int = 4) -> None:
    for number in range(entries):
        kind = TOMBSTONE if number % 2 else HEAD
        witness.append(kind, {"request": str(number), "seq": number}, number)


def test_entries_are_numbered_chained_and_counted(witness: Witness) -> None:
    assert witness.last() is None
    assert witness.verify() == []

    fill(witness)

    found = witness.verify()
    assert [(entry.seq, entry.marks) for entry in found] == [(1, 0), (2, 1), (3, 1), (4, 2)]
    assert found[-1] == witness.last()
    assert [entry.previous for entry in found[1:]] == [entry.hash for entry in found[:-1]]


@pytest.mark.parametrize("bit", [0x04, 0x80])
def test_every_flipped_byte_is_found(witness: Witness, tmp_path: Path, bit: int) -> None:
    fill(witness, 2)
    path = tmp_path / FILE_NAME
    whole = path.read_bytes()

    missed = []
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= bit
        path.write_bytes(bytes(flipped))
        try:
            if len(witness.verify()) == 2:
                missed.append(place)
        except WitnessBroken:
            pass

    assert missed == []


@pytest.mark.parametrize("order", [[1, 0, 2, 3], [0, 2, 3], [1, 2, 3], [0, 0, 1, 2]])
def test_moved_removed_and_repeated_entries_are_found(
    order: list[int], witness: Witness, tmp_path: Path
) -> None:
    fill(witness)
    path = tmp_path / FILE_NAME
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[place] for place in order))

    with pytest.raises(WitnessBroken):
        witness.verify()


def test_an_entry_that_was_hashed_anew_lacks_the_signature(
    witness: Witness, tmp_path: Path
) -> None:
    make_ring(tmp_path / "other", 1)
    fill(Witness(tmp_path / "other"))
    (tmp_path / "other" / FILE_NAME).rename(tmp_path / FILE_NAME)

    with pytest.raises(WitnessBroken, match="signed"):
        witness.verify()


def test_a_line_of_a_killed_writer_is_cut_off(witness: Witness, tmp_path: Path) -> None:
    fill(witness, 3)
    path = tmp_path / FILE_NAME
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])

    assert len(witness.verify()) == 2
    again = witness.append(HEAD, {"seq": 9}, 9)

    assert again.seq == 3
    assert len(witness.verify()) == 3


def test_an_entry_that_the_disk_does_not_take_is_not_acknowledged(
    witness: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_handle: int) -> None:
        raise OSError

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(NotReady, match="key directory"):
        witness.append(HEAD, {"seq": 1}, 1)


def test_writers_at_once_make_one_chain(witness: Witness, tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: Witness(tmp_path).append(HEAD, {"n": number}, 1), range(40)))

    assert [entry.seq for entry in witness.verify()] == list(range(1, 41))


def test_a_long_entry_at_the_end_is_read_whole(witness: Witness) -> None:
    fill(witness, 2)
    witness.append(HEAD, {"text": "x" * 200_000}, 3)

    last = witness.last()

    assert last is not None
    assert last.seq == 3


def test_a_tombstone_tells_rows_apart_and_nothing_without_the_key(
    witness: Witness, tmp_path: Path
) -> None:
    make_ring(tmp_path / "other", 1)
    other = Witness(tmp_path / "other")

    assert witness.of_subject(7) == witness.of_subject(7) != witness.of_subject(8)
    assert witness.of_subject(7) != other.of_subject(7)
    assert witness.of_pseudonym((7).to_bytes(8, "big")) != witness.of_subject(7)


def test_only_the_owner_may_read_it_and_each_line_is_json(witness: Witness, tmp_path: Path) -> None:
    fill(witness)
    path = tmp_path / FILE_NAME

    assert path.stat().st_mode & 0o777 == 0o600
    assert [json.loads(line)["seq"] for line in path.read_text().splitlines()] == [1, 2, 3, 4]
