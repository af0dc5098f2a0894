"""The newest entry of the consent ledger, noted beside the keys before anybody is told of it.

The witness takes a head once a day. What was answered since then could be cut off with its
counter and the state of its person, and nothing would show. So whoever commits answers also
writes over one small file: the number and hash of the newest entry, under a keyed hash. It moves on
only from an entry that the ledger still holds, so that answers behind a cut do not cover it up.

It also says from which entry on every one has to have a seal, so that taking seals away shows.
"""

from __future__ import annotations

import hmac
import logging
import os
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import func, select

from schemas.tables import consents as ledger
from warehouse import consents
from warehouse.consents import Head
from warehouse.engine import reading
from warehouse.keyfile import locked, noting, read_ring, replace_file
from warehouse.seals import Sealed, Seals, seal_people
from warehouse.witness import WitnessBroken

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

FILE_NAME = "ledger-head.json"

_BYTES = 256
"""Within one sector of a disk, which is written whole or not at all."""

_logger = logging.getLogger("smartmatch")


class _Noted(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    seq: int
    hash: str
    mac: str
    sealed_from: int | None = None
    sealed_mac: str = ""


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
        ring = read_ring(directory)
        self._key = ring.derived("ledger-head")
        self._seals = Seals(ring)
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
        self.demand_seals(engine)
        with noting(), locked(self._directory):
            # Read again: another process may have noted a newer one meanwhile.
            newest, noted = consents.head(engine), self._noted()
            if newest is None or not _holds(engine, _head(noted)):
                _logger.error("The consent ledger lacks an entry that was noted")
                return False
            # Even where it can be read already: whoever wrote it may have failed to make it last.
            self._write(newest, noted.sealed_from if noted else None)
        self._known = newest
        return True

    def demand_seals(self, engine: Engine) -> None:
        """Seal everybody's row and demand seals from the next entry on, unless that was done.

        What lies before is taken as it is: do it as soon as there are keys.

        Raises:
            NotReady: The database does not answer, or the file cannot be written.
            WitnessBroken: The file is not what was written.
        """
        if self.sealed().since is not None:
            return
        seal_people(engine, self._seals)
        with reading(engine) as connection:
            sealed = select(func.min(ledger.c.seq)).where(ledger.c.seal.is_not(None))
            first: int | None = connection.execute(sealed).scalar()
        with noting(), locked(self._directory):
            noted, newest = self._noted(), consents.head(engine)
            if noted is not None and noted.sealed_from is not None:
                return
            since = first or (newest.seq + 1 if newest else 1)
            self._write(_head(noted) or Head(0, b""), since)

    def demand_no_seals(self) -> None:
        """Forget that there were seals: the schema was taken back to one that has none.

        Raises:
            NotReady: The file cannot be written.
            WitnessBroken: The file is not what was written.
        """
        with noting(), locked(self._directory):
            if (noted := self._noted()) is not None:
                self._write(_head(noted) or Head(0, b""), None)

    def sealed(self) -> Sealed:
        """Return what has to be sealed.

        Raises:
            WitnessBroken: The file is not what was written.
        """
        noted = self._noted()
        return Sealed(self._seals, noted.sealed_from if noted else None)

    def read(self) -> Head | None:
        """Return what was noted last; None where nothing ever was.

        Raises:
            WitnessBroken: It is not what was written.
        """
        return _head(self._noted())

    def _noted(self) -> _Noted | None:
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return None
        if not content:  # as a writer left it that made the file before it had anything to write
            return None
        try:
            noted = msgspec.json.decode(content, type=_Noted)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise WitnessBroken("the newest head of the ledger cannot be read") from None
        told = noted.mac + noted.sealed_mac
        if not hmac.compare_digest(told.encode(), "".join(self._macs(noted)).encode()):
            raise WitnessBroken("the newest head of the ledger is not what was written")
        return noted

    def own_up(self, engine: Engine, head: Head | None) -> None:
        """Go on from an earlier head: a backup was put back, and somebody said so.

        One of before there were seals gets those of its people, and needs none in its entries.

        Raises:
            NotReady: The file cannot be written.
            WitnessBroken: The file is not what was written.
        """
        since, newest = self.sealed().since, head.seq if head else 0
        if since is not None and newest < since:
            seal_people(engine, self._seals)
            since = newest + 1
        with noting(), locked(self._directory):
            self._write(head or Head(0, b""), since)

    def _write(self, head: Head, sealed_from: int | None) -> None:
        noted = _Noted(head.seq, head.entry_hash.hex(), "", sealed_from)
        mac, sealed_mac = self._macs(noted)
        noted = msgspec.structs.replace(noted, mac=mac, sealed_mac=sealed_mac)
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

    def _macs(self, noted: _Noted) -> tuple[str, str]:
        """Return two, so that an earlier version knows the first."""
        mac = hmac.digest(self._key, f"{noted.seq} {noted.hash}".encode(), "sha256").hex()
        if noted.sealed_from is None:
            return mac, ""
        sealed = f"sealed from {noted.sealed_from}".encode()
        return mac, hmac.digest(self._key, sealed, "sha256")[:16].hex()


def _head(noted: _Noted | None) -> Head | None:
    return Head(noted.seq, bytes.fromhex(noted.hash)) if noted and noted.seq else None


def _holds(engine: Engine, noted: Head | None) -> bool:
    if noted is None:
        return True
    with reading(engine) as connection:
        query = select(ledger.c.entry_hash).where(ledger.c.seq == noted.seq)
        held: bytes | None = connection.execute(query).scalar()
    return held == noted.entry_hash
