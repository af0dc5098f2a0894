"""What runs in a process that is about to be killed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import Counter
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.pool import Pool

from ingest import service
from ingest.launcher import Launcher
from ingest_api import serve as serve_api
from schemas.environment import inherited
from schemas.settings import CHECKOUT
from tests.faults import early_server
from warehouse import accounts, disk, engine, stores, witness

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from schemas.settings import Settings


def serve(settings: Settings, log: str, mutant: str) -> None:
    """Serve the API; output goes to a file.

    Args:
        settings: Of the installation.
        log: The file.
        mutant: A planted fault: ``early`` acknowledges before the commit, ``patient`` lets a
            client wait for a minute, ``careless`` does not wait for the disk, ``greedy`` fills it
            to the last byte, ``prying`` opens its own database as a file and does not look
            whether it was taken away, ``torn`` takes a part of a line beside the keys for all of
            it, ``uncounted`` keeps refusals out of the books.
    """
    _write_to(log)
    # An erasure searches all temporary files since the installation: here its own.
    (settings.home / "tmp").mkdir(parents=True, exist_ok=True)
    os.environ["TMPDIR"] = tempfile.tempdir = str(settings.home / "tmp")
    Launcher._start = _start_bare  # type: ignore[method-assign]
    if mutant == "early":
        early_server.plant()
    elif mutant == "patient":
        service.DEADLINE_SECONDS, service.BUSY_TIMEOUT_MS = 60.0, 60_000
    elif mutant == "careless":
        engine.check_durable = lambda _engine: None
        event.listen(Pool, "checkout", _do_not_sync)
    elif mutant == "greedy":
        disk.DiskReserve.take = _always  # type: ignore[method-assign]
    elif mutant == "uncounted":
        accounts.refusals = lambda _rules: Counter()
    elif mutant == "prying":
        stores.read_files = _open_files
        # A second line of defence, which would hide that the first one fell.
        engine._in_place = _always  # type: ignore[assignment]
    elif mutant == "torn":
        witness.append_line = _append_once
    serve_api(settings)


def _start_bare(launcher: Launcher, flow: str, run: str) -> subprocess.Popen[bytes]:
    """Start a flow that was asked for without Prefect and its seconds."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.faults.bare_flows", flow, run],
        cwd=CHECKOUT,
        env=inherited(launcher._service.settings),
        start_new_session=True,
    )


def _open_files(paths: Iterable[Path]) -> Iterator[tuple[Path, Iterator[bytes]]]:
    for path in paths:
        yield path, iter([path.read_bytes()])


def _append_once(path: Path, line: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(handle, line + b"\n")
    os.close(handle)


def _always(*_asked: object) -> bool:
    return True


def _do_not_sync(connection: Any, *_: object) -> None:
    connection.execute("PRAGMA synchronous=OFF")


def _write_to(log: str) -> None:
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(handle, stream)
    os.close(handle)
