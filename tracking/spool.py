"""Accepted events on disk, until the server has stored them.

A row is in the file before its event counts as accepted, so the death of the process loses
none; ``tracking.spoolfile`` says what the file itself survives.

The rows hold identifiers as the platform knows them. They are overwritten when they are
deleted (``secure_delete``), and the log is emptied soon after (``tidy``).
"""

from __future__ import annotations

from contextlib import closing
from time import sleep
from typing import TYPE_CHECKING, NamedTuple

from tracking import owners
from tracking.clock import Clock
from tracking.errors import SpoolFull, SpoolUnusable
from tracking.filelock import LONGEST_PAUSE
from tracking.spoolfile import SpoolFile, begun, emptying

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator
    from pathlib import Path

MOST_REFUSED = 1_000
"""Refused events that are kept of each server, the newest ones."""


EXPIRED_AT_ONCE = 5_000
"""Events that one step of the expiry deletes; whoever collects meanwhile waits for no more."""
_LET_IN_SECONDS = 2 * LONGEST_PAUSE

MOST_OPENED = 3
"""Times that an event is written anew because the file was taken away meanwhile."""


class Waiting(NamedTuple):
    """An event that was claimed for sending."""

    seq: int
    body: bytes


class Refusal(NamedTuple):
    """An event that the server will never take, and why; it was number ``seq``."""

    seq: int
    field: str
    rule: str


class Spool(SpoolFile):
    """The events that wait for one server.

    Args:
        place: As for ``SpoolFile``, like all others.
        target: Which server; other servers' events in the file are left alone.
        max_bytes: Size that the file may reach.
        fsync: Make each event durable against a power cut too.
        clock: Of this machine.
    """

    def __init__(
        self,
        place: str | Path | None,
        target: str,
        *,
        max_bytes: int,
        fsync: bool,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(place, max_bytes=max_bytes, fsync=fsync, clock=clock or Clock())
        self.target = target

    def append(self, user_id: str, body: bytes) -> None:
        """Keep an event; when this returns, the death of the process does not lose it.

        Raises:
            SpoolFull: The file has reached its size, or the disk its end but for the reserve.
            SpoolUnusable: The file cannot be opened, locked or written.
        """
        for _ in range(MOST_OPENED):
            with self._locked() as connection:
                with begun(connection):
                    self._insert(connection, user_id, body)
                if self._stands():
                    return
        raise SpoolUnusable("somebody takes the spool's file away")

    def _insert(self, connection: sqlite3.Connection, user_id: str, body: bytes) -> None:
        if self._used_bytes(connection) + len(body) > self._max_bytes:
            raise SpoolFull("the spool has reached its size")
        self._reserve.keep()
        connection.execute(
            "INSERT INTO waiting (target, user_id, spooled_at, body) VALUES (?, ?, ?, ?)",
            (self.target, user_id, self._now(), body),
        )

    @emptying
    def claim(
        self, connection: sqlite3.Connection, *, limit: int, max_bytes: int, lease_seconds: float
    ) -> list[Waiting]:
        """Take the oldest events for sending, so that no other process sends them meanwhile.

        A claim ends when it is settled or released, its process dies, or its lease ends.
        """
        self._end_claims(connection)
        found = connection.execute(
            "SELECT seq, body FROM waiting WHERE target = ? AND owner IS NULL ORDER BY seq LIMIT ?",
            (self.target, limit),
        )
        with closing(found) as rows:
            most = min(max_bytes, self._reserve.most_claimed_bytes)
            taken = list(_at_most(most, (Waiting(*row) for row in rows)))
        connection.executemany(
            "UPDATE waiting SET owner = ?, lease_until = ? WHERE seq = ?",
            ((self.owner, self._now() + lease_seconds, row.seq) for row in taken),
        )
        return taken

    @emptying
    def settle(self, connection: sqlite3.Connection, refused: Iterable[Refusal]) -> int:
        """Delete what was claimed, and keep the refused ones of it apart.

        Returns:
            How many refused events were deleted because newer ones took their room.
        """
        connection.executemany(
            "INSERT INTO refused"
            " (target, user_id, refused_at, kept_since, body, field, rule)"
            " SELECT target, user_id, ?, ?, body, ?, ? FROM waiting"
            " WHERE seq = ? AND owner = ?",
            (
                (self._clock.wall(), self._now(), row.field, row.rule, row.seq, self.owner)
                for row in refused
            ),
        )
        connection.execute("DELETE FROM waiting WHERE owner = ?", (self.owner,))
        self._deleted = True
        return connection.execute(
            "DELETE FROM refused WHERE target = ? AND seq <= (SELECT seq FROM refused"
            " WHERE target = ? ORDER BY seq DESC LIMIT 1 OFFSET ?)",
            (self.target, self.target, MOST_REFUSED),
        ).rowcount

    @emptying
    def release(self, connection: sqlite3.Connection) -> None:
        """Give claimed events back: they wait again."""
        connection.execute(
            "UPDATE waiting SET owner = NULL, lease_until = NULL WHERE owner = ?",
            (self.owner,),
        )

    @emptying
    def drop_user(self, connection: sqlite3.Connection, user_id: str) -> int:
        """Delete what waits of one person, refused events included; how many waited."""
        key = (self.target, user_id)
        self._deleted = True
        connection.execute("DELETE FROM refused WHERE target = ? AND user_id = ?", key)
        return connection.execute(
            "DELETE FROM waiting WHERE target = ? AND user_id = ?", key
        ).rowcount

    def expire(self, retention_seconds: float) -> int:
        """Delete what was kept for so long, whatever its server; how many had waited."""
        dropped = some = self._expire_some(retention_seconds)
        while some == EXPIRED_AT_ONCE:
            sleep(_LET_IN_SECONDS)
            some = self._expire_some(retention_seconds)
            dropped += some
        return dropped

    @emptying
    def _expire_some(self, connection: sqlite3.Connection, retention_seconds: float) -> int:
        self._look(connection)
        before = self._now() - retention_seconds
        self._deleted = True
        connection.execute(
            "DELETE FROM refused WHERE coalesce(kept_since, refused_at) < ?", (before,)
        )
        return connection.execute(
            "DELETE FROM waiting WHERE seq IN"
            " (SELECT seq FROM waiting WHERE spooled_at < ? LIMIT ?)",
            (before, EXPIRED_AT_ONCE),
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

    @emptying
    def retry_refused(self, connection: sqlite3.Connection) -> int:
        """Let the refused events wait again; how many."""
        moved = connection.execute(
            "INSERT INTO waiting (target, user_id, spooled_at, body)"
            " SELECT target, user_id, ?, body FROM refused WHERE target = ? ORDER BY seq",
            (self._now(), self.target),
        ).rowcount
        connection.execute("DELETE FROM refused WHERE target = ?", (self.target,))
        self._deleted = True
        return moved

    def close(self) -> None:
        """Give claims back, empty the log and close the file."""
        try:
            if self._connection is not None:
                self.release()
                self.tidy()
        finally:
            super().close()

    def _end_claims(self, connection: sqlite3.Connection) -> None:
        """Free what dead processes, late ones and our own interrupted step had claimed."""
        claims = connection.execute(
            "SELECT owner, max(lease_until) FROM waiting WHERE owner IS NOT NULL GROUP BY owner"
        ).fetchall()
        now = self._now()
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
