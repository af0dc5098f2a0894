"""A failing or full disk: nothing is acknowledged that is not kept, and what returns goes on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from pydantic import SecretStr

from privacy.pseudonyms import subject_pseudonym
from schemas.clock import MICROS_PER_DAY, moment
from schemas.errors import NotReady
from schemas.retention import Rule
from schemas.settings import Settings
from schemas.tables import staged
from tests.faults.processes import ForkedServer, forked
from tests.faults.worlds import now
from tests.serving import allow, proposed
from warehouse.audit import balance, stored_event_ids
from warehouse.engine import connect, create_tables, reading, writing
from warehouse.erasure import delete_subject
from warehouse.erasure_requests import begin_for, pending_erasures
from warehouse.keyfile import read_ring
from warehouse.leases import lease
from warehouse.residue import forget_bytes
from warehouse.retention import begin_evidence, delete_expired

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.conftest import Tally

DISK_BYTES = 8 * 1024 * 1024
PROPOSED = "/api/tracking/event/match-proposed"
BACK_SECONDS = 10.0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of eight megabytes."""
    with mounted(tmp_path / "disk", DISK_BYTES) as disk:
        yield disk


@contextmanager
def mounted(disk: Path, size_bytes: int) -> Iterator[Path]:
    """Mount a disk of some size for this while."""
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a disk of its own can be mounted by root only, and not in every sandbox")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def _settings(home: Path) -> Settings:
    settings = Settings(home=home, database_url=SecretStr(f"sqlite:///{home / 'smartmatch.db'}"))
    engine = connect(settings.url)
    create_tables(engine)
    engine.dispose()
    return settings


def _send(client: httpx.Client, acknowledged: set[str], **given: str) -> int:
    """Send an event and return the status."""
    body = proposed(match_id=str(len(acknowledged)), **given)
    status = client.post(PROPOSED, json=body).status_code
    if status == 200:
        acknowledged.add(body["event_id"])
    return status


def _lost(settings: Settings, acknowledged: set[str]) -> str | None:
    engine = connect(settings.url)
    gone = acknowledged - {str(one) for one in stored_event_ids(engine)}
    with reading(engine) as connection:
        sound = connection.exec_driver_sql("PRAGMA integrity_check").scalar_one()
    balanced = balance(engine).agrees
    engine.dispose()
    if gone or sound != "ok" or not balanced:
        return f"{len(gone)} acknowledged events are gone, the file is {sound}"
    return None


FULL = "a full disk: refused, purged and erased while full, and on by itself"


def fill_and_leave(small_disk: Path, log: Path, tally: Tally, *, mutant: str = "") -> None:
    """Fill a disk by events, make room, and go on, again and again."""
    settings = _settings(small_disk)
    server = ForkedServer(forked("tests.faults.jobs"), settings, log, mutant=mutant)
    server.start()
    acknowledged: set[str] = set()
    with httpx.Client(base_url=server.url, timeout=20) as client:
        for trial in range(tally.planned):
            allow(client)
            allow(client, f"leaver-{trial}")
            _send(client, acknowledged, user_id=f"leaver-{trial}")
            for many in (200, 72, 72, 72):
                _send_texts(client, acknowledged, many)
            if not _fill(client, acknowledged) or client.get("/health").status_code != 200:
                tally.count(f"trial {trial}: a full disk goes on to be answered with 2xx", trials=0)
            if client.get("/ready").status_code != 503:
                tally.count(f"trial {trial}: /ready does not tell", trials=0)
            fault = _make_room(settings, f"leaver-{trial}")
            if fault is None and not _back(client, acknowledged):
                fault = "it does not go on by itself"
            tally.count(fault)
    server.stop()
    lost = _lost(settings, set())
    if lost:
        tally.count(lost, trials=0)


@pytest.mark.promise(FULL)
@pytest.mark.trials(short=1, full=10)
def test_full_disk_is_refused_and_left_behind(
    small_disk: Path, tmp_path: Path, tally: Tally
) -> None:
    fill_and_leave(small_disk, tmp_path / "server.log", tally)
    assert tally.failures == []


@pytest.mark.promise(FULL)
def test_server_that_keeps_no_reserve_is_caught(
    small_disk: Path, tmp_path: Path, tally: Tally
) -> None:
    fill_and_leave(small_disk, tmp_path / "server.log", tally, mutant="greedy")
    tally.mutant_caught = tally.failures != []
    tally.trials, tally.failures = 0, []
    assert tally.mutant_caught


def _fill(client: httpx.Client, acknowledged: set[str]) -> bool:
    """Send ever smaller batches, of each size until three in a row are refused with 503."""
    return all(_is_refused_at_last(client, acknowledged, size) for size in (100, 10, 1))


def _is_refused_at_last(client: httpx.Client, acknowledged: set[str], size: int) -> bool:
    refused = 0
    for _ in range(600):
        status = _send_many(client, acknowledged, size)
        refused = refused + 1 if status == 503 else 0
        if refused == 3:
            return True
    return False


