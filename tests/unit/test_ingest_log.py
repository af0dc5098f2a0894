"""The log of a server: a JSON line for whatever happens, and no value in it."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import subprocess
import sys
import threading

import pytest

from ingest.access_log import AccessLog, JsonLines
from schemas.settings import CHECKOUT, Settings
from tests.engines import on_sqlite
from tests.wire import until, wires

FAILING = """
import asyncio, gc, threading
from ingest.access_log import configure_logging

configure_logging()
thread = threading.Thread(target={}.__getitem__, args=("canary",))
thread.start()
thread.join()

async def fail():
    raise KeyError("canary")

async def main():
    asyncio.create_task(fail())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gc.collect()

asyncio.run(main())
"""


def test_error_of_a_thread_or_a_task_is_a_line_without_what_it_says() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAILING], cwd=CHECKOUT, capture_output=True, check=True, text=True
    )

    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["message"], line["error"]) for line in lines] == [
        ("A thread failed", "KeyError"),
        ("Task exception was never retrieved", "KeyError"),
    ]
    assert "canary" not in done.stderr


def test_message_without_an_error_is_written_whole() -> None:
    record = logging.LogRecord("smartmatch", logging.INFO, "", 1, "Listening\non %s", ("x",), None)

    assert json.loads(JsonLines().format(record))["message"] == "Listening\non x"


def test_line_is_written_later_where_no_thread_can_be_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_thread(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    stream = io.StringIO()
    log = AccessLog(stream)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        log.note("GET", "/health", 200, 0.0)
    log.note("GET", "/ready", 200, 0.0)
    log.close()

    assert [json.loads(line)["route"] for line in stream.getvalue().splitlines()] == [
        "/health",
        "/ready",
    ]


@on_sqlite
@pytest.mark.parametrize("path", [b"/api/tracking/events", b"/api/tracking/consent"])
def test_who_leaves_before_their_request_is_whole_is_no_error(
    settings: Settings, caplog: pytest.LogCaptureFixture, path: bytes
) -> None:
    head = b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"

    async def trial() -> list[int]:
        async with wires(settings) as connect:
            wire = connect()
            door = wire.protocol.door
            await wire.receive(head % path)
            await asyncio.sleep(0.05)
            wire.close()
            await until(lambda: any(door.service.observed._answers))
            return list(door.service.observed._answers)

    assert asyncio.run(trial()) == [0, 0, 0, 0, 1, 0]
    assert "A request failed" not in caplog.text
