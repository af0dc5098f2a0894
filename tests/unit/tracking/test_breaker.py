"""Who may wait for a server that keeps still, and how long: by a clock that is set by hand."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from tracking import breaker
from tracking.breaker import PAUSE_SECONDS, CircuitBreaker
from tracking.errors import Unreachable
from tracking.transport import Reply

PATIENCE = 2.0
FIRST = breaker.SHARE * PATIENCE
MANY = 20


@dataclass
class Server:
    """Answers after so many seconds; who does not wait for so long gets no answer."""

    seconds: float
    now: float = 1_000.0
    waited: list[float] = field(default_factory=list)

    def request(self, patience: float) -> Reply:
        self.waited.append(patience)
        self.now += min(self.seconds, patience)
        if patience < self.seconds:
            raise Unreachable("no answer")
        return Reply(200, b"", None)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    server = Server(float("inf"))
    monkeypatch.setattr(breaker, "time", SimpleNamespace(monotonic=lambda: server.now))
    return server


def is_answered(asked: CircuitBreaker, server: Server) -> bool:
    try:
        return asked.ask(server.request, PATIENCE).status == 200
    except Unreachable:
        return False


def test_server_that_keeps_still_holds_up_one_of_many_threads(server: Server) -> None:
    """All ask before any of them gives up; then one goes on, and the others do not wait for it."""
    asked = CircuitBreaker()
    all_wait, probed, end = threading.Barrier(MANY), threading.Event(), threading.Event()

    def request(patience: float) -> Reply:
        server.waited.append(patience)
        if patience == FIRST:
            if all_wait.wait(60) == 0:
                server.now += patience
            all_wait.wait(60)
        else:
            probed.set()
            assert end.wait(60)
            server.now += patience
        raise Unreachable("no answer")

    def ask() -> bool:
        try:
            return asked.ask(request, PATIENCE).status == 200
        except Unreachable:
            return False

    with ThreadPoolExecutor(MANY) as pool:
        asking = [pool.submit(ask) for _ in range(MANY)]
        assert probed.wait(60)
        assert not ask()  # nor does who comes meanwhile
        end.set()
    assert not any(one.result() for one in asking)
    assert server.waited == [FIRST] * MANY + [PATIENCE - FIRST]

    assert not is_answered(asked, server)
    assert len(server.waited) == MANY + 1
    server.now += PAUSE_SECONDS
    assert not any(is_answered(asked, server) for _ in range(3))
    assert server.waited[MANY + 1 :] == [PATIENCE]


def test_server_that_is_slow_is_waited_for_by_everybody(server: Server) -> None:
    server.seconds = 0.6
    asked = CircuitBreaker()

    assert all(is_answered(asked, server) for _ in range(3))

    assert server.waited == pytest.approx([FIRST, PATIENCE - FIRST, 1.2, 1.2])


def test_who_waits_while_others_are_answered_waits_on(server: Server) -> None:
    server.seconds = 0.1
    asked = CircuitBreaker()
    waited = []

    def request(patience: float) -> Reply:
        waited.append(patience)
        assert is_answered(asked, server)  # nor does it keep others from asking
        if len(waited) > 1:
            return Reply(200, b"", None)
        server.now += patience
        raise Unreachable("no answer")

    assert asked.ask(request, PATIENCE).status == 200

    assert waited == [FIRST, PATIENCE - FIRST]


def test_one_of_many_finds_out_that_a_server_answers_again(server: Server) -> None:
    asked = CircuitBreaker()
    assert not is_answered(asked, server)
    server.now += PAUSE_SECONDS
    server.seconds, server.waited = 0.2, []
    meanwhile = []

    def request(patience: float) -> Reply:
        meanwhile.extend(is_answered(asked, server) for _ in range(4))
        return server.request(patience)

    assert asked.ask(request, PATIENCE).status == 200

    assert meanwhile == [False] * 4
    assert server.waited == [PATIENCE]
    assert all(is_answered(asked, server) for _ in range(4))


def test_caller_that_is_interrupted_leaves_the_next_one_to_ask(server: Server) -> None:
    asked = CircuitBreaker()

    def interrupted(_: float) -> Reply:
        raise KeyboardInterrupt

    assert not is_answered(asked, server)
    server.now += PAUSE_SECONDS
    with pytest.raises(KeyboardInterrupt):
        asked.ask(interrupted, PATIENCE)
    server.seconds = 0.0

    assert is_answered(asked, server)
    assert is_answered(asked, server)
