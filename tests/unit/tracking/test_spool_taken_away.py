"""A spool whose file is removed, replaced or closed by others while it is open."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.unit.tracking.spools import open_spool
from tests.unit.tracking.test_client_processes import in_child
from tracking.errors import SpoolUnusable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BODIES = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as connection:
    print([bytes(body).decode() for body, in connection.execute("SELECT body FROM waiting")])
"""


def bodies_found_by_others(directory: Path) -> str:
    """Read the spool as a process would that is started when this one was killed."""
    command = [sys.executable, "-c", BODIES, str(directory / "spool.db")]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()


def remove_files(directory: Path) -> None:
    for path in directory.iterdir():
        path.unlink()


def remove_log(directory: Path) -> None:
    (directory / "spool.db-wal").unlink()


def replace(directory: Path) -> None:
    elsewhere = directory.with_name("elsewhere")
    elsewhere.mkdir()
    other = open_spool(elsewhere)
    other.count()
    other.close()
    remove_files(directory)
    shutil.move(elsewhere / "spool.db", directory / "spool.db")


TAKE_AWAY = [remove_files, shutil.rmtree, remove_log, replace]


@pytest.mark.parametrize("take_away", TAKE_AWAY)
def test_what_is_accepted_after_the_file_was_taken_away_is_kept(
    tmp_path: Path, take_away: Callable[[Path], None]
) -> None:
    directory = tmp_path / "spool"
    spool = open_spool(directory)
    spool.append("ana", b"before")

    take_away(directory)
    spool.append("ana", b"after")
    spool.append("ana", b"later")

    assert "'after', 'later'" in bodies_found_by_others(directory)
    assert spool.count() >= 2
    spool.close()
    assert "'after', 'later'" in bodies_found_by_others(directory)


def test_event_that_is_written_while_the_file_is_taken_away_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "spool"
    spool = open_spool(directory)
    spool.append("ana", b"before")
    monkeypatch.setattr(
        spool._reserve, "keep", lambda: (monkeypatch.undo(), remove_files(directory))
    )

    spool.append("ana", b"meanwhile")

    assert bodies_found_by_others(directory) == "['meanwhile']"
    monkeypatch.setattr(spool._reserve, "keep", lambda: remove_files(directory))
    with pytest.raises(SpoolUnusable, match="takes the spool's file away"):
        spool.append("ana", b"never")
    spool.close()


def test_two_spools_of_one_file_that_was_taken_away_share_the_new_one(tmp_path: Path) -> None:
    directory = tmp_path / "spool"
    spool, other = open_spool(directory), open_spool(directory)
    spool.append("ana", b"1")
    other.append("ana", b"2")

    remove_files(directory)
    spool.append("ana", b"3")
    other.append("ana", b"4")
    spool.append("ana", b"5")

    assert bodies_found_by_others(directory) == "['3', '4', '5']"
    other.close()
    spool.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
def test_spool_whose_files_the_host_closed_writes_into_none_that_it_opened_instead(
    tmp_path: Path,
) -> None:
    def is_left_alone() -> bool:
        spool = open_spool(tmp_path)
        spool.append("ana", b"before")
        os.closerange(3, 256)
        hosts = [(tmp_path / f"host-{number}").open("wb") for number in range(40)]
        for use in (spool.count, spool.tidy, spool.close):
            with pytest.raises(SpoolUnusable, match="the host closed"):
                use()
        del spool, use
        gc.collect()
        sizes = {os.fstat(host.fileno()).st_size for host in hosts}
        return sizes == {0}

    assert in_child(is_left_alone)
    assert "before" in bodies_found_by_others(tmp_path)


def test_spool_whose_lock_alone_was_closed_opens_it_again(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    spool.before_fork()  # shut
    spool.after_fork_in_parent()
    spool._file_lock.acquire(1)
    os.close(spool._file_lock._descriptor)

    spool.append("ana", b"after")

    assert spool.count() == 1
    spool.close()
