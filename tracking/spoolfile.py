"""The file that holds the spool: where it lies, who has it open, and what is locked.

One SQLite file, mode 0600, shared by the threads and processes of a platform. It is in WAL
mode with ``synchronous`` NORMAL: a power cut may lose what the system had not written yet
(its last seconds), and FULL, on request, does not even lose that.

Every access holds a lock on a file beside it. SQLite's own locks would do but for two
things: its waiting sleeps in growing steps, and releases before 3.51.3 may damage a file
that two processes write and checkpoint in the same instant.

What empties the file may use a reserve of disk space; see ``tracking.reserve``.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from tracking import forking, owners
from tracking.clock import Clock, Look, time_since
from tracking.errors import SpoolFull, SpoolUnusable
from tracking.filelock import FileLock
from tracking.reserve import Reserve, disk_bytes
from tracking.spooltables import FROM_VERSION_1, SCHEMA, VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")
_SpoolFile = TypeVar("_SpoolFile", bound="SpoolFile")

FILE_NAME = "events.db"
LOCK_SECONDS = 2.0
"""The longest that a caller waits for others that use the spool."""
_SHRINK_PAGES = 1_024
_LOG_PAGES = 16, 1_000
"""The log is written back at a quarter of the spool's size, but within these bounds."""
_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}


def default_path() -> Path:
    """Where the spool lies: ``SMARTMATCH_SPOOL``, or in the home, or in the user's state."""
    given, home = os.environ.get("SMARTMATCH_SPOOL"), os.environ.get("SMARTMATCH_HOME")
    if given:
        return Path(given).expanduser()
    if home:
        return Path(home).expanduser() / "data" / "spool" / FILE_NAME
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "smartmatch" / FILE_NAME


class _Here(threading.local):
    """Whether this thread has the file; what interrupts it, a signal handler say, has not."""

    inside = False


