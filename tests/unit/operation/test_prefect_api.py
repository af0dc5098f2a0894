"""What is asked of Prefect's server is answered, or is not: nothing else is raised."""

from __future__ import annotations

import socket
import threading

import pytest

import prefect_api
from operation.parts import LOOPBACK

CUT = b'HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{"id":'


@pytest.mark.parametrize("said", [b"SSH-2.0-OpenSSH\r\n", CUT, b""])
def test_whoever_speaks_no_http_or_breaks_off_gives_no_answer(said: bytes) -> None:
    with socket.create_server((LOOPBACK, 0)) as listener:

        def serve() -> None:
            client, _ = listener.accept()
            client.recv(4_096)
            client.sendall(said)
            client.close()

        thread = threading.Thread(target=serve)
        thread.start()
        assert prefect_api.ask(f"http://{LOOPBACK}:{listener.getsockname()[1]}/api") is None
        thread.join()


@pytest.mark.parametrize("api", ["", "localhost:4200/api"])
def test_where_no_server_is_named_there_is_no_answer(api: str) -> None:
    assert prefect_api.read_run(api, "4b1f") is None
    assert prefect_api.create_run(api, "retrain_model") is None
