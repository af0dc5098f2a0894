"""Every byte that an installation keeps outside its key directory, store by store.

On SQLite the database and its write-ahead log are files like the others. PostgreSQL's files are
its own: its rows and its planner's statistics are read as COPY gives them. What it may still hold
of a deleted row, in dead rows until VACUUM and in its log until that is recycled, is keyed
pseudonyms, figures, sealed texts whose key is destroyed and redacted texts; never an identifier or
a text as sent.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from sqlalchemy.engine import make_url

from schemas.errors import NotReady
from schemas.tables import metadata
from warehouse.engine import is_postgres
from warehouse.file_reader import read_files
from warehouse.keyfile import has_ring, read_ring

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL, Engine

    from schemas.settings import Settings

_GONE = (FileNotFoundError, NotADirectoryError, PermissionError)
"""What is not there any more, or lies in a directory of others: nothing of ours."""

_STATISTICS = "SELECT * FROM pg_stats WHERE schemaname = current_schema()"

Look: TypeAlias = Callable[[Iterable[bytes]], tuple[int, Mapping[str, int]]]
"""Searches a stream: bytes that were read, and places by name."""


@dataclass(frozen=True)
class Store:
    """One place where data lies.

    Attributes:
        name: What it is.
        paths: Files and directories; empty for tables of PostgreSQL.
        since: Files that were not changed since are left out, seconds since 1970.
    """

    name: str
    paths: tuple[Path, ...] = ()
    since: float = 0.0


def stores(settings: Settings) -> list[Store]:
    """List the places, each file belonging to the first that it lies in."""
    url = make_url(settings.url.get_secret_value())
    database = _sqlite_files(url)
    spool = Path(os.environ.get("SMARTMATCH_SPOOL") or settings.data / "spool")
    orchestration = Path(os.environ.get("PREFECT_HOME") or settings.data / "prefect")
    return [
        Store("database", database),
        Store("model registry", (settings.mlruns,)),
        Store("orchestration", (orchestration, *_sqlite_files(_prefects_own()))),
        Store("client's spool", (spool,)),
        Store("log files", (settings.data / "logs",)),
        Store("validation results", (settings.home / "gx", settings.home / "great_expectations")),
        Store("other files of the home", (settings.data,)),
        # Older than the installation, a temporary file is none of its own.
        Store("temporary files", _temporary(), _installed_at(settings)),
    ]


def _temporary() -> tuple[Path, ...]:
    """Return where temporary files lie: where they usually do, and where they do now.

    Python names the first place that it can write to, so that where a disk is full it is another
    one, or none at all.
    """
    named = map(os.environ.get, ("TMPDIR", "TEMP", "TMP"))
    places = [next(filter(None, named), "/tmp")]  # noqa: S108  # read, and nothing made there
    with suppress(FileNotFoundError):
        places.append(tempfile.gettempdir())
    return tuple(map(Path, dict.fromkeys(places)))


def prefect_has_a_server() -> bool:
    """Tell whether Prefect's database is a server's, whose files nobody searches here."""
    own = _prefects_own()
    return own is not None and own.get_backend_name() != "sqlite"


def _prefects_own() -> URL | None:
    """Return the URL of Prefect's database where it was given one of its own."""
    given = os.environ.get("PREFECT_API_DATABASE_CONNECTION_URL")
    return make_url(given) if given else None


def _sqlite_files(url: URL | None) -> tuple[Path, ...]:
    """Return the files of SQLite's database; of another there are none."""
    if url is None or url.get_backend_name() != "sqlite" or not url.database:
        return ()
    return tuple(Path(url.database + end) for end in ("", "-wal", "-shm", "-journal"))


