"""Accepted events on disk, until the server has stored them.

One SQLite file, mode 0600, shared by the threads and processes of a platform. A row is in
the file before its event counts as accepted, so the death of the process loses none. The
file is in WAL mode with ``synchronous`` NORMAL: a power cut may lose what the system had not
written yet (its last seconds), and FULL, on request, does not even lose that.

Every access holds a lock on a file beside it. SQLite's own locks would do but for two
things: its waiting sleeps in growing steps, and releases before 3.51.3 may damage a file
that two processes write and checkpoint in the same instant.

The rows hold identifiers as the platform knows them. They are overwritten when they are
deleted (``secure_delete``), and the log is emptied soon after (``tidy``).
"""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tracking import forking, owners
from tracking.errors import SpoolFull, SpoolUnusable
from tracking.filelock import FileLock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FILE_NAME = "events.db"
LOCK_SECONDS = 2.0
"""The longest that a caller waits for others that use the spool."""
MOST_REFUSED = 1_000
"""Refused events that are kept, the newest ones."""
_VERSION = 1
_SHRINK_PAGES = 1_024

_SCHEMA = """
PRAGMA user_version = 1;
CREATE TABLE waiting (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    target TEXT NOT NULL,
    user_id TEXT NOT NULL,
    spooled_at REAL NOT NULL,
    body BLOB NOT NULL,
    owner TEXT,
    lease_until REAL
);
CREATE INDEX claimed ON waiting (owner, lease_until) WHERE owner IS NOT NULL;
CREATE TABLE refused (
    seq INTEGER PRIMARY KEY,
    target TEXT NOT NULL,
    user_id TEXT NOT NULL,
    refused_at REAL NOT NULL,
    body BLOB NOT NULL,
    field TEXT NOT NULL,
    rule TEXT NOT NULL
);
"""


class Waiting(NamedTuple):
    """An event that was claimed for sending."""

    seq: int
    body: bytes


class Refusal(NamedTuple):
    """An event that the server will never take, and why; it was number ``seq``."""

    seq: int
    field: str
    rule: str


def default_path() -> Path:
    """Where the spool lies: ``SMARTMATCH_SPOOL``, or in the home, or in the user's state."""
    given, home = os.environ.get("SMARTMATCH_SPOOL"), os.environ.get("SMARTMATCH_HOME")
    if given:
        return Path(given).expanduser()
    if home:
        return Path(home).expanduser() / "data" / "spool" / FILE_NAME
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "smartmatch" / FILE_NAME