def _send_many(client: httpx.Client, acknowledged: set[str], size: int) -> int:
    """Send a batch and return the status."""
    bodies = [{"type": "match_proposed", **proposed(match_id=str(n))} for n in range(size)]
    status = client.post("/api/tracking/events", json=bodies).status_code
    if status == 200:
        acknowledged |= {body["event_id"] for body in bodies}
    return status


def _send_texts(client: httpx.Client, acknowledged: set[str], many: int) -> None:
    """Send a batch of texts: 200 are nearly as large as the disk, 72 fit."""
    bodies = [
        {
            "type": "match_feedback",
            "event_id": str(uuid.uuid4()),
            "user_id": "u1",
            "match_id": str(number),
            "rating": 3,
            "feedback_text": "\u4e2d" * 9_990,
        }
        for number in range(many)
    ]
    content = json.dumps(bodies, ensure_ascii=False).encode()
    kind = {"content-type": "application/json"}
    if client.post("/api/tracking/events", content=content, headers=kind).status_code == 200:
        acknowledged |= {str(body["event_id"]) for body in bodies}


def _make_room(settings: Settings, leaver: str) -> str | None:
    """Erase a person and purge what is staged, on the full disk; return what failed."""
    engine = connect(settings.url)
    everything = Rule("staged", now() + MICROS_PER_DAY, staged, "received_at")
    pseudonym = subject_pseudonym(read_ring(settings.keys).current.secret, leaver)
    try:
        # Asked for over HTTP, it would start a process of its own.
        with writing(engine) as connection:
            begin_for(connection, settings.keys, [pseudonym], moment(now()))
        for request in pending_erasures(engine):
            with lease(engine, "erase_subject", 60) as held:
                delete_subject(engine, request, held)
        with lease(engine, "purge_expired", 60) as held:
            begin_evidence(engine, leaver, [everything], moment(now()))
            delete_expired(engine, everything, held, leaver)
        return None if forget_bytes(engine) else "deleted bytes are left"
    except (NotReady, OSError) as error:
        return f"nothing can be deleted on a full disk: {error}"
    finally:
        engine.dispose()


def _back(client: httpx.Client, acknowledged: set[str]) -> bool:
    begun = time.monotonic()
    while time.monotonic() < begun + BACK_SECONDS:
        if _send(client, acknowledged) == 200:
            return True
        time.sleep(0.1)
    return False


FAILING = "a disk whose writes fail: no 2xx after the first error, and it opens clean"


def write_on(home: Path, calls: str, *, mutant: str = "") -> tuple[int, str | None]:
    """Let calls of a server fail; return how many 2xx came after that, and what is lost."""
    home.mkdir()
    settings = _settings(home)
    context = forked("tests.faults.jobs")
    server = ForkedServer(context, settings, home / "server.log", mutant=mutant)
    server.start()
    acknowledged: set[str] = set()
    with httpx.Client(base_url=server.url, timeout=20) as client:
        allow(client)
        assert {_send(client, acknowledged) for _ in range(20)} == {200}
        with _failing(server, home / "smartmatch.db-wal", calls):
            answers = [
                *(_send(client, acknowledged) for _ in range(2)),
                *(_send_many(client, acknowledged, 40) for _ in range(2)),
                *(_withdraw(client) for _ in range(2)),
            ]
    server.kill()
    return answers.count(200), _lost(settings, acknowledged)


def _withdraw(client: httpx.Client) -> int:
    """Let the person withdraw and return the status."""
    body = {"user_id": "u1", "analytics": False}
    return client.post("/api/tracking/consent", json=body).status_code


@pytest.mark.promise(FAILING)
@pytest.mark.parametrize("calls", ["fsync,fdatasync", "pwrite64,write"])
@pytest.mark.trials(short=1, full=15)
def test_failing_writes_are_not_acknowledged(tmp_path: Path, tally: Tally, calls: str) -> None:
    for trial in range(tally.planned):
        stored, lost = write_on(tmp_path / str(trial), calls)
        if stored:
            tally.count(f"{stored} events were acknowledged by a failing disk", trials=0)
        tally.count(lost)
    assert tally.failures == []


@pytest.mark.promise(FAILING)
def test_server_that_does_not_wait_for_the_disk_is_caught(tmp_path: Path, tally: Tally) -> None:
    stored, _ = write_on(tmp_path / "careless", "fsync,fdatasync", mutant="careless")
    tally.mutant_caught = stored > 0
    assert tally.mutant_caught


@contextmanager
def _failing(server: ForkedServer, path: Path, calls: str) -> Iterator[None]:
    """For this while, let calls on one file of a server fail with EIO."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("no strace, which makes the calls of a server fail: install Debian's strace")
    fault = f"inject={calls}:error=EIO"
    command = [strace, "-f", "-qq", "-o", "/dev/null", "-P", str(path), "-e", fault]
    process = subprocess.Popen([*command, "-p", str(server.pid)])
    deadline = time.monotonic() + 10
    while not (traced := _is_traced(server.pid)) and time.monotonic() < deadline:
        time.sleep(0.02)
    try:
        assert traced
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(10)


def _is_traced(pid: int) -> bool:
    """Tell whether another process traces all threads of one."""
    statuses = [path / "status" for path in Path(f"/proc/{pid}/task").iterdir()]
    return all("TracerPid:\t0\n" not in status.read_text() for status in statuses)
