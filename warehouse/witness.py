"""The witness: what has to be known even when the database is lost, replaced or set back.

A file beside the keys, one JSON line an entry, chained by SHA-256 and signed with Ed25519. It
holds the heads of the consent ledger, by which a cut tail shows; a tombstone of everybody who was
erased, so that a restored backup forgets them again; the report of each erasure; each noisy
release, so that a restore refunds none; of which versions of the model books were kept, so that
a restored backup knows what it does not know; and each API key that was made or revoked, so that a
restore neither opens a door nor makes a revoked key valid. A tombstone is a keyed digest of a
subject's random number or of a pseudonym: it can be held against a row that is there, and, by who
has the keys beside it, against an identifier that is guessed.

WitnessBroken
└── raised when an entry was changed, moved or removed
"""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import TYPE_CHECKING, Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from schemas.errors import SmartMatchError
from warehouse.keyfile import locked, noting, read_ring
from warehouse.seals import Seals
from warehouse.whole_writes import append_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

FILE_NAME = "witness.jsonl"
GENESIS = "0" * 64
HEAD, TOMBSTONE, REPORT, RESTORED, WITHDRAWAL, RELEASE, ADOPTED, BOOKS, KEY_MADE, KEY_REVOKED = (
    "consent-head",
    "tombstone",
    "erasure-report",
    "restored",
    "withdrawal",
    "noisy-release",
    "releases-adopted",
    "version-books",
    "api-key-made",
    "api-key-revoked",
)
MARKS = (TOMBSTONE, WITHDRAWAL, BOOKS, KEY_MADE, KEY_REVOKED)
"""Kinds that are numbered, and that a database has to follow."""
_TOMBSTONE_BYTES = 16
_TAIL_BYTES = 1 << 16


class WitnessBroken(SmartMatchError):
    """An entry of the witness was changed, moved or removed."""


class Testimony(msgspec.Struct, frozen=True):
    """One entry.

    Attributes:
        seq: Its number, from 1.
        kind: What it is about.
        at: When, microseconds since 1970.
        marks: How many entries of numbered kinds (MARKS) there are up to and with it.
        body: What is testified; nothing that leads to a person without the row it is about.
        previous: Hash of the entry before.
        hash: SHA-256 of all of this, hexadecimal.
        signature: Ed25519 over the hash, hexadecimal.
    """

    seq: int
    kind: str
    at: int
    marks: int
    body: dict[str, Any]
    previous: str
    hash: str
    signature: str


