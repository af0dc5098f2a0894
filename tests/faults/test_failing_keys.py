"""A full disk of the keys, or no files left to open: what is not noted is not told."""

from __future__ import annotations

import resource
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from pydantic import SecretStr

from schemas.errors import SmartMatchError
from schemas.settings import Settings
from tests.faults.processes import ForkedServer, forked
from tests.faults.test_failing_disk import mounted
from tests.serving import proposed
from warehouse.engine import connect, create_tables
from warehouse.ledgers import verify_ledgers
from warehouse.witness import FILE_NAME, WITHDRAWAL, Witness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.faults.conftest import Tally

CONSENT, ERASURE = "/api/tracking/consent", "/api/privacy/erasure"
PROPOSED = "/api/tracking/event/match-proposed"
FEEDBACK = "/api/tracking/event/match-feedback"
DISK_BYTES = 64 * 1024
PAGE_BYTES = 4_096
BACK_SECONDS = 10.0

KEYS = "a full disk of the keys, or no files left to open: unnoted is untold, and on by itself"


@pytest.fixture
def keys_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk for the keys alone, of 64 kilobytes."""
    with mounted(tmp_path / "keys", DISK_BYTES) as disk:
        yield disk


@contextmanager
def _full(keys: Path) -> Iterator[None]:
    """Leave no page of a disk free for this while."""
    filler = keys.parent / "filler"
    try:
        with filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(PAGE_BYTES))
    except OSError:
        yield
    finally:
        filler.unlink()


@contextmanager
def _no_files_left(server: ForkedServer) -> Iterator[None]:
    """Let a server open no file more than it has open, for this while."""
    limits = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    opened = len(list(Path(f"/proc/{server.pid}/fd").iterdir()))
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (opened, limits[1]))
    try:
        yield
    finally:
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, limits)


class Installation:
    """A server whose keys lie on a disk of their own, and what it told of withdrawals."""

    def __init__(self, home: Path, keys: Path, mutant: str) -> None:
        keys.mkdir()
        home.mkdir()
        url = SecretStr(f"sqlite:///{home / 'smartmatch.db'}")
        self.settings = Settings(home=home, key_directory=keys, database_url=url)
        self.engine = connect(self.settings.url)
        create_tables(self.engine)
        context = forked("tests.faults.jobs")
        self.server = ForkedServer(context, self.settings, home / "server.log", mutant=mutant)
        self.server.start()
        self.client = httpx.Client(base_url=self.server.url, timeout=20)
        self.left = 0
        self.allowing: set[str] = set()

    def status(self, path: str, **body: object) -> int:
        """Post a body and return the status."""
        return self.client.post(path, json=body).status_code

    def allow(self, user_id: str) -> int:
        """Let somebody allow it."""
        status = self.status(CONSENT, user_id=user_id, analytics=True)
        if status == 200:
            self.allowing.add(user_id)
        return status

    def leave(self, user_id: str) -> int:
        """Let somebody withdraw; where they allowed it, what is told has to be witnessed."""
        status = self.status(CONSENT, user_id=user_id, analytics=False)
        if status == 200 and user_id in self.allowing:
            self.allowing.remove(user_id)
            self.left += 1
        return status

    def leave_until_a_line_breaks(self) -> None:
        """Let people withdraw until the next line of the witness needs another page."""
        for number in range(40):
            assert self.succeeds(partial(self.allow, f"leaver-{number}"))
            assert self.succeeds(partial(self.leave, f"leaver-{number}"))
            size = (self.settings.keys / FILE_NAME).stat().st_size
            if size % PAGE_BYTES + size / self.left * 0.7 > PAGE_BYTES:
                return
        raise AssertionError("no line of the witness comes to the end of a page")

    def ask_for_all(self) -> None:
        """Ask for whatever is noted beside the keys; most of it is refused."""
        self.leave("u2")
        self.allow("u3")
        self.status(FEEDBACK, user_id="u1", match_id="m", rating=4, feedback_text="thanks")
        assert self.client.get("/health").status_code == 200

    def succeeds(self, ask: Callable[[], int]) -> bool:
        """Ask until it is answered with 200, not for ever."""
        deadline = time.monotonic() + BACK_SECONDS
        while ask() != 200:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    def fault(self) -> str | None:
        """Say what does not go on, or what was told and is not noted."""
        asked = (
            lambda: self.allow("u4"),
            lambda: self.status(PROPOSED, **proposed()),
            lambda: self.status(
                FEEDBACK, user_id="u1", match_id="m", rating=4, feedback_text="thanks"
            ),
            lambda: self.leave("u4"),
            lambda: self.client.get("/ready").status_code,
        )
        for number, ask in enumerate(asked):
            if not self.succeeds(ask):
                return f"question {number} is refused for good"
        try:
            noted = [one.kind for one in Witness(self.settings.keys).verify()].count(WITHDRAWAL)
            verify_ledgers(self.engine, self.settings.keys)
        except SmartMatchError as error:
            return f"what is noted is broken: {error}"
        if noted < self.left:
            return f"{self.left} withdrawals were told, {noted} are noted"
        drafts = [path.name for path in self.settings.keys.rglob(".*")]
        return f"drafts are left: {drafts}" if drafts else None

    def restart(self) -> None:
        """Kill the server and start it again."""
        self.server.kill()
        self.server.start()

    def close(self) -> None:
        """Stop it."""
        self.client.close()
        self.server.kill()
        self.engine.dispose()


def run_out(home: Path, keys: Path, *, mutant: str = "") -> Iterator[str | None]:
    """Let an installation run out of disk and of files; yield what is wrong after each."""
    place = Installation(home, keys, mutant)
    try:
        with _full(keys):  # before the first answer of all
            place.ask_for_all()
        assert all(place.succeeds(partial(place.allow, user)) for user in ("u1", "u2"))
        yield place.fault()
        place.leave_until_a_line_breaks()
        with _full(keys):
            place.ask_for_all()
        yield place.fault()
        assert place.succeeds(partial(place.allow, "u2"))
        place.status(PROPOSED, **proposed())
        with _no_files_left(place.server):
            place.ask_for_all()
            place.status(ERASURE, user_id="u3")
        yield place.fault()
        place.restart()
        yield place.fault()
    finally:
        place.close()


@pytest.mark.promise(KEYS)
@pytest.mark.trials(short=1, full=10)
def test_running_out_beside_the_keys_tells_nothing_unnoted(
    keys_disk: Path, tmp_path: Path, tally: Tally
) -> None:
    for trial in range(tally.planned):
        keys = keys_disk / str(trial)
        for fault in run_out(tmp_path / f"home-{trial}", keys):
            tally.count(fault)
        for path in sorted(keys.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
    assert tally.failures == []


@pytest.mark.promise(KEYS)
def test_server_that_takes_a_part_of_a_line_for_all_of_it_is_caught(
    keys_disk: Path, tmp_path: Path, tally: Tally
) -> None:
    faults = run_out(tmp_path / "home", keys_disk / "keys", mutant="torn")
    tally.mutant_caught = any(fault and "noted" in fault for fault in faults)
    assert tally.mutant_caught
