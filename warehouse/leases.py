"""Who may write: a lease for each flow, with a fencing number that only grows.

A run takes the lease, and every transaction of that run checks inside itself that the fence is
still its own. A run that was stopped past its lease therefore cannot write once another has
taken over, however late it wakes.

References:
    Kleppmann, M. (2016). How to do distributed locking.
"""

from __future__ import annotations

import os
import socket
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import case, select, update

from schemas.errors import LeaseLost, NotReady, SmartMatchError
from schemas.tables import leases
from warehouse.engine import insert_ignore, reading, writing
from warehouse.revision import check_revision

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

PROCESS_EVENTS = "process_events"
AGGREGATE_METRICS = "aggregate_metrics"

_STARTED_FIELD = 19  # of /proc/PID/stat behind the name: when the process started


class LeaseHeld(SmartMatchError):
    """Another run of the same flow is at work."""


@dataclass(frozen=True)
class Lease:
    """The right to write, as long as nobody else has taken it; small enough to be an argument."""

    name: str
    fence: int
    seconds: float

    def check(self, connection: Connection) -> None:
        """Refuse to write when another run has taken over.

        Call it first in every transaction: on PostgreSQL it also keeps the lease from changing
        hands until that transaction ends (but not from being renewed by another partition of the
        same run), on SQLite there is one writer anyway.

        Raises:
            LeaseLost: The fence is no longer ours.
        """
        current = connection.execute(
            select(leases.c.fence)
            .where(leases.c.name == self.name)
            .with_for_update(read=True, key_share=True)
        ).scalar_one_or_none()
        if current != self.fence:
            raise LeaseLost(f"another run of {self.name} has taken over")

    def renew(self, engine: Engine) -> None:
        """Show that this run is alive: its time starts again.

        Raises:
            LeaseLost: The fence is no longer ours.
        """
        with writing(engine) as connection:
            self.extend(connection)

    def extend(self, connection: Connection) -> None:
        """Show the same at the end of a transaction that writes anyway.

        Raises:
            LeaseLost: The fence is no longer ours.
        """
        ends_at = _now_us() + _microseconds(self.seconds)
        extended = connection.execute(
            update(leases)
            .where(leases.c.name == self.name, leases.c.fence == self.fence)
            # One that was given back stays free: a worker that its flow did not wait for may commit
            # what it began, and then holds nobody up.
            .values(expires_at=case((leases.c.expires_at > 0, ends_at), else_=0))
        )
        if extended.rowcount == 0:
            raise LeaseLost(f"another run of {self.name} has taken over")


@contextmanager
def lease(
    engine: Engine, name: str, seconds: float, *, wait_seconds: float = 0.0
) -> Iterator[Lease]:
    """Hold the lease of a flow.

    A lease is free when it was given back, when it ran out, or when its holder was a process
    of this machine that no longer exists: a killed run need not be waited for.

    Args:
        engine: The database that is written to.
        name: Name of the flow.
        seconds: The lease runs out when it is not renewed for so long; the same for every run
            of a flow, because one that ends much later was made by a clock that stood ahead.
        wait_seconds: How long to wait for another holder; 0 asks once.

    Raises:
        LeaseHeld: Another run holds it.
        NotReady: The database does not answer, or has another schema than this code.
    """
    with reading(engine) as connection:
        check_revision(connection)
    deadline = time.monotonic() + wait_seconds
    while (fence := _take(engine, name, seconds)) is None:
        if time.monotonic() >= deadline:
            raise LeaseHeld(f"another run of {name} is at work")
        time.sleep(0.1)
    try:
        yield Lease(name, fence, seconds)
    except BaseException:
        # What ended the run is what is told; a lease that is not given back runs out.
        with suppress(NotReady):
            _give_back(engine, name, fence)
        raise
    _give_back(engine, name, fence, finished_at=_now_us())


def outdo(connection: Connection) -> None:
    """End every lease of a database that was put back, and give no fence of before again.

    A run of after the backup holds a fence that the next one would be given, too. What is counted
    one by one stays behind the microseconds since 1970.
    """
    now = _now_us()
    beyond = case((leases.c.fence < now, now), else_=leases.c.fence + 1)
    connection.execute(update(leases).values(fence=beyond, expires_at=0, holder=""))


def last_finished(connection: Connection) -> dict[str, int]:
    """Return when each flow last ended well, microseconds since 1970, of those that ever did."""
    rows = connection.execute(
        select(leases.c.name, leases.c.finished_at).where(leases.c.finished_at.is_not(None))
    )
    return dict(rows.tuples().all())


def _take(engine: Engine, name: str, seconds: float) -> int | None:
    """Take the lease if it is free, and return its fence."""
    with writing(engine) as connection:
        connection.execute(
            insert_ignore(connection, leases).values(name=name, fence=0, holder="", expires_at=0)
        )
        fence, holder, expires_at = connection.execute(
            select(leases.c.fence, leases.c.holder, leases.c.expires_at)
            .where(leases.c.name == name)
            .with_for_update()
        ).one()
        now = _now_us()
        # A clock that stood ahead must not leave a lease that never ends.
        held = now < expires_at <= now + 2 * _microseconds(seconds)
        if held and not _is_gone(holder):
            return None
        connection.execute(
            update(leases)
            .where(leases.c.name == name)
            .values(fence=fence + 1, holder=_holder(), expires_at=now + _microseconds(seconds))
        )
        return int(fence) + 1


def _give_back(engine: Engine, name: str, fence: int, **ended: int) -> None:
    with writing(engine) as connection:
        connection.execute(
            update(leases)
            .where(leases.c.name == name, leases.c.fence == fence)
            .values(expires_at=0, holder="", **ended)
        )


def _holder() -> str:
    """Name this process: machine, number and start, so that a reused number is not mistaken."""
    return f"{_machine()}:{os.getpid()}:{_started(os.getpid())}"[:64]


def _is_gone(holder: str) -> bool:
    """Tell whether a holder was a process of this machine that no longer exists."""
    host, _, rest = holder.partition(":")
    pid, _, started = rest.partition(":")
    if host != _machine() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return started != _started(int(pid))


def _machine() -> str:
    """Name what numbers its processes: containers of one machine may have one host name."""
    try:
        numbered = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        numbered = 0
    return f"{socket.gethostname()[:32]}.{numbered}"


def _started(pid: int) -> str:
    """Return when a process started, in clock ticks, or nothing where that is not told."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[_STARTED_FIELD]


def _now_us() -> int:
    return time.time_ns() // 1_000


def _microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)
