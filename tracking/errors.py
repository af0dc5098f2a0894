"""What can go wrong on the client's side; all of it is worth trying again.

NotReady
├── Unreachable             the server did not answer, or asked for patience
│   └── NoServer            neither a URL nor an embedded server is there
├── ConsentUnreadable       nobody can say now whether a person consented
├── ConsentNotRecorded      the server did not confirm what a person decided
├── CollectorClosed         the collector was closed; nothing is collected any more
├── SpoolUnusable           the spool on disk cannot be opened, locked, read or written
QueueFull
└── SpoolFull               the spool has reached its size, or the disk its end
"""

from __future__ import annotations

from schemas.errors import NotReady, QueueFull


class Unreachable(NotReady):
    """The server did not answer, or asked for patience.

    Args:
        reason: What happened, without an address, an identifier or a value.
        retry_after: Seconds that the server asked to wait, if it did.
    """

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class NoServer(Unreachable):
    """Neither a URL nor an embedded server is there."""


class ConsentUnreadable(NotReady):
    """Nobody can say now whether a person consented, so nothing may be collected."""


class ConsentNotRecorded(NotReady):
    """The server did not confirm what a person decided; record it again."""


class CollectorClosed(NotReady):
    """The collector was closed; nothing is collected any more."""


class SpoolUnusable(NotReady):
    """The spool on disk cannot be opened, locked, read or written."""


class SpoolFull(QueueFull):
    """The spool has reached its size, or the disk its end."""
