"""The newest entry of the consent ledger, noted beside the keys before anybody is told of it.

The witness takes a head once a day. What was answered since then could be cut off with its
counter and the state of its person, and nothing would show. So whoever commits answers also
writes over one small file: the number and hash of the newest entry, under a keyed hash. It moves on
only from an entry that the ledger still holds, so that answers behind a cut do not cover it up.
"""

from __future__ import annotations

import hmac
import logging
import os
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import select

from schemas.tables import consents as ledger
from warehouse import consents
from warehouse.consents import Head
from warehouse.engine import reading
from warehouse.keyfile import locked, noting, read_ring, replace_file
from warehouse.witness import WitnessBroken

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

FILE_NAME = "ledger-head.json"

_BYTES = 256
"""Within one sector of a disk, which is written whole or not at all."""

_logger = logging.getLogger("smartmatch")


class _Noted(msgspec.Struct, frozen=True):
    seq: int
    hash: str
    mac: str


class NewestHead:
    """The newest head that was noted, of one installation.

    Args:
        directory: Where the keys lie.

    Raises:
        KeyMissing: There is no key file.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / FILE_NAME
        self._key = read_ring(directory).derived("ledger-head")
        self._known: Head | None = None

    def note(self, engine: Engine) -> bool:
        """Note the newest entry, unless it is noted already.

        Returns:
            False where the ledger does not hold what was noted before, which stays noted.

        Raises:
            NotReady: The database does not answer, or the file cannot be written.
            WitnessBroken: The file is not what was written.
        """
        if consents.head(engine) in {None, self._known}:
            return True
        with noting(), locked(self._directory):
            # Read again: another process may have noted a newer one meanwhile.
            newest = consents.head(engine)
            if newest is None or not _holds(engine, self.read()):
                _logger.error("The consent ledger lacks an entry that was noted")
                return False
            # Even where it can be read already: whoever wrote it may have failed to make it last.
            self._write(newest)
        self._known = newest
        return True

    def read(self) -> Head | None:
        """Return what was noted last; None where nothing ever was.

        Raises:
            WitnessBroken: It is not what was written.
        """
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return None
        if not content:  # as a writer left it that made the file before it had anything to write
            return None
        try:
            noted = msgspec.json.decode(content, type=_Noted)
        except msgspec.MsgspecError:
            raise WitnessBroken("the newest head of the ledger cannot be read") from None
        if not hmac.compare_digest(noted.mac.encode(), self._mac(noted.seq, noted.hash).encode()):
            raise WitnessBroken("the newest head of the ledger is not what was written")
        return Head(noted.seq, bytes.fromhex(noted.hash)) if noted.seq else None

    def own_up(self, head: Head | None) -> None:
        """Go on from an earlier head: a backup was put back, and somebody said so.

        Raises:
            NotReady: The file cannot be written.
        """
        with noting(), locked(self._directory):
            self._write(head or Head(0, b""))

    def _write(self, head: Head) -> None:
        digest = head.entry_hash.hex()
        noted = _Noted(head.seq, digest, self._mac(head.seq, digest))
        content = msgspec.json.encode(noted).ljust(_BYTES)
        if not self._overwrite(content):
            replace_file(self._path, content)

    def _overwrite(self, content: bytes) -> bool:
        """Write over a note of the same size, in one step; tell whether there was one."""
        try:
            handle = os.open(self._path, os.O_WRONLY)
        except FileNotFoundError:
            return False
        try:
            if os.fstat(handle).st_size != len(content):
                return False
            if os.pwrite(handle, content, 0) != len(content):
                return False
            os.fdatasync(handle)
        finally:
            os.close(handle)
        return True

    def _mac(self, seq: int, digest: str) -> str:
        return hmac.digest(self._key, f"{seq} {digest}".encode(), "sha256").hex()


def _holds(engine: Engine, noted: Head | None) -> bool:
    if noted is None:
        return True
    with reading(engine) as connection:
        query = select(ledger.c.entry_hash).where(ledger.c.seq == noted.seq)
        held: bytes | None = connection.execute(query).scalar()
    return held == noted.entry_hash
