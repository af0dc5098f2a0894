"""What this process knows of people's consent at one server, and what it was told last.

Shared by all who ask that server in this process: a page that takes answers and the code that
collects events need not hold the same ``PrivacyManager`` for a withdrawal to count at once.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tracking import forking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MOST_CACHED = 50_000
"""People whose consent is remembered at once."""
_TURNS = 1_024
"""So many people may answer at once; of each, one answer is on its way at a time."""


@dataclass(frozen=True)
class Consent:
    """Purposes that a person allows; all refused until granted."""

    analytics: bool = False
    preferences: bool = False
    improvement: bool = False

    def within(self, other: Consent) -> Consent:
        """Return what both allow."""
        return Consent(
            self.analytics and other.analytics,
            self.preferences and other.preferences,
            self.improvement and other.improvement,
        )


@dataclass(frozen=True)
class Known:
    """What the server said of a person, and when (monotonic seconds)."""

    consent: Consent | None
    read_at: float


class Remembered:
    """Consents at one server.

    An answer of a person is the newest until another one comes; it waits from its arrival until
    the server has confirmed it, and what it refuses is refused meanwhile.
    """

    def __init__(self) -> None:
        self._listeners: list[weakref.WeakMethod[Callable[[str], None]]] = []
        self._waiting: dict[str, Consent] = {}
        self._forget()
        forking.watch(self)

    @property
    def changes(self) -> int:
        """How many answers came or were confirmed; what was read before one may be outdated."""
        with self._lock:
            return self._changes

    def answer(self, user_id: str, consent: Consent) -> None:
        """Take a person's newest answer."""
        with self._lock:
            self._changes += 1
            self._waiting[user_id] = consent
            self._cache.pop(user_id, None)
        if not consent.analytics:
            for reference in self._listeners:
                listener = reference()
                if listener is not None:
                    listener(user_id)

    @contextmanager
    def turn(self, user_id: str, consent: Consent) -> Iterator[bool]:
        """Send an answer while no other one of this person is on its way.

        Yields whether it still is the newest: if not, it must not arrive after that.
        """
        with self._turns[hash(user_id) % _TURNS]:
            yield self._waiting.get(user_id) is consent

    def confirm(self, user_id: str, consent: Consent) -> None:
        """Note that the server has recorded an answer."""
        with self._lock:
            self._changes += 1
            if self._waiting.get(user_id) is consent:
                del self._waiting[user_id]
                self._keep(user_id, consent)

    def learn(self, user_id: str, consent: Consent | None, changes: int) -> Consent | None:
        """Keep what was read when there were so many changes; return what holds."""
        with self._lock:
            if changes == self._changes:
                self._keep(user_id, consent)
            elif user_id in self._cache:  # recorded while the reply was on its way
                return self._cache[user_id].consent
        return consent

    def recent(self, user_id: str, seconds: float) -> Known | None:
        """Return what was read in the last seconds."""
        with self._lock:
            known = self._cache.get(user_id)
        return known if known and time.monotonic() - known.read_at < seconds else None

    def without_refused(self, user_id: str, consent: Consent | None) -> Consent | None:
        """Take away what is refused here and perhaps not yet at the server."""
        waiting = self._waiting.get(user_id)
        return consent.within(waiting) if consent and waiting else consent

    def on_withdrawal(self, listener: Callable[[str], None]) -> None:
        """Call a method with the user id whenever ``analytics`` is refused here."""
        with self._lock:
            self._listeners = [kept for kept in self._listeners if kept() is not None]
            self._listeners.append(weakref.WeakMethod(listener))

    def before_fork(self) -> None:
        """Nothing: what is remembered is replaced whole in the child."""

    def after_fork_in_parent(self) -> None:
        """Nothing."""

    def after_fork_in_child(self) -> None:
        """Remember only what must not be forgotten: refusals that are not recorded yet."""
        self._forget()

    def _forget(self) -> None:
        self._lock = threading.RLock()  # a signal handler may ask, too
        self._turns = [threading.RLock() for _ in range(_TURNS)]
        self._cache: OrderedDict[str, Known] = OrderedDict()
        self._changes = 0

    def _keep(self, user_id: str, consent: Consent | None) -> None:
        self._cache[user_id] = Known(consent, time.monotonic())
        self._cache.move_to_end(user_id)
        if len(self._cache) > MOST_CACHED:
            self._cache.popitem(last=False)


_of_targets: weakref.WeakValueDictionary[str, Remembered] = weakref.WeakValueDictionary()


def remembered_of(target: str) -> Remembered:
    """Return what this process knows of the server that ``target`` names."""
    with forking.lock:
        found = _of_targets.get(target)
        if found is None:
            found = _of_targets[target] = Remembered()
        return found