class Spool:
    """The events that wait for one server.

    Args:
        path: The SQLite file, or a directory for it; made where it is absent. Local disks only.
        target: Which server; other servers' events in the file are left alone.
        max_bytes: Size that the file may reach.
        fsync: Make each event durable against a power cut too, at the price of an fsync.
    """

    def __init__(self, path: Path, target: str, *, max_bytes: int, fsync: bool) -> None:
        path = path.expanduser().absolute()
        self.path = path / FILE_NAME if path.is_dir() else path
        self.target = target
        self._max_bytes = max_bytes
        self._synchronous = "FULL" if fsync else "NORMAL"
        self._lock = threading.Lock()
        self._file_lock = FileLock(self.path.with_name(self.path.name + ".lock"))
        self._connection: sqlite3.Connection | None = None
        self._closed = False
        self._page_bytes = 4096
        self._deleted = True  # perhaps by a process that died before it emptied the log
        self.owner = owners.new()
        forking.watch(self)

    def append(self, user_id: str, body: bytes, now: float) -> None:
        """Keep an event; when this returns, the death of the process does not lose it.

        Raises:
            SpoolFull: The file has reached its size, or the disk its end.
            SpoolUnusable: The file cannot be opened, locked or written.
        """
        with self._transaction() as connection:
            if self._used_bytes(connection) + len(body) > self._max_bytes:
                raise SpoolFull("the spool has reached its size")
            connection.execute(
                "INSERT INTO waiting (target, user_id, spooled_at, body) VALUES (?, ?, ?, ?)",
                (self.target, user_id, now, body),
            )

    def claim(
        self, now: float, *, limit: int, max_bytes: int, lease_seconds: float
    ) -> list[Waiting]:
        """Take the oldest events for sending, so that no other process sends them meanwhile.

        A claim ends when it is settled or released, its process dies, or its lease ends.
        """
        with self._transaction() as connection:
            self._end_claims(connection, now)
            found = connection.execute(
                "SELECT seq, body FROM waiting WHERE target = ? AND owner IS NULL"
                " ORDER BY seq LIMIT ?",
                (self.target, limit),
            )
            with closing(found) as rows:
                taken = list(_at_most(max_bytes, (Waiting(*row) for row in rows)))
            connection.executemany(
                "UPDATE waiting SET owner = ?, lease_until = ? WHERE seq = ?",
                ((self.owner, now + lease_seconds, row.seq) for row in taken),
            )
        return taken

    def settle(self, refused: Iterable[Refusal], now: float) -> None:
        """Delete what was claimed, and keep the refused ones of it apart."""
        with self._transaction() as connection:
            connection.executemany(
                "INSERT INTO refused (target, user_id, refused_at, body, field, rule)"
                " SELECT target, user_id, ?, body, ?, ? FROM waiting WHERE seq = ? AND owner = ?",
                ((now, row.field, row.rule, row.seq, self.owner) for row in refused),
            )
            connection.execute("DELETE FROM waiting WHERE owner = ?", (self.owner,))
            self._deleted = True
            connection.execute(
                "DELETE FROM refused WHERE seq <= (SELECT max(seq) FROM refused) - ?",
                (MOST_REFUSED,),
            )

    def release(self) -> None:
        """Give claimed events back: they wait again."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE waiting SET owner = NULL, lease_until = NULL WHERE owner = ?",
                (self.owner,),
            )

    def drop_user(self, user_id: str) -> int:
        """Delete what waits of one person, refused events included; how many waited."""
        with self._transaction() as connection:
            key = (self.target, user_id)
            self._deleted = True
            connection.execute("DELETE FROM refused WHERE target = ? AND user_id = ?", key)
            return connection.execute(
                "DELETE FROM waiting WHERE target = ? AND user_id = ?", key
            ).rowcount

    def expire(self, before: float) -> int:
        """Delete what is older, whatever its server; how many had waited."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM refused WHERE refused_at < ?", (before,))
            self._deleted = True
            return connection.execute(
                "DELETE FROM waiting WHERE spooled_at < ?", (before,)
            ).rowcount

    def count(self) -> int:
        """How many events wait for this server, claimed ones included."""
        with self._transaction() as connection:
            (count,) = connection.execute(
                "SELECT count(*) FROM waiting WHERE target = ?", (self.target,)
            ).fetchone()
        return int(count)

    def last(self) -> int:
        """Number of the newest event that ever waited."""
        with self._transaction() as connection:
            row = connection.execute(
                "SELECT seq FROM sqlite_sequence WHERE name = 'waiting'"
            ).fetchone()
        return int(row[0]) if row else 0

    def holds(self, up_to: int) -> bool:
        """Whether an event up to this number still waits for this server."""
        with self._transaction() as connection:
            row = connection.execute(
                "SELECT 1 FROM waiting WHERE target = ? AND seq <= ? LIMIT 1", (self.target, up_to)
            ).fetchone()
        return row is not None

    def refused(self) -> list[tuple[float, bytes, str, str]]:
        """Read the refused events: when (seconds since 1970), the event, field, rule."""
        with self._transaction() as connection:
            return connection.execute(
                "SELECT refused_at, body, field, rule FROM refused WHERE target = ? ORDER BY seq",
                (self.target,),
            ).fetchall()

    def retry_refused(self, now: float) -> int:
        """Let the refused events wait again; how many."""
        with self._transaction() as connection:
            moved = connection.execute(
                "INSERT INTO waiting (target, user_id, spooled_at, body)"
                " SELECT target, user_id, ?, body FROM refused WHERE target = ? ORDER BY seq",
                (now, self.target),
            ).rowcount
            connection.execute("DELETE FROM refused WHERE target = ?", (self.target,))
            self._deleted = True
        return moved

    def tidy(self) -> None:
        """Empty the log, where deleted rows live on, and shrink an empty file."""
        if not self._deleted:
            return
        with self._locked() as connection:
            (count,) = connection.execute("SELECT count(*) FROM waiting").fetchone()
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            if count == 0 and pages > _SHRINK_PAGES:
                connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._deleted = False

    def close(self) -> None:
        """Give claims back and close the file; a later call opens it for itself alone.

        Such a call is a sender's whose request outlasted everybody's patience. Nobody would
        close the file after it, and a fork would find it open.
        """
        if self._connection is not None:
            self.release()
            self.tidy()
        with self._lock:
            self._closed = True
            self._shut()

    def before_fork(self) -> None:
        """Close the file: a database that is open while its process forks may be damaged."""
        self._lock.acquire()
        self._shut()

    def after_fork_in_parent(self) -> None:
        """Let the next call open the file again."""
        self._lock.release()

    def after_fork_in_child(self) -> None:
        """Be another owner: the parent's claims are the parent's."""
        owners.discard(self.owner)
        self.owner = owners.new()
        self._lock = threading.Lock()

    def _shut(self) -> None:
        if self._connection is not None:
            held = self._file_lock.acquire(LOCK_SECONDS)  # closing may write: it ends the log
            self._connection.close()
            if held:
                self._file_lock.release()
        self._connection = None
        self._file_lock.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._locked() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    @contextmanager
    def _locked(self) -> Iterator[sqlite3.Connection]:
        """Hold the file against all other threads and processes."""
        if not self._lock.acquire(timeout=LOCK_SECONDS):
            raise SpoolUnusable("other threads keep the spool busy")
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._file_lock.acquire(LOCK_SECONDS):
                raise SpoolUnusable("other processes keep the spool busy")
            try:
                yield self._open()
            finally:
                self._file_lock.release()
                if self._closed:
                    self._shut()
        except sqlite3.Error as error:
            raise _unusable(error) from None
        except OSError as error:
            raise SpoolUnusable(f"the spool cannot be opened: {type(error).__name__}") from None
        finally:
            self._lock.release()

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._make_file()
            connection = sqlite3.connect(
                self.path, isolation_level=None, check_same_thread=False, timeout=LOCK_SECONDS
            )
            try:
                self._prepare(connection)
            except (sqlite3.Error, SpoolUnusable):
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _make_file(self) -> None:
        """Make the file, readable by its owner alone, where it is absent.

        An existing one is not opened here: closing any descriptor of a file ends all locks that
        this process has on it, also those by which another collector's SQLite keeps its log.
        """
        with suppress(FileExistsError):
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        self.path.chmod(0o600)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise SpoolUnusable("the spool's disk does not allow a write-ahead log")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
        elif version != _VERSION:
            raise SpoolUnusable("the spool was made by another version")
        (self._page_bytes,) = connection.execute("PRAGMA page_size").fetchone()

    def _used_bytes(self, connection: sqlite3.Connection) -> int:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        (free,) = connection.execute("PRAGMA freelist_count").fetchone()
        return int(pages - free) * self._page_bytes

    def _end_claims(self, connection: sqlite3.Connection, now: float) -> None:
        """Free what dead processes, late ones and our own interrupted step had claimed."""
        claims = connection.execute(
            "SELECT owner, max(lease_until) FROM waiting WHERE owner IS NOT NULL GROUP BY owner"
        ).fetchall()
        ended = [
            (owner,)
            for owner, until in claims
            if owner == self.owner or until < now or not owners.lives(owner)
        ]
        connection.executemany(
            "UPDATE waiting SET owner = NULL, lease_until = NULL WHERE owner = ?", ended
        )


def _at_most(max_bytes: int, rows: Iterator[Waiting]) -> Iterator[Waiting]:
    """Yield rows up to a size, but always the first."""
    size = 0
    for row in rows:
        size += len(row.body) + 1
        if size > max_bytes and size > len(row.body) + 1:
            return
        yield row


def _unusable(error: sqlite3.Error) -> SpoolFull | SpoolUnusable:
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return SpoolFull("the disk is full")
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return SpoolUnusable(f"the spool cannot be used: {name}")