class Witness:
    """The entries of one installation, appended under a lock and never changed.

    Args:
        directory: Where the keys lie.

    Raises:
        KeyMissing: There is no key file.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / FILE_NAME
        ring = read_ring(directory)
        self._signer = Ed25519PrivateKey.from_private_bytes(ring.derived("witness"))
        self._tombstones = ring.derived("tombstones")
        self.seals = Seals(ring)

    def stamp(self) -> tuple[int, int, int]:
        """Return the size and time of the file, which change with each entry, and which it is."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return (0, 0, 0)
        return (found.st_size, found.st_mtime_ns, found.st_ino)

    def of_subject(self, subject: int) -> str:
        """Return the tombstone of a subject's number."""
        return self._mark(b"subject\0" + subject.to_bytes(8, "big"))

    def of_pseudonym(self, pseudonym: bytes) -> str:
        """Return the tombstone of a pseudonym."""
        return self._mark(b"pseudonym\0" + pseudonym)

    def _mark(self, message: bytes) -> str:
        return hmac.digest(self._tombstones, message, "sha256")[:_TOMBSTONE_BYTES].hex()

    def append(self, kind: str, body: Mapping[str, Any], at: int) -> Testimony:
        """Add an entry, durably, and return it.

        Args:
            kind: What it is about.
            body: What is testified, ready for JSON.
            at: When, microseconds since 1970.

        Raises:
            NotReady: The disk did not take it.
            WitnessBroken: The last entry cannot be read.
        """
        with noting(), locked(self._directory):
            last = self.last()
            draft = {
                "seq": last.seq + 1 if last else 1,
                "kind": kind,
                "at": at,
                "marks": (last.marks if last else 0) + (kind in MARKS),
                "body": dict(body),
                "previous": last.hash if last else GENESIS,
            }
            digest = _digest(draft)
            signature = self._signer.sign(bytes.fromhex(digest)).hex()
            entry = msgspec.convert(draft | {"hash": digest, "signature": signature}, Testimony)
            append_line(self._path, msgspec.json.encode(entry))
        return entry

    def entries(self) -> Iterator[Testimony]:
        """Read every entry, oldest first, unchecked.

        Raises:
            WitnessBroken: A line cannot be read.
        """
        try:
            lines = self._path.read_bytes().splitlines(keepends=True)
        except FileNotFoundError:
            return
        for number, line in enumerate(lines, start=1):
            if line.endswith(b"\n"):  # else its writer was killed; nothing was promised yet
                yield _decode(line, number)

    def entries_from(self, place: int) -> tuple[list[Testimony], int]:
        """Read the entries from a place of the file on, unchecked, and where the next will begin.

        Raises:
            WitnessBroken: A line cannot be read.
        """
        try:
            with self._path.open("rb") as file:
                file.seek(place)
                lines = file.read().splitlines(keepends=True)
        except FileNotFoundError:
            return [], 0
        if lines and not lines[-1].endswith(b"\n"):  # its writer was killed, or is not done
            lines.pop()
        return [_decode(line, 0) for line in lines], place + sum(map(len, lines))

    def last(self) -> Testimony | None:
        """Read the newest entry, without reading the others."""
        try:
            with self._path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - _TAIL_BYTES))
                lines = file.read().rpartition(b"\n")[0].splitlines()
        except FileNotFoundError:
            return None
        if len(lines) == 1 and size > _TAIL_BYTES:
            return list(self.entries())[-1]
        return _decode(lines[-1], 0) if lines else None

    def has_withdrawal(self, *, after: int, before: int) -> bool:
        """Tell whether a withdrawal has a mark between two others; the newest are read first."""
        if before - after <= 1:
            return False
        for line in reversed(self._path.read_bytes().rpartition(b"\n")[0].splitlines()):
            entry = _decode(line, 0)
            if entry.marks <= after:
                return False
            if entry.kind == WITHDRAWAL and entry.marks < before:
                return True
        return False

    def verify(self, known: Sequence[Testimony] = ()) -> list[Testimony]:
        """Read every entry and check its hash, signature and place.

        Args:
            known: Entries that were checked before, from the first on: what is still the same.

        Raises:
            WitnessBroken: Names the first entry that is not what was written.
        """
        public, previous, marks = self._signer.public_key(), GENESIS, 0
        found = []
        for number, entry in enumerate(self.entries(), start=1):
            if entry in known[number - 1 : number]:
                previous, marks = entry.hash, entry.marks
                found.append(entry)
                continue
            fields = msgspec.structs.asdict(entry)
            digest, signature = fields.pop("hash"), fields.pop("signature")
            marks += entry.kind in MARKS
            sound = (entry.seq, entry.previous, entry.marks) == (number, previous, marks)
            if not sound or digest != _digest(fields):
                raise WitnessBroken(f"entry {number} of the witness is not what was written")
            try:
                public.verify(bytes.fromhex(signature), bytes.fromhex(digest))
            except (InvalidSignature, ValueError):
                raise WitnessBroken(f"entry {number} of the witness is not signed by us") from None
            previous = entry.hash
            found.append(entry)
        return found


def _digest(fields: Mapping[str, Any]) -> str:
    return hashlib.sha256(msgspec.json.encode(fields, order="deterministic")).hexdigest()


def _decode(line: bytes, number: int) -> Testimony:
    try:
        return msgspec.json.decode(line, type=Testimony)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise WitnessBroken(f"entry {number or 'last'} of the witness cannot be read") from None
