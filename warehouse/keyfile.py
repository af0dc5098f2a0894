"""The secrets, outside the database: one key file, and one file a day for sealed texts.

``ring.json`` (mode 0600) holds the pseudonym keys, each with an id and the time from which it
is used, and the key of content digests. ``days/NUMBER.key`` holds the key of one day, counted
since 1970; deleting the file makes that day's sealed texts unreadable for good. What else is
secret is derived from the key of content digests, which lives as long as the installation.
"""

from __future__ import annotations

import base64
import fcntl
import hmac
import os
import re
import secrets
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from schemas.errors import KeyMissing, NotReady
from warehouse.whole_writes import sync_directory, write_at

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY_BYTES = 32
LOCK_SECONDS = 1.0
"""So long others are waited for; each holds the key directory for milliseconds, unless it stands
still."""
_VAIN_SECONDS = 5.0
"""So long after a wait in vain this process only looks: a server's loop and its writer stood still
with whoever stands still, once more for each text and each withdrawal."""
_PAUSE_SECONDS = 0.002
_RING = "ring.json"
_DAYS = "days"
_DRAFT = re.compile(r"\..+\.[0-9a-f]{8}")
"""Name of what is not whole yet: the name of its file, hidden, and random digits."""


class PseudonymKey(msgspec.Struct, frozen=True):
    """A key that makes pseudonyms, from a moment on (microseconds since 1970)."""

    key_id: str
    secret: bytes
    since: int


class DestroyedKey(msgspec.Struct, frozen=True):
    """What is left of a pseudonym key: its id and the times from which and until which it was."""

    key_id: str
    since: int
    destroyed_at: int


class KeyRing(msgspec.Struct, frozen=True):
    """All lasting secrets of an installation; pseudonym keys oldest first."""

    pseudonym_keys: list[PseudonymKey]
    digest_key: bytes
    destroyed: list[DestroyedKey] = []

    def derived(self, label: str) -> bytes:
        """Return the lasting secret of one use, 32 bytes."""
        return hmac.digest(self.digest_key, b"derived\0" + label.encode(), "sha256")

    @property
    def current(self) -> PseudonymKey:
        """The key that makes new pseudonyms."""
        return self.pseudonym_keys[-1]

    @property
    def linking(self) -> PseudonymKey:
        """The key of matches and sessions: the oldest that is kept.

        A proposal and its decision meet across a rotation as long as the key under which the
        proposal was made exists; destroying it cuts what it linked.
        """
        return self.pseudonym_keys[0]

    def usable(self, now: int) -> list[PseudonymKey]:
        """Return the keys under which a person may be known, the one of new pseudonyms first.

        That is the newest that has begun at this moment: every server process has read it by
        then. One that begins later comes last: where a clock is ahead, or this one was set back,
        somebody may be known under it already.
        """
        begun = [key for key in reversed(self.pseudonym_keys) if key.since <= now]
        begun = begun or [self.linking]
        return [*begun, *(key for key in self.pseudonym_keys if key not in begun)]

    def changes_after(self, now: int) -> bool:
        """Tell whether a key begins later than a moment: until then nobody moves to another key."""
        return self.current.since > now


def has_ring(directory: Path) -> bool:
    """Tell whether there is a key file."""
    return (directory / _RING).exists()


def make_ring(directory: Path, now: int) -> KeyRing:
    """Make the key file unless there is one, and return its ring."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    if has_ring(directory):
        return read_ring(directory)
    key = PseudonymKey(secrets.token_hex(4), secrets.token_bytes(KEY_BYTES), now)
    ring = KeyRing([key], secrets.token_bytes(KEY_BYTES))
    with changing(directory):
        _create(directory / _RING, msgspec.json.format(msgspec.json.encode(ring)))
    return read_ring(directory)


def read_ring(directory: Path) -> KeyRing:
    """Read the key file.

    Raises:
        KeyMissing: There is none, which ``smartmatch init`` makes, or it cannot be read or is
            broken, which only a copy of it mends.
    """
    try:
        ring = msgspec.json.decode((directory / _RING).read_bytes(), type=KeyRing)
    except FileNotFoundError:
        raise KeyMissing("the key file is absent; run `smartmatch init`") from None
    except OSError as error:
        raise KeyMissing(f"the key file cannot be read ({type(error).__name__})") from None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        ring = KeyRing([], b"")
    if not ring.pseudonym_keys:
        raise KeyMissing("the key file is broken; put a copy of the key directory back")
    return ring


def open_to_others(directory: Path) -> list[Path]:
    """List what of the key directory other users may read or change, the directory first."""

    def allows(path: Path, bits: int) -> bool:
        return path.stat().st_mode & bits != 0

    found = [directory] if allows(directory, 0o022) else []
    if allows(directory, 0o011):  # else nobody else gets at what lies in it
        found += [
            path
            for path in sorted(directory.rglob("*"))
            if allows(path, 0o022 if path.is_dir() else 0o066)
        ]
    return found


def ring_stamp(directory: Path) -> tuple[int, int, int]:
    """Return what changes whenever the key file is replaced.

    Raises:
        KeyMissing: There is no key file.
    """
    try:
        found = (directory / _RING).stat()
    except OSError:
        raise KeyMissing("the key file is absent; run `smartmatch init`") from None
    return (found.st_ino, found.st_mtime_ns, found.st_size)


def replace_ring(directory: Path, ring: KeyRing) -> None:
    """Replace the key file in one step, durably, and overwrite the bytes of the one before.

    For who is ``changing`` the directory.
    """
    # Under the name of a draft, so that who comes after a kill destroys it.
    before = _draft_of(directory / _RING)
    before.hardlink_to(directory / _RING)
    replace_file(directory / _RING, msgspec.json.format(msgspec.json.encode(ring)))
    destroy_file(before)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Keep others on this machine from changing what lies in the key directory meanwhile.

    Raises:
        NotReady: Somebody else keeps it for longer than ``LOCK_SECONDS``.
    """
    handle = os.open(directory, os.O_RDONLY)
    try:
        _lock(handle, directory)
        yield
    finally:
        os.close(handle)


