"""What cannot be searched is never taken for empty."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from privacy.traces import looker, of_identifier
from schemas.errors import NotReady
from tests.engines import on_sqlite
from warehouse.stores import Store, blocks, prefect_has_a_server, sweep

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from schemas.settings import Settings


@pytest.fixture(autouse=True)
def _temporary_files_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a search from the machine's, which may be gigabytes of others'."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))


@pytest.fixture
def logs(settings: Settings) -> Path:
    logs = settings.data / "logs"
    (logs / "older").mkdir(parents=True)
    (logs / "a.log").write_bytes(b"some lines")
    return logs


@on_sqlite
def test_a_file_that_cannot_be_read_ends_the_search(
    settings: Settings, engine: Engine, logs: Path
) -> None:
    (logs / "b.log").symlink_to("/proc/self/mem")

    with pytest.raises(NotReady, match=r"OSError: b\.log|PermissionError: b\.log"):
        sweep(engine, settings, looker(of_identifier("a-person-of-the-logs")))


@on_sqlite
def test_a_directory_that_cannot_be_listed_ends_the_search(
    settings: Settings, engine: Engine, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def fail(path: Any) -> Any:
        if Path(path).name == "older":
            raise OSError(errno.EIO, "Input/output error", str(path))
        return scandir(path)

    with monkeypatch.context() as broken:
        broken.setattr("os.scandir", fail)
        with pytest.raises(NotReady, match="OSError: older"):
            sweep(engine, settings, looker(of_identifier("a-person-of-the-logs")))


@on_sqlite
def test_what_is_gone_or_no_file_ends_nothing(engine: Engine, logs: Path) -> None:
    (logs / "loop").symlink_to("loop")
    (logs / "gone").symlink_to("nowhere")
    os.mkfifo(logs / "fifo")

    found = list(blocks(engine, Store("log files", (logs, logs / "no directory")), set()))

    assert [name for name, _ in found] == ["a.log"]


@on_sqlite
@pytest.mark.parametrize("anywhere", [True, False])
def test_temporary_files_are_searched_also_where_none_can_be_made_any_more(
    settings: Settings,
    engine: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    anywhere: bool,
) -> None:
    full, other, planted = tmp_path / "full", tmp_path / "other", "a-person-of-the-temporary"
    for directory in (full, other):
        directory.mkdir()
        (directory / f"{directory.name}.part").write_text(planted)
    monkeypatch.setenv("TMPDIR", str(full))
    monkeypatch.setattr(tempfile, "tempdir", str(other) if anywhere else None)
    if not anywhere:
        monkeypatch.setattr(tempfile, "_candidate_tempdir_list", list)

    swept = sweep(engine, settings, looker(of_identifier(planted)))

    named = [name for one in swept if one.store == "temporary files" for name in one.where]
    assert named == (["full.part", "other.part"] if anywhere else ["full.part"])


@on_sqlite
def test_a_database_of_prefects_that_lies_elsewhere_is_searched_or_said_not_to_be(
    settings: Settings, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, planted = tmp_path / "elsewhere.db", "a-person-of-the-runs"
    file.write_text(planted)
    given = "PREFECT_API_DATABASE_CONNECTION_URL"
    found = {}
    for url in ("", f"sqlite+aiosqlite:///{file}", "postgresql+asyncpg://one@host/prefect"):
        monkeypatch.setenv(given, url)
        swept = sweep(engine, settings, looker(of_identifier(planted)))
        named = [name for one in swept if one.store == "orchestration" for name in one.where]
        found[url.partition(":")[0]] = (named, prefect_has_a_server())

    assert found == {
        "": ([], False),
        "sqlite+aiosqlite": (["elsewhere.db"], False),
        "postgresql+asyncpg": ([], True),
    }