class SpoolFile:
    """One open file, held by one thread at a time of all processes.

    Args:
        place: The SQLite file, or a directory for it; made where it is absent. Local disks
            only. None is the place that the environment names.
        max_bytes: Size that the file may reach.
        fsync: Make each event durable against a power cut too, at the price of an fsync.
        clock: Of this machine.
    """

    def __init__(
        self, place: str | Path | None, *, max_bytes: int, fsync: bool, clock: Clock
    ) -> None:
        self._place = place
        self._clock = clock
        self._time_at_boot = 0.0
        self._path: Path | None = None
        self._max_bytes = max_bytes
        self._synchronous = "FULL" if fsync else "NORMAL"
        self._lock = threading.Lock()
        self._here = _Here()
        self._connection: sqlite3.Connection | None = None
        self._opened: list[tuple[int, int] | None] = []
        self._closed = False
        self._page_bytes = 4096
        self._deleted = True  # perhaps by a process that died before it emptied the log
        self.owner = owners.new()
        with suppress(SpoolUnusable):  # then with the first use that finds it
            self._find()
        forking.watch(self)

    @property
    def path(self) -> Path:
        """The SQLite file.

        Raises:
            SpoolUnusable: Its place cannot be found now.
        """
        with self._lock:
            return self._find()

    @property
    def untidy(self) -> bool:
        """Whether deleted rows may still stand in the log."""
        return self._deleted

    def tidy(self) -> None:
        """Empty the log, where deleted rows live on, and shrink an empty file."""
        if not self._deleted:
            return
        with self._locked() as connection:
            self._with_room(lambda: _emptied(connection))
            self._deleted = False

    def close(self) -> None:
        """Close the file; a later call opens it for itself alone.

        Such a call is a sender's whose request outlasted everybody's patience. Nobody would
        close the file after it, and a fork would find it open.
        """
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

    def _is_lost(self) -> bool:
        """Whether the host closed the files of an open spool, and may have others in their place.

        Nothing may be written then, and nothing closed: SQLite would write where it thinks its
        files are. So the connection outlives the interpreter.
        """
        if self._path is None or not self._file_lock.is_lost:
            return False
        if self._connection is None:
            self._file_lock.forget()
            return False
        import ctypes  # nobody else waits for it: the client needs it here alone

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._connection))
        return True

    def _shut(self) -> None:
        if self._is_lost():
            return
        if self._connection is not None:
            held = self._file_lock.acquire(LOCK_SECONDS)  # closing may write: it ends the log
            self._connection.close()
            if held:
                self._file_lock.release()
            self._connection = None
        if self._path is not None:
            self._file_lock.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._locked() as connection, begun(connection):
            yield connection

    def _with_room(self, step: Callable[[], _Result]) -> _Result:
        """Run a step of what empties the file; on a full disk again, with the reserve."""
        try:
            return step()
        except sqlite3.Error as error:
            if not _is_full(error):
                raise
        self._reserve.give_up()
        try:
            self._empty_log()
            done = step()
            self._empty_log()
        finally:
            self._reserve.keep_what_is_left()
        return done

    def _empty_log(self) -> None:
        if self._connection is not None:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def _locked(self) -> Iterator[sqlite3.Connection]:
        """Hold the file against all other threads and processes, and against this one."""
        if self._here.inside:
            raise SpoolUnusable("the call that this one interrupts uses the spool")
        self._here.inside = True
        try:
            with self._held() as connection:
                yield connection
        finally:
            self._here.inside = False

    @contextmanager
    def _held(self) -> Iterator[sqlite3.Connection]:
        if not self._lock.acquire(timeout=LOCK_SECONDS):
            raise SpoolUnusable("other threads keep the spool busy")
        try:
            if self._is_lost():
                raise SpoolUnusable("the host closed the spool's files: start the process anew")
            self._lock_file()
            if self._connection is not None and not self._stands():
                self._shut()  # somebody took it away; what is accepted now needs a new one
                self._lock_file()
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

    def _lock_file(self) -> None:
        self._find().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._file_lock.acquire(LOCK_SECONDS):
            raise SpoolUnusable("other processes keep the spool busy")

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._with_room(self._connect)
            self._opened = self._files()
        return self._connection

    def _stands(self) -> bool:
        """Whether what is open is what others find at its place."""
        return self._files() == self._opened

    def _files(self) -> list[tuple[int, int] | None]:
        path = str(self._find())
        return [_identity(path + suffix) for suffix in ("", "-wal", ".lock")]

    def _connect(self) -> sqlite3.Connection:
        path = self._find()
        _make_file(path)
        connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, timeout=LOCK_SECONDS
        )
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise SpoolUnusable("the spool's disk does not allow a write-ahead log")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            connection.executescript(f"BEGIN IMMEDIATE; {SCHEMA} COMMIT;")
        elif version == 1:
            connection.executescript(f"BEGIN IMMEDIATE; {FROM_VERSION_1} COMMIT;")
        elif version != VERSION:
            raise SpoolUnusable("the spool was made by another version")
        seen = connection.execute("SELECT boot, steady, wall, time FROM clock").fetchone()
        now = time_since(Look(*seen) if seen else None, self._clock)
        self._time_at_boot = now - self._clock.steady()
        if seen is None:
            self._look(connection)
        (self._page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
        least, most = _LOG_PAGES
        room = min(self._max_bytes, disk_bytes(self._find()))
        pages = min(max(int(room // self._page_bytes // 4), least), most)
        connection.execute(f"PRAGMA wal_autocheckpoint = {pages:d}")
        self._reserve.cover(pages * self._page_bytes)

    def _now(self) -> float:
        """Time that has passed for sure, since the spool was made at its calendar's time."""
        return self._time_at_boot + self._clock.steady()

    def _look(self, connection: sqlite3.Connection) -> None:
        """Keep what the clocks show, for the process after the machine's next boot."""
        look = Look(self._clock.boot, self._clock.steady(), self._clock.wall(), self._now())
        connection.execute("REPLACE INTO clock VALUES (1, ?, ?, ?, ?)", look)

    def _used_bytes(self, connection: sqlite3.Connection) -> int:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        (free,) = connection.execute("PRAGMA freelist_count").fetchone()
        return int(pages - free) * self._page_bytes

    def _find(self) -> Path:
        """Find the place once and for all; the working directory may change later."""
        if self._path is None:
            try:
                place = Path(self._place).expanduser() if self._place else default_path()
                path = place.absolute()
                if b"\0" in os.fsencode(path):
                    raise ValueError  # noqa: TRY301 - no system has such a file
                path = path / FILE_NAME if path.is_dir() else path
            except (OSError, RuntimeError, ValueError, TypeError) as error:
                raise SpoolUnusable(
                    f"the spool's place cannot be found: {type(error).__name__}"
                ) from None
            self._file_lock = FileLock(path.with_name(path.name + ".lock"))
            self._reserve = Reserve(path.with_name(path.name + ".reserve"))
            self._path = path
        return self._path


def emptying(
    step: Callable[Concatenate[_SpoolFile, sqlite3.Connection, _Parameters], _Result],
) -> Callable[Concatenate[_SpoolFile, _Parameters], _Result]:
    """Make a method of what is one transaction, and may use the reserve."""

    @wraps(step)
    def method(
        self: _SpoolFile, /, *arguments: _Parameters.args, **named: _Parameters.kwargs
    ) -> _Result:
        def transaction() -> _Result:
            with begun(connection):
                return step(self, connection, *arguments, **named)

        with self._locked() as connection:
            return self._with_room(transaction)

    return method


@contextmanager
def begun(connection: sqlite3.Connection) -> Iterator[None]:
    """Run a transaction, and commit it unless it fails."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _emptied(connection: sqlite3.Connection) -> None:
    (count,) = connection.execute("SELECT count(*) FROM waiting").fetchone()
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    if count == 0 and pages > _SHRINK_PAGES:
        connection.execute("VACUUM")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _make_file(path: Path) -> None:
    """Make the file, readable by its owner alone, where it is absent.

    An existing one is not opened here: closing any descriptor of a file ends all locks that
    this process has on it, also those by which another collector's SQLite keeps its log.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    path.chmod(0o600)


def _identity(path: str) -> tuple[int, int] | None:
    """Tell a file from every other one."""
    try:
        found = os.stat(path)  # noqa: PTH116 - at each event; a Path's is slower
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _unusable(error: sqlite3.Error) -> SpoolFull | SpoolUnusable:
    if _is_full(error):
        return SpoolFull("the disk is full")
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return SpoolUnusable(f"the spool cannot be used: {name}")


def _is_full(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", None) in _FULL
