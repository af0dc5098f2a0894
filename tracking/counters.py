"""What became of the events of one process, as numbers to look at."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Counters:
    """Events since this process began, but for ``waiting``, which is now.

    Processes that share a spool send for one another: over all of them, and over their
    restarts, accepted + retried = stored + duplicate + rejected + dropped + waiting.
    """

    # What collect_event answered
    accepted: int = field(default=0, metadata={"help": "in the spool; True"})
    without_consent: int = field(default=0, metadata={"help": "no consent is recorded; False"})
    consent_unreadable: int = field(default=0, metadata={"help": "no way to ask; False"})
    invalid: int = field(default=0, metadata={"help": "a field broke its rule; False"})
    spool_full: int = field(default=0, metadata={"help": "no room in the spool; False"})
    spool_unusable: int = field(default=0, metadata={"help": "the spool failed; False"})
    after_close: int = field(default=0, metadata={"help": "the collector was closed; False"})
    unexpected: int = field(default=0, metadata={"help": "something unforeseen failed; False"})
    # What became of accepted events
    stored: int = field(default=0, metadata={"help": "the server stored it"})
    duplicate: int = field(default=0, metadata={"help": "the server had stored it before"})
    rejected: int = field(default=0, metadata={"help": "the server never will; kept apart"})
    refused_discarded: int = field(default=0, metadata={"help": "rejected, and no longer kept"})
    retried: int = field(default=0, metadata={"help": "rejected, and waiting once more"})
    dropped_for_consent: int = field(default=0, metadata={"help": "refused for consent"})
    dropped_on_withdrawal: int = field(default=0, metadata={"help": "withdrawn before sent"})
    dropped_for_age: int = field(default=0, metadata={"help": "older than the retention"})
    waiting: int = field(default=0, metadata={"help": "in the spool now, of all processes"})
    # What the sender did
    batches: int = field(default=0, metadata={"help": "requests with a verdict"})
    failures: int = field(default=0, metadata={"help": "requests that will be repeated"})


class Tally:
    """Counts that several threads add to."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start from zero, with a lock of one's own."""
        self._lock = threading.RLock()  # a signal handler may collect, too
        self._counts: Counter[str] = Counter()

    def add(self, name: str, count: int = 1) -> None:
        """Add to one of the names of ``Counters``."""
        with self._lock:
            self._counts[name] += count

    def read(self, waiting: int) -> Counters:
        """Return all counts of one instant."""
        with self._lock:
            return Counters(**self._counts, waiting=waiting)
