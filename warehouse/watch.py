"""What a server process holds in memory of consent and keys, and how old that may be.

A thread compares version counters several times within the allowed age. What changed is
forgotten, never patched: the next event asks the database, inside the transaction that stores
it. When the counters cannot be read in time nothing held here is used any more.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from sqlalchemy import select

from schemas.errors import NotReady
from schemas.tables import consents as ledger
from schemas.tables import subjects
from warehouse import api_keys, consents, marks, revision, withdrawals
from warehouse.engine import reading
from warehouse.keyfile import read_ring, ring_stamp
from warehouse.tombstones import catch_up
from warehouse.witness import TOMBSTONE, Witness

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection, Engine

    from warehouse.api_keys import KeyHash
    from warehouse.keyfile import KeyRing

_ONLY_GROW = (consents.CHANGES, api_keys.CHANGES, marks.MARKS)
"""Counters that fall in no database by itself."""

_GENERATION = 200_000
_KEYS_STALE_SECONDS = 0.9
_PATIENCE_SECONDS = 0.25
_VAIN_SECONDS = 0.5
_BLIND_SECONDS = 3.0

_logger = logging.getLogger("smartmatch.watch")


class KnownConsents:
    """Subjects of those who allow collection, by pseudonym: bounded, forgotten when changed.

    Who does not is not remembered: they may have allowed it at another server process since, and
    to clients a refusal is final.
    """

    def __init__(self) -> None:
        self._young: dict[bytes, int] = {}
        self._old: dict[bytes, int] = {}
        self._lock = threading.Lock()
        self._seen = 0

    def get(self, pseudonym: bytes) -> int | None:
        """Return the subject, or None when the database has to be asked."""
        subject = self._young.get(pseudonym)
        return self._old.get(pseudonym) if subject is None else subject

    def learn(self, found: dict[bytes, int], seen: int) -> None:
        """Hold what a transaction read, unless something changed since it began.

        Args:
            found: Subject by pseudonym.
            seen: The counter of changes as that transaction read it, before the subjects.
        """
        with self._lock:
            if seen < self._seen:
                return
            if len(self._young) + len(found) > _GENERATION:
                self._young, self._old = {}, self._young
            self._young.update(found)

    def forget(self, changed: list[bytes] | None, seen: int) -> None:
        """Forget those who changed, or everyone, up to a value of the counter."""
        with self._lock:
            self._seen = max(self._seen, seen)
            if changed is None:
                self._young, self._old = {}, {}
                return
            for pseudonym in changed:
                self._young.pop(pseudonym, None)
                self._old.pop(pseudonym, None)


class Watch:
    """Keeps what is known fresh, from a thread of its own, which starts when it is needed.

    Args:
        engine: The database.
        keys: Directory of the key file.
        staleness_seconds: Oldest consent state that may be acted on.
        starting: The database for the first look, which may wait for longer; else the same.

    Raises:
        NotReady: The database cannot be read, or has another schema than this code.
        KeyMissing: There is no key file.
        WitnessBroken: The witness beside the keys cannot be read.
    """

    def __init__(
        self, engine: Engine, keys: Path, staleness_seconds: float, starting: Engine | None = None
    ) -> None:
        self._engine = engine
        self._directory = keys
        self._staleness = staleness_seconds
        self._interval = max(0.02, min(staleness_seconds / 2 or 0.2, 0.2))
        self._counters: dict[str, int] | None = None
        self._stamp = ring_stamp(keys)
        self._witnessed = (-1, -1, -1)
        self._place = 0
        self.witness = Witness(keys)
        self.erased_at: dict[str, int] = {}
        """When whoever is behind a pseudonym was erased, by tombstone."""
        self._due = threading.Event()
        self._polled = threading.Condition()
        self._closing = False
        self._vain_until = 0.0
        self._seen_at = 0.0
        self._error = ""
        self.ring: KeyRing = read_ring(keys)
        self.consents = KnownConsents()
        self.withdrawals = 0
        """Count of withdrawals that ``consents`` has followed."""
        self.api_keys: dict[bytes, KeyHash] | None = {}
        """Valid API keys by id; None while none was ever made."""
        self.consents_until = 0.0
        """Monotonic time until which ``consents`` may be used."""
        self.api_keys_until = 0.0
        """Monotonic time until which ``api_keys`` may be used."""
        self._poll(starting)
        self._starting = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Begin to watch, if nobody did; whoever asks for keys does so."""
        with self._starting:
            if self._thread.ident is None and not self._closing:
                self._thread.start()

    def close(self) -> None:
        """Stop watching."""
        with self._starting:
            self._closing = True
        self._due.set()
        if self._thread.ident is not None:
            self._thread.join()

    @property
    def sees(self) -> bool:
        """Whether a round succeeded in the last seconds, so that events can be taken."""
        return time.monotonic() <= self._seen_at + _BLIND_SECONDS

    def has_fresh_keys(self) -> bool:
        """Tell whether ``api_keys`` may be used; when they are too old, have them read first.

        On a busy machine the thread may get no turn in time: a moment's wait for it is better
        than a refusal. When it was in vain nobody else waits for a while, so that a database
        that does not answer holds nobody up.
        """
        if time.monotonic() <= self.api_keys_until:
            return True
        if time.monotonic() < self._vain_until:
            return False
        self.start()
        self._due.set()
        with self._polled:
            found = self._polled.wait_for(
                lambda: time.monotonic() <= self.api_keys_until, _PATIENCE_SECONDS
            )
        if not found:
            self._vain_until = time.monotonic() + _VAIN_SECONDS
        return found

    def _run(self) -> None:
        while True:
            self._due.wait(self._interval)
            self._due.clear()
            if self._closing:
                return
            try:
                self._poll()
            except NotReady as error:
                self._note(str(error))
                continue
            except Exception as error:  # noqa: BLE001  # the next round may do
                # What is held runs out of its time by itself, and the door closes.
                self._note(type(error).__name__)
                continue
            self._note("")
            with self._polled:
                self._polled.notify_all()

    def _note(self, error: str) -> None:
        """Log by what error a round failed, once, as long as it goes on."""
        if error and error != self._error:
            _logger.warning("Consents and keys could not be read: %s", error)
        self._error = error

    def _poll(self, engine: Engine | None = None) -> None:
        begun = time.monotonic()
        self._poll_ring()
        self._poll_witness()
        with reading(engine or self._engine) as connection:
            if not revision.is_head(connection):
                self._shut()
                revision.check_revision(connection)
            counters = consents.counters(connection)
            before = self._counters
            is_older = before is not None and _fell(before, counters)
            if not is_older:
                self._follow(connection, before, counters)
        if is_older:
            self._begin_again()
            return
        self._counters = counters
        self.api_keys_until = begun + _KEYS_STALE_SECONDS
        self.consents_until = begun + self._staleness
        self._seen_at = begun

    def _follow(
        self, connection: Connection, before: dict[str, int] | None, counters: dict[str, int]
    ) -> None:
        """Read what changed, or forget it."""
        if before is None or _moved(before, counters, api_keys.CHANGES):
            self.api_keys = api_keys.read_hashes(connection)
        if before is not None and (moved := _moved(before, counters, consents.CHANGES)):
            entries = _moved(before, counters, consents.ENTRIES)
            changed = None
            if moved == entries:
                changed = self._answered_since(connection, before.get(consents.ENTRIES, 0))
            self.consents.forget(changed, counters[consents.CHANGES])
        # Last: nothing is held any more that an earlier withdrawal made untrue.
        self.withdrawals = counters.get(withdrawals.COUNT, 0)

    def _begin_again(self) -> None:
        """Hold nothing any more: this is not the database that was seen, but one of before.

        A backup was put back, or a copy took over that had lagged behind. The door stays shut until
        it follows the witness, so that nobody is back who left or was revoked meanwhile.
        """
        self._shut()
        # Nor is anything learned that a transaction under way has read.
        self.consents.forget(None, (self._counters or {}).get(consents.CHANGES, 0) + 1)
        catch_up(self._engine, self._directory)
        self._counters = None

    def _shut(self) -> None:
        """Let nobody in until a round succeeds."""
        self.consents_until = self.api_keys_until = 0.0
        self._seen_at = -_BLIND_SECONDS

    def _answered_since(self, connection: Connection, seq: int) -> list[bytes] | None:
        """Return whose answers came after an entry; None where one is not known by the newest key.

        What is held is held by that key, and so cannot be found by another pseudonym of theirs.
        """
        rows = connection.execute(
            select(subjects.c.pseudonym, subjects.c.key_id)
            .join(ledger, ledger.c.ledger_id == subjects.c.ledger_id)
            .where(ledger.c.seq > seq)
        ).all()
        newest = self.ring.current.key_id
        if any(row.key_id != newest for row in rows):
            return None
        return [row.pseudonym for row in rows]

    def _poll_witness(self) -> None:
        stamp = self.witness.stamp()
        if stamp == self._witnessed:
            return
        # It only grows, and is years long: what is new in it is little.
        is_other = stamp[0] < self._place or stamp[-1] != self._witnessed[-1]
        entries, place = self.witness.entries_from(0 if is_other else self._place)
        found = {
            tombstone: entry.at
            for entry in entries
            if entry.kind == TOMBSTONE
            for tombstone in entry.body["pseudonyms"]
        }
        if found or is_other:
            # Replaced and not changed: others read it meanwhile.
            self.erased_at = found if is_other else self.erased_at | found
        self._place, self._witnessed = place, stamp

    def _poll_ring(self) -> None:
        stamp = ring_stamp(self._directory)
        if stamp != self._stamp:
            self.ring = read_ring(self._directory)
            self.consents.forget(None, 0)
            self._stamp = stamp


def _fell(before: dict[str, int], after: dict[str, int]) -> bool:
    """Tell whether this database is not the one that was seen, or one of before."""
    return any(_moved(before, after, name) < 0 for name in _ONLY_GROW)


def _moved(before: dict[str, int], after: dict[str, int], name: str) -> int:
    return after.get(name, 0) - before.get(name, 0)
