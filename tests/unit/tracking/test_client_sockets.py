"""Connections whose sockets the host closes: it may have opened something else in their place."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.unit.tracking.test_client_processes import in_child
from tracking.privacy import PrivacyManager

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.tracking.plain_server import PlainServer

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")

MANY = 40


def is_untouched(one: socket.socket) -> bool:
    """Tell whether a socket is open, and nothing was sent to it."""
    try:
        one.setblocking(False)
        one.recv(1)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def open_sockets() -> Callable[[], bool]:
    pairs = [socket.socketpair() for _ in range(MANY)]
    return lambda: all(is_untouched(end) for pair in pairs for end in pair)


def open_files() -> Callable[[], bool]:
    null = Path(os.devnull).stat().st_rdev
    files = [os.open(os.devnull, os.O_RDWR) for _ in range(2 * MANY)]
    return lambda: all(is_device(one, null) for one in files)


def is_device(number: int, device: int) -> bool:
    try:
        return os.fstat(number).st_rdev == device
    except OSError:
        return False


@pytest.mark.parametrize("asks", [True, False], ids=["asks on", "closes"])
@pytest.mark.parametrize("open_anew", [open_sockets, open_files])
def test_connection_that_the_host_closed_leaves_alone_what_took_its_place(
    server: PlainServer, open_anew: Callable[[], Callable[[], bool]], *, asks: bool
) -> None:
    server.grant("ana", "ben")

    def is_left_alone() -> bool:
        privacy = PrivacyManager(api_key="sm_secret", cache_seconds=0.0, timeout_seconds=10.0)
        answered = privacy.has_consent("ana")
        os.closerange(3, 256)
        are_untouched = open_anew()
        if asks:
            answered = privacy.has_consent("ben") and answered
        privacy.close()
        return answered and are_untouched()

    assert in_child(is_left_alone)
