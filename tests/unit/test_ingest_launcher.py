"""Flows that are asked for over HTTP: one of a kind at a time, in turn, and none forgotten."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from ingest.launcher import Launcher
from ingest.server import keep_erasing
from ingest.service import Service
from schemas.clock import moment
from schemas.errors import NotReady
from tests.histories import NOW
from tests.population import answer
from tests.serving import is_alive
from warehouse import runs
from warehouse.case_file import CaseFile, write_case
from warehouse.erasure_requests import begin
from warehouse.keyfile import make_ring

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemas.settings import Settings

FLOW = "erase_subject"
SOON = 5.0


class Processes:
    """Stands in for the processes of runs: each goes on until it is let end."""

    def __init__(self, launcher: Launcher, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun: list[str] = []
        self.code = 0
        self.refused: set[str] = set()
        self._changed = threading.Condition()
        self._ended = 0
        monkeypatch.setattr(launcher, "_start", self._start)

    def _start(self, _flow: str, run: str) -> Processes:
        if run in self.refused:
            raise NotReady("a process could not be started")
        with self._changed:
            self.begun.append(run)
            self._changed.notify_all()
        return self

    def wait(self, _seconds: float) -> int:
        with self._changed:
            mine = len(self.begun)
            assert self._changed.wait_for(lambda: self._ended >= mine, SOON)
        return self.code

    def kill(self) -> None:
        self.end_one()

    def end_one(self) -> None:
        with self._changed:
            self._ended += 1
            self._changed.notify_all()

    def await_begun(self, number: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.begun) >= number, SOON)


@pytest.fixture
def launcher(settings: Settings) -> Launcher:
    make_ring(settings.keys, 0)
    return Launcher(Service(settings))


@pytest.fixture
def processes(launcher: Launcher, monkeypatch: pytest.MonkeyPatch) -> Processes:
    return Processes(launcher, monkeypatch)


def launch(launcher: Launcher, *requests: str) -> None:
    async def all_of_them() -> None:
        for request in requests:
            await launcher.launch(FLOW, request)

    asyncio.run(all_of_them())


def test_many_requests_at_once_are_one_process_after_another(
    launcher: Launcher, processes: Processes
) -> None:
    launch(launcher, "a", "b", "c", "b")
    assert processes.begun == ["a"]

    for number in (2, 3):
        processes.end_one()
        processes.await_begun(number)

    assert processes.begun == ["a", "b", "c"]
    processes.end_one()


def test_one_that_cannot_be_started_gives_its_turn_to_the_next(
    launcher: Launcher, processes: Processes
) -> None:
    processes.refused = {"b"}
    launch(launcher, "a", "b", "c")

    processes.end_one()
    processes.await_begun(2)

    assert processes.begun == ["a", "c"]
    processes.end_one()


def test_one_that_cannot_be_started_is_told_and_keeps_nobody_out(
    launcher: Launcher, processes: Processes
) -> None:
    processes.refused = {"a"}

    with pytest.raises(NotReady):
        launch(launcher, "a")
    launch(launcher, "b")

    assert processes.begun == ["b"]
    processes.end_one()


def test_one_that_could_not_be_noted_begins_when_it_is_asked_for_again(
    launcher: Launcher, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def busy(_work: object) -> None:
        raise NotReady("the database did not answer")

    with monkeypatch.context() as patch:
        patch.setattr(launcher._service, "write", busy)
        with pytest.raises(NotReady):
            launch(launcher, "a")
    assert processes.begun == []

    launch(launcher, "a")

    assert processes.begun == ["a"]
    processes.end_one()


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_run_begins_though_whoever_asked_for_it_goes_away(
    launcher: Launcher, processes: Processes, monkeypatch: pytest.MonkeyPatch, turns: int
) -> None:
    async def noted(_work: object) -> None:
        await asyncio.sleep(0)

    async def trial() -> None:
        asking = asyncio.create_task(launcher.launch(FLOW, "a"))
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await launcher.launch(FLOW, "a")
        await asyncio.to_thread(processes.await_begun, 1)
        await launcher.launch(FLOW, "b")
        processes.end_one()
        await asyncio.to_thread(processes.await_begun, 2)

    monkeypatch.setattr(launcher._service, "write", noted)
    asyncio.run(trial())

    assert processes.begun == ["a", "b"]
    processes.end_one()


def test_erasures_that_are_not_done_are_taken_up_again(
    settings: Settings, launcher: Launcher, processes: Processes
) -> None:
    engine = Service(settings).engine
    asked = begin(engine, answer(engine, "leaving", "analytics"), moment(NOW))

    asyncio.run(launcher.resume_erasures())

    assert processes.begun == [getattr(asked, "request", asked)]
    processes.end_one()


def test_what_a_killed_erasure_left_beside_the_keys_is_closed_as_others_are_taken_up(
    settings: Settings, launcher: Launcher
) -> None:
    write_case(settings.keys, "4b1f", CaseFile(7, [b"pseudonym"], b"ledger"))

    asyncio.run(launcher.resume_erasures())

    assert list((settings.keys / "erasures").iterdir()) == []


def test_an_erasure_that_ended_undone_is_taken_up_again_without_a_restart(
    settings: Settings, launcher: Launcher, processes: Processes
) -> None:
    engine = Service(settings).engine
    begin(engine, answer(engine, "leaving", "analytics"), moment(NOW))

    async def trial() -> None:
        keeping = asyncio.create_task(keep_erasing(launcher, seconds=0.05))
        for number in (1, 2):
            await asyncio.to_thread(processes.await_begun, number)
            processes.end_one()
        keeping.cancel()

    asyncio.run(trial())

    assert processes.begun[:2] == [processes.begun[0]] * 2


def test_erasures_are_taken_up_again_after_the_key_directory_did_not_answer(
    settings: Settings, launcher: Launcher, processes: Processes
) -> None:
    engine = Service(settings).engine
    obstacle = settings.keys / "erasures" / "4b1f.json"
    obstacle.mkdir(parents=True)  # closing it raises, as on a disk that takes no write

    async def trial() -> None:
        keeping = asyncio.create_task(keep_erasing(launcher, seconds=0.05))
        await asyncio.sleep(0.5)
        for left in (settings.keys / "erasures").iterdir():
            left.rmdir()
        begin(engine, answer(engine, "leaving", "analytics"), moment(NOW))
        await asyncio.to_thread(processes.await_begun, 1)
        processes.end_one()
        keeping.cancel()

    asyncio.run(trial())


def test_a_case_that_cannot_be_closed_keeps_no_erasure_from_being_taken_up(
    settings: Settings, launcher: Launcher, processes: Processes
) -> None:
    (settings.keys / "erasures" / "4b1f.json").mkdir(parents=True)
    engine = launcher._service.engine
    begin(engine, answer(engine, "ana", "analytics"), moment(NOW))

    with pytest.raises(OSError, match="directory"):
        asyncio.run(launcher.resume_erasures())

    assert len(processes.begun) == 1
    processes.end_one()


def test_run_that_no_thread_can_follow_is_told_and_keeps_nobody_out(
    launcher: Launcher, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", without_thread("run"))
        with pytest.raises(NotReady):
            launch(launcher, "a")
    launch(launcher, "a")

    assert processes.begun == ["a", "a"]
    processes.end_one()


def test_run_that_no_thread_can_start_is_told_and_keeps_nobody_out(
    launcher: Launcher, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", without_thread("AnyIO worker thread"))
        with pytest.raises(NotReady):
            launch(launcher, "a")
    assert processes.begun == []

    assert told(launcher, "a") == (runs.FAILED, "no thread")
    launch(launcher, "b", "a")
    processes.end_one()
    processes.await_begun(2)

    assert processes.begun == ["b", "a"]
    processes.end_one()


def told(launcher: Launcher, run: str) -> tuple[str, str | None]:
    found = launcher.read(run)
    assert found is not None
    return found.state, found.detail


def test_what_is_told_of_a_run_is_never_the_end_of_one_before_it(
    launcher: Launcher, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for again as the process of the one before has ended, and its end is not noted yet."""
    engine = launcher._service.engine
    finish, asked = runs.finish, list[str]()

    def asked_again_before(*noted: Any) -> None:
        if not asked:
            asked.append("a")
            launch(launcher, "a")
        finish(*noted)

    monkeypatch.setattr(runs, "finish", asked_again_before)
    processes.code = 1
    launch(launcher, "a")
    processes.end_one()
    wait_until(lambda: launcher._live == {})
    # Whoever asked just then followed the one that ended.
    assert told(launcher, "a")[0] == runs.FAILED
    assert processes.begun == ["a"]
    processes.code = 0
    launch(launcher, "a")
    assert processes.begun == ["a", "a"]
    runs.start(engine, "a")
    assert told(launcher, "a") == (runs.RUNNING, None)

    processes.end_one()

    wait_until(lambda: told(launcher, "a")[0] == runs.COMPLETED)


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_erasure_that_waits_for_another_process_is_not_told_to_have_failed(
    launcher: Launcher, processes: Processes
) -> None:
    processes.code = os.EX_TEMPFAIL
    launch(launcher, "a")
    runs.start(launcher._service.engine, "a")
    processes.end_one()
    wait_until(lambda: launcher._live == {})

    assert told(launcher, "a") == (runs.RUNNING, None)