_vain_until: dict[Path, float] = {}


def _lock(handle: int, directory: Path) -> None:
    deadline = time.monotonic()
    if deadline >= _vain_until.get(directory, 0.0):
        deadline += LOCK_SECONDS
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                _vain_until[directory] = time.monotonic() + _VAIN_SECONDS
                raise NotReady("another process holds the key directory") from None
            time.sleep(_PAUSE_SECONDS)
        else:
            _vain_until.pop(directory, None)
            return


@contextmanager
def changing(directory: Path) -> Iterator[None]:
    """Lock the directory for who writes files of it, without what killed writers left there.

    Whoever writes a file holds the lock, so that a draft that is found is a dead writer's.
    """
    with locked(directory):
        for path in list(directory.rglob(".*")):
            if _DRAFT.fullmatch(path.name):
                _discard(path)
        yield


def copies_of(directory: Path, secret: bytes) -> list[Path]:
    """List the files beside the key file that hold a secret of it."""
    written = (secret, base64.b64encode(secret), secret.hex().encode())
    return sorted(
        path
        for path in directory.rglob("*")
        if path.is_file()
        and path != directory / _RING
        and any(form in path.read_bytes() for form in written)
    )


@contextmanager
def noting() -> Iterator[None]:
    """Raise what the disk says about a file in the key directory as ``NotReady``."""
    try:
        yield
    except OSError as error:
        raise _no_answer(error) from None


def _no_answer(error: OSError) -> NotReady:
    return NotReady(f"the key directory does not answer ({type(error).__name__})")


def day_key(directory: Path, day: int, *, make: bool = False) -> bytes:
    """Return the key of a day.

    Args:
        directory: Where the keys lie.
        day: Days since 1970.
        make: Make the key when there is none.

    Raises:
        KeyMissing: There is none: it was destroyed, or never made.
        NotReady: It cannot be made or read now; what it sealed is not lost.
    """
    path = _day_path(directory, day)
    try:
        with noting():
            if make and not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                with changing(directory):
                    _create(path, base64.b64encode(secrets.token_bytes(KEY_BYTES)))
            with suppress(FileNotFoundError):
                return base64.b64decode(path.read_bytes(), validate=True)
    except ValueError:
        pass
    raise KeyMissing("the key of that day is gone")


def day_key_stamp(directory: Path, day: int) -> tuple[int, int] | None:
    """Return what tells the key of a day from another one of that day; None where there is none.

    Raises:
        NotReady: It cannot be told now.
    """
    # Asked for every text that is sealed: a path's objects would cost more than the answer.
    try:
        found = os.stat(f"{directory}/{_DAYS}/{day}.key")  # noqa: PTH116
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _no_answer(error) from None
    return (found.st_ino, found.st_mtime_ns)


def days_with_keys(directory: Path) -> list[int]:
    """List the days whose key still exists, oldest first."""
    return sorted(int(path.stem) for path in (directory / _DAYS).glob("*.key"))


def destroy_day_key(directory: Path, day: int) -> None:
    """Destroy the key of a day: overwrite its bytes, then delete its file."""
    with changing(directory):
        destroy_file(_day_path(directory, day))


def _day_path(directory: Path, day: int) -> Path:
    return directory / _DAYS / f"{day}.key"


def destroy_file(path: Path) -> None:
    """Overwrite the bytes of a file, then delete it; done already, it is done."""
    with suppress(FileNotFoundError):
        with path.open("r+b") as file:
            _overwrite(file.fileno())
        path.unlink()
        sync_directory(path.parent)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, in one step, durably.

    For who is ``changing`` the key directory.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = _draft(path, content)
    try:
        draft.replace(path)
    except OSError:
        _drop(draft)
        raise
    sync_directory(path.parent)


def _overwrite(handle: int) -> None:
    write_at(handle, os.urandom(os.fstat(handle).st_size), 0)
    os.fsync(handle)


def _create(path: Path, content: bytes) -> None:
    """Create a file that only its owner may read, whole or not at all; keep one that exists."""
    draft = _draft(path, content)
    try:
        with suppress(FileExistsError):
            path.hardlink_to(draft)
    finally:
        draft.unlink()
    sync_directory(path.parent)


def _draft(path: Path, content: bytes) -> Path:
    """Write what is to become a file beside it, durably, and return where."""
    draft = _draft_of(path)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        write_at(handle, content, 0)
        os.fsync(handle)
    except OSError:
        _drop(draft)
        raise
    finally:
        os.close(handle)
    return draft


def _draft_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


def _drop(draft: Path) -> None:
    """Delete a draft that came to nothing; where even that fails the next writer does."""
    with suppress(OSError):
        draft.unlink()


def _discard(draft: Path) -> None:
    """Destroy a draft; one that is another name of its file already is only a name."""
    if draft.stat().st_nlink == 1:
        destroy_file(draft)
    else:
        draft.unlink()
        sync_directory(draft.parent)