def blocks(engine: Engine, store: Store, seen: set[Path]) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Read a store: the name of each file or table, and its bytes in blocks.

    Args:
        engine: The database, for the tables of PostgreSQL.
        store: The place.
        seen: Real paths that are left out; what is read is added.
    """
    if store.name == "database" and is_postgres(engine):
        for table in metadata.sorted_tables:
            yield str(table.name), _copied(engine, f'SELECT * FROM "{table.name}"')
        yield "pg_stats", _copied(engine, _STATISTICS)
        return
    for path, content in read_files(_unseen(store, seen)):
        yield path.name, content


def key_files(settings: Settings) -> set[Path]:
    """Return the real paths in the key directory, which no search opens."""
    return {path.resolve() for path in _files((settings.keys,))}


def _unseen(store: Store, seen: set[Path]) -> Iterator[Path]:
    for path in _files(store.paths):
        with suppress(*_GONE, RuntimeError):  # a link to itself is no file
            real = path.resolve()
            if real not in seen and _is_ours(real, store.since):
                seen.add(real)
                yield path


def _files(paths: tuple[Path, ...]) -> Iterator[Path]:
    for path in paths:
        if path.is_file():
            yield path
        elif path.is_dir():
            for folder, _, names in os.walk(path, onerror=_check_missed):
                yield from (Path(folder) / name for name in sorted(names))


def _check_missed(error: OSError) -> None:
    """Raise that a directory cannot be listed, unless it went or is one of others."""
    try:
        ours = Path(error.filename).stat().st_uid == os.geteuid()
    except _GONE:
        return
    if ours or not isinstance(error, _GONE):
        raise error


def _is_ours(path: Path, since: float) -> bool:
    """Tell whether a file is a plain one of our own user: others' we neither wrote nor may read."""
    if not path.is_file():
        return False
    found = path.stat()
    return found.st_uid == os.geteuid() and found.st_mtime >= since


def _installed_at(settings: Settings) -> float:
    if not has_ring(settings.keys):
        return 0.0
    ring = read_ring(settings.keys)
    starts = [key.since for key in ring.pseudonym_keys] + [key.since for key in ring.destroyed]
    return min(starts) / 1e6


def _copied(engine: Engine, query: str) -> Iterator[bytes]:
    """Read the rows of a query as PostgreSQL copies them, binary."""
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None  # noqa: S101  # a connection that is checked out has a driver
        with (
            driver.cursor() as cursor,
            # A table in parts, one a month, can be copied as a query only.
            cursor.copy(f"COPY ({query}) TO STDOUT (FORMAT binary)") as copied,
        ):
            for block in copied:
                yield bytes(block)


@dataclass(frozen=True)
class Swept:
    """What a search came upon in one store.

    Attributes:
        store: Its name.
        files: Files, or tables of PostgreSQL.
        bytes: All bytes that were read.
        found: Places, by thing and writing.
        where: Names of the files or tables with such a place.
    """

    store: str
    files: int
    bytes: int
    found: dict[str, int]
    where: tuple[str, ...]


def sweep(engine: Engine, settings: Settings, look: Look) -> list[Swept]:
    """Search every byte of every store.

    Args:
        engine: The database.
        settings: Say where the stores are.
        look: Reads a stream of blocks; returns how many bytes it read, and places by name.

    Raises:
        NotReady: They could not be read to the end: one file that is there and cannot be read
            is enough, for nobody could say what is in it.
    """
    try:
        return _sweep(engine, settings, look)
    except OSError as error:
        name = f": {Path(error.filename).name}" if error.filename else ""
        reason = f"the stores could not be searched ({type(error).__name__}{name})"
        raise NotReady(reason) from None


def _sweep(engine: Engine, settings: Settings, look: Look) -> list[Swept]:
    seen = key_files(settings)
    swept = []
    for store in stores(settings):
        files, size, found, where = 0, 0, Counter[str](), []
        for name, content in blocks(engine, store, seen):
            read, places = look(content)
            files, size = files + 1, size + read
            found.update(places)
            if places:
                where.append(name)
        swept.append(Swept(store.name, files, size, dict(found), tuple(where)))
    return swept