def test_a_process_that_hangs_holds_the_others_up_for_no_longer_than_it_may(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stopped one, with one of its own; the next run of the same has twice the time."""
    make_ring(settings.keys, 0)
    service = Service(settings.model_copy(update={"run_seconds": 0.5}))
    launcher, begun = Launcher(service), list[tuple[str, float, int]]()

    def start(_flow: str, run: str) -> subprocess.Popen[bytes]:
        script = "sleep 600 & echo $!; kill -STOP $$" if run == "hangs" else "exit 0"
        process = subprocess.Popen(
            ["/bin/sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True
        )
        assert process.stdout is not None
        begun.append((run, time.monotonic(), int(process.stdout.readline() or 0)))
        return process

    monkeypatch.setattr(launcher, "_start", start)
    launch(launcher, "hangs", "b")
    wait_until(lambda: told(launcher, "b")[0] == runs.COMPLETED)
    assert told(launcher, "hangs") == (runs.FAILED, "it hung")
    launch(launcher, "hangs", "c")
    wait_until(lambda: told(launcher, "c")[0] == runs.COMPLETED)

    assert [run for run, _, _ in begun] == ["hangs", "b", "hangs", "c"]
    (_, first, own), (_, second, _), (_, third, _), (_, fourth, _) = begun
    assert second - first >= 0.5
    assert fourth - third >= 1.0
    wait_until(lambda: not is_alive(own))


def without_thread(name: str) -> Callable[[threading.Thread], None]:
    """Return what starts any thread but those of a name."""
    start = threading.Thread.start

    def started(thread: threading.Thread) -> None:
        if thread.name == name:
            raise RuntimeError("can't start new thread")
        start(thread)

    return started
