"""Keep the parts running: start again what dies, and leave nothing behind at the end.

honcho starts the parts, prints their lines and passes signals on. What it leaves open is said
here: a part that dies is started again; a part ends with everything that it started, in
whatever session; and when this process itself is killed, its parts end by themselves.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import psutil
from honcho.manager import SIGNALS, SYSTEM_PRINTER_NAME, Manager
from honcho.printer import Message, Printer
from honcho.process import Process

if TYPE_CHECKING:
    from collections.abc import Iterable

    from operation.parts import Part

RESTARTS, RESTART_WINDOW_SECONDS = 5, 120.0
"""A part that dies more often in that time is not started again: everything stops."""
SWEEP_SECONDS = 5.0
"""Between asking what a part left behind to end, and ending it."""
_LOOK_SECONDS = 0.5
_libc = ctypes.CDLL(None)
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_HANGUPS = (signal.SIGHUP, signal.SIGQUIT)
"""What a terminal sends to all processes in front of it as it is closed, or at Ctrl-\\."""


class Supervisor(Manager):  # type: ignore[misc]  # honcho is not typed
    """Runs parts until it is told to stop, or one of them cannot be kept alive.

    Args:
        parts: What to run.
        environment: Of every part.
        cwd: Directory in which the parts start.
        grace_seconds: How long a part may take to end before it is killed.
        printer: Where lines go; standard output by default.
    """

    def __init__(
        self,
        parts: Iterable[Part],
        environment: dict[str, str],
        *,
        cwd: str,
        grace_seconds: float,
        printer: Printer | None = None,
    ) -> None:
        super().__init__(printer or _Lines(sys.stdout))
        self._grace = grace_seconds
        self._stopping = _Flag()
        self._process_ctor = _Kept
        parts = list(parts)
        self._first_to_end = [part.name for part in parts if not part.is_needed_by_others]
        self._last_to_end = [part.name for part in parts if part.is_needed_by_others]
        for part in parts:
            kept = self.add_process(
                part.name, part.command, env=environment | dict(part.environment), cwd=cwd
            )
            kept.stopping, kept.grace_seconds = self._stopping, grace_seconds
            kept.supervisor = os.getpid()

    def loop(self) -> None:
        """Run until everything has ended, and end what was left behind."""
        adopt_orphans()
        for number in _HANGUPS:
            if signal.getsignal(number) != signal.SIG_IGN:  # as nohup asks for
                signal.signal(number, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        threading.Thread(target=self._watch_keepers, daemon=True).start()
        try:
            super().loop()
        finally:
            self._stopping.set()
            for part in self._processes.values():
                part["process"].join(self._grace + SWEEP_SECONDS)
            end_descendants()

    def terminate(self) -> None:
        """Ask every part to end, those that others need after them; called again, it is done."""
        if not self._stopping.is_set():
            self._stopping.set()
            threading.Thread(target=self._end_in_order, daemon=True).start()

    def kill(self) -> None:
        """Do nothing: honcho asks for it after five seconds; our own time runs in `terminate`."""

    def _end_in_order(self) -> None:
        for names in (self._first_to_end, self._last_to_end):
            told: set[int] = set()
            killing_at = time.monotonic() + self._grace
            while alive := [name for name in names if "returncode" not in self._processes[name]]:
                # A part that is just being started is told as soon as its process is known.
                for name in alive:
                    pid = self._processes[name].get("pid")
                    if pid is not None and pid not in told:
                        told.add(pid)
                        self._procmgr.terminate(pid)
                    elif pid is not None and time.monotonic() > killing_at:
                        self.say(f"{name} does not end in {self._grace:g} s and is killed")
                        self._procmgr.kill(pid)
                time.sleep(_LOOK_SECONDS / 5)

    def say(self, line: str) -> None:
        """Print a line of our own, from any thread."""
        self.events.put(_line(SYSTEM_PRINTER_NAME, line))

    @property
    def was_asked(self) -> bool:
        """Tell whether a signal ended it, and not the death of a part."""
        return self.returncode in {code["rc"] for code in SIGNALS.values()}

    def pids(self) -> dict[str, int]:
        """Return the process of each part that has started."""
        return {name: part["pid"] for name, part in self._processes.items() if "pid" in part}

    def _watch_keepers(self) -> None:
        """Notice the death of a process that keeps a part: nobody else could tell of its end."""
        told: set[str] = set()
        while not self._stopping.wait(_LOOK_SECONDS):
            for name, part in list(self._processes.items()):
                keeper = part.get("process")
                dead = keeper is not None and keeper.pid is not None and not keeper.is_alive()
                if dead and "returncode" not in part and name not in told:
                    told.add(name)
                    self.say(f"the process that keeps {name} is gone; everything stops")
                    self.events.put(_message(name, "stop", {"returncode": 1}))


class _Kept(Process):  # type: ignore[misc]  # honcho is not typed
    """Runs one part in a process that starts it again, and ends with all that it started."""

    stopping: _Flag
    grace_seconds: float
    supervisor: int

    def run(self, events: Any = None, ignore_signals: bool = False) -> None:  # noqa: FBT001, FBT002
        self._events = events
        if ignore_signals:
            # A handler that does nothing: to ignore a signal is inherited by what is started.
            for number in (signal.SIGINT, signal.SIGTERM, *_HANGUPS):
                signal.signal(number, lambda *_: None)
        adopt_orphans()
        threading.Thread(target=self._follow, daemon=True).start()
        deaths: deque[float] = deque(maxlen=RESTARTS)
        while True:
            code = self._run_once()
            now = time.monotonic()
            if self.stopping.is_set():
                break
            if len(deaths) == RESTARTS and now - deaths[0] < RESTART_WINDOW_SECONDS:
                self._say(f"{_how(code)}; it does not stay alive, so everything stops")
                code = code or 1
                break
            deaths.append(now)
            pause = min(2.0 ** (len(deaths) - 1), 10.0) / 2
            self._say(f"{_how(code)}; starting it again in {pause:g} s")
            if self.stopping.wait(pause):
                break
        self._send_message({"returncode": code}, type="stop")

    def _run_once(self) -> int:
        """Start the part, pass its lines on, and end what it leaves behind."""
        self._child = self._child_ctor(
            self.cmd,
            env=self.env,
            cwd=self.cwd,
            preexec_fn=partial(_end_with, os.getpid()),
        )
        self._send_message({"pid": self._child.pid}, type="start")
        reader = threading.Thread(target=self._pass_on, args=(self._child.stdout,), daemon=True)
        reader.start()
        code = int(self._child.wait())
        end_descendants()
        reader.join(_LOOK_SECONDS)
        return code

    def _pass_on(self, lines: Any) -> None:
        for line in iter(lines.readline, b""):
            self._send_message(line)
        lines.close()

    def _follow(self) -> None:
        """End the part when the process that everything hangs on has died, or had before this."""
        while os.getppid() == self.supervisor:
            time.sleep(_LOOK_SECONDS)
        self.stopping.set()
        # Nobody reads what is said any more, and waiting for a reader would keep this process.
        self._events.cancel_join_thread()
        if self._child is not None and self._child.poll() is None:
            self._child.terminate()
            _wait(self._child.pid, self.grace_seconds)
        end_descendants()
        os._exit(1)

    def _say(self, text: str) -> None:
        self._events.put(_line(SYSTEM_PRINTER_NAME, f"{self.name} {text}"))


class _Lines(Printer):  # type: ignore[misc]  # honcho is not typed
    """Loses lines where nobody takes them, as on a full disk, and never what runs."""

    def write(self, message: Message) -> None:
        with suppress(OSError):
            super().write(message)


class _Flag:
    """Tells all processes that everything stops, whichever of them were killed.

    An event of multiprocessing waits for each process that waited for it, even a dead one.
    """

    def __init__(self) -> None:
        self._value = multiprocessing.RawValue("b", 0)

    def set(self) -> None:
        self._value.value = 1

    def is_set(self) -> bool:
        return bool(self._value.value)

    def wait(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not self.is_set() and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS / 5)
        return self.is_set()


def adopt_orphans() -> None:
    """Become the parent of whatever a child leaves behind, so that it can be found and ended.

    Only Linux offers it; elsewhere what a part puts into a session of its own may outlive it.
    """
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _end_with(keeper: int) -> None:
    """Have this process asked to end when its keeper is killed, whoever else is killed with it."""
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != keeper:
            os._exit(1)


def end_descendants() -> int:
    """End every process below this one: ask, wait, kill. Return how many had to be ended."""
    left = [child for child in psutil.Process().children(recursive=True) if _is_a_part(child)]
    for child in left:
        _signal(child, signal.SIGTERM)
    _, alive = psutil.wait_procs(left, timeout=SWEEP_SECONDS)
    for child in alive:
        _signal(child, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=SWEEP_SECONDS)
    return len(left)


def _is_a_part(child: psutil.Process) -> bool:
    """Leave out our own keepers: they end by themselves."""
    return child.pid not in {one.pid for one in multiprocessing.active_children()}


def _signal(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def _wait(pid: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and psutil.pid_exists(pid):
        time.sleep(0.1)


def _how(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with code {code}"


def _line(name: str, text: str) -> Message:
    return _message(name, "line", f"{text}\n")


def _message(name: str, kind: str, data: Any) -> Message:
    # In the operator's own time, like every other line of the log.
    return Message(type=kind, data=data, time=datetime.now(), name=name, colour=None)  # noqa: DTZ005
