"""What the disk takes a part of is written whole or not at all."""

from __future__ import annotations

import base64
import errno
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from schemas.errors import KeyMissing, NotReady
from warehouse.keyfile import day_key, destroy_day_key, make_ring, replace_file
from warehouse.whole_writes import append_line
from warehouse.witness import HEAD, Witness

if TYPE_CHECKING:
    from pathlib import Path

pwrite = os.pwrite


@pytest.fixture
def nearly_full(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Let the disk have room for seven bytes more."""
    left = [7]

    def take(handle: int, content: bytes, place: int) -> int:
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = pwrite(handle, content[: left[0]], place)
        left[0] -= taken
        return taken

    monkeypatch.setattr("os.pwrite", take)
    return monkeypatch


def test_a_disk_that_takes_a_part_is_given_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.pwrite", lambda handle, content, at: pwrite(handle, content[:3], at))

    append_line(tmp_path / "file", b"a whole line")
    append_line(tmp_path / "file", b"and another")

    assert (tmp_path / "file").read_bytes() == b"a whole line\nand another\n"


def test_a_line_that_does_not_fit_leaves_nothing(
    tmp_path: Path, nearly_full: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one\ntwo\n")

    with pytest.raises(OSError, match="space"):
        append_line(path, b"one too many")

    assert path.read_bytes() == b"one\ntwo\n"
    nearly_full.undo()
    append_line(path, b"three")
    assert path.read_bytes() == b"one\ntwo\nthree\n"


@pytest.mark.parametrize("left", [b"", b"torn", b"x" * 200_000])
def test_what_a_killed_writer_left_of_a_line_goes(tmp_path: Path, left: bytes) -> None:
    path = tmp_path / "file"
    for whole in (b"", b"one\ntwo\n"):
        path.write_bytes(whole + left)
        append_line(path, b"three")
        assert path.read_bytes() == whole + b"three\n"


def test_an_entry_that_does_not_fit_the_witness_is_refused_and_leaves_nothing(
    tmp_path: Path, nearly_full: pytest.MonkeyPatch
) -> None:
    nearly_full.undo()
    make_ring(tmp_path, 1)
    witness = Witness(tmp_path)
    witness.append(HEAD, {"seq": 1}, 1)
    size = witness.stamp()[0]
    nearly_full.setattr("os.pwrite", lambda handle, content, at: _part(handle, content, at, size))

    with pytest.raises(NotReady):
        witness.append(HEAD, {"seq": 2}, 2)

    assert witness.stamp()[0] == size
    nearly_full.undo()
    assert witness.append(HEAD, {"seq": 3}, 3).seq == 2
    assert len(witness.verify()) == 2


def _part(handle: int, content: bytes, place: int, size: int) -> int:
    if place > size:
        raise OSError(errno.ENOSPC, "No space left on device")
    return pwrite(handle, content[: len(content) // 2], place)


@pytest.mark.parametrize("call", ["pwrite", "fsync", "replace"])
def test_a_file_that_cannot_be_replaced_stays_and_leaves_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    path = tmp_path / "file"
    replace_file(path, b"before")
    monkeypatch.setattr(f"os.{call}", fail)

    with pytest.raises(OSError, match="Input"):
        replace_file(path, b"after")
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("file", b"before")]


@pytest.mark.parametrize("call", ["pwrite", "fsync", "link"])
def test_a_key_that_cannot_be_made_is_none_and_leaves_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    make_ring(tmp_path, 1)
    with monkeypatch.context() as patched:
        patched.setattr(f"os.{call}", fail)
        with pytest.raises(NotReady):
            day_key(tmp_path, 20_700, make=True)

    assert list((tmp_path / "days").iterdir()) == []
    with pytest.raises(KeyMissing):
        day_key(tmp_path, 20_700)
    assert day_key(tmp_path, 20_700, make=True) == day_key(tmp_path, 20_700)


def test_a_key_that_cannot_be_read_now_is_not_taken_for_a_destroyed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_ring(tmp_path, 1)
    key = day_key(tmp_path, 20_700, make=True)

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.open", fail)
        with pytest.raises(NotReady):
            day_key(tmp_path, 20_700)

    assert day_key(tmp_path, 20_700) == key


@pytest.fixture
def waited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[bytes]]]:
    """Each wait for the disk: for a file or a directory, and what named files hold at that time."""
    waits: list[tuple[str, list[bytes]]] = []
    fsync = os.fsync

    def note(handle: int) -> None:
        fsync(handle)
        kind = "directory" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file"
        named = sorted(path for path in tmp_path.rglob("[!.]*") if path.is_file())
        waits.append((kind, [path.read_bytes() for path in named]))

    monkeypatch.setattr("os.fsync", note)
    return waits


def test_a_line_is_waited_for_and_the_name_of_its_file_too(
    tmp_path: Path, waited: list[tuple[str, list[bytes]]]
) -> None:
    append_line(tmp_path / "file", b"one")
    append_line(tmp_path / "file", b"two")

    assert waited == [
        ("file", [b"one\n"]),
        ("directory", [b"one\n"]),
        ("file", [b"one\ntwo\n"]),
    ]


def test_a_file_that_is_replaced_is_waited_for_before_it_gets_its_name_and_after(
    tmp_path: Path, waited: list[tuple[str, list[bytes]]]
) -> None:
    replace_file(tmp_path / "file", b"one")
    replace_file(tmp_path / "file", b"two")

    assert waited == [
        ("file", []),
        ("directory", [b"one"]),
        ("file", [b"one"]),
        ("directory", [b"two"]),
    ]


def test_a_key_is_waited_for_when_it_is_made_and_when_it_is_destroyed(
    tmp_path: Path, waited: list[tuple[str, list[bytes]]]
) -> None:
    key = base64.b64encode(day_key(tmp_path, 20_700, make=True))
    destroy_day_key(tmp_path, 20_700)

    *made, (kind, (overwritten,)), gone = waited
    assert made == [("file", []), ("directory", [key])]
    assert (kind, len(overwritten), gone) == ("file", len(key), ("directory", []))
    assert overwritten != key


def test_lines_that_are_added_at_once_are_all_there(tmp_path: Path) -> None:
    lines = [f"{number:04}".encode() * 200 for number in range(200)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda line: append_line(tmp_path / "file", line), lines))

    assert sorted((tmp_path / "file").read_bytes().splitlines()) == lines
