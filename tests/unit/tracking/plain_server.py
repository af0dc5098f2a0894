"""A small HTTP server that keeps the contract, and fails when it is told to."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote


@dataclass
class Fault:
    """What happens to the next requests: answered so, or stored without a reply."""

    status: int = 0
    raw: bytes = b""
    retry_after: str = ""
    lose_reply: bool = False
    delay_seconds: float = 0.0
    body: bytes = b""


@dataclass
class State:
    """What survives a restart of the server."""

    consents: dict[str, dict[str, bool]] = field(default_factory=dict)
    events: dict[str, dict[str, Any]] = field(default_factory=dict)
    arrivals: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)
    consent_faults: list[Fault] = field(default_factory=list)
    refuse: dict[str, dict[str, Any]] = field(default_factory=dict)
    consent_reads: int = 0
    requests: list[tuple[float, str, str]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    batch_sizes: list[int] = field(default_factory=list)
    most_events: int = 10_000
    connections: list[socket.socket] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def confirmation(options: dict[str, bool]) -> dict[str, Any]:
    """The reply to a consent that was recorded."""
    return {
        "status": "success",
        "consent_id": "1",
        "options": options,
        "notice_version": "1",
        "recorded_at": "2026-11-30T08:00:00+00:00",
    }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: State

    def setup(self) -> None:
        super().setup()
        self.state.connections.append(self.connection)

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        state = self._note()
        state.consent_reads += 1
        user_id = unquote(self.path.removeprefix("/api/tracking/consent/"))
        options = state.consents.get(user_id)
        if self._fails(state.consent_faults):
            return
        if options is None:
            self._answer(404, {"detail": "unknown"})
        else:
            self._answer(200, {"status": "success", "options": options})

    def do_POST(self) -> None:
        state = self._note()
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/api/tracking/consent":
            if self._fails(state.consent_faults):
                return
            user_id = body.pop("user_id")
            state.consents[user_id] = body
            self._answer(200, confirmation(body))
        elif self.path == "/api/tracking/events":
            self._events(state, body)
        else:
            self._answer(404, {"detail": "unknown"})

    def _events(self, state: State, body: list[dict[str, Any]]) -> None:
        state.batch_sizes.append(len(body))
        fault = state.faults.pop(0) if state.faults else None
        if fault:
            time.sleep(fault.delay_seconds)
        if fault and (fault.status or fault.raw):
            self._answer_fault(fault)
            return
        if len(body) > state.most_events:
            self._answer(413, {"detail": "The batch has too many events"})
            return
        verdict = self._store(state, body)
        if fault and fault.lose_reply:
            self.close_connection = True
            self.connection.close()
            return
        self._answer(200, verdict)

    def _store(self, state: State, body: list[dict[str, Any]]) -> dict[str, Any]:
        stored = duplicate = 0
        refused: list[dict[str, Any]] = []
        with state.lock:
            for index, event in enumerate(body):
                state.arrivals[event["event_id"]] += 1
                if event["match_id"] in state.refuse:
                    refused.append(
                        {"index": index, "status": 422, **state.refuse[event["match_id"]]}
                    )
                elif not state.consents.get(event["user_id"], {}).get("analytics"):
                    rule = "Consent required for tracking"
                    refused.append(
                        {"index": index, "status": 403, "field": "user_id", "rule": rule}
                    )
                elif event["event_id"] in state.events:
                    duplicate += 1
                else:
                    state.events[event["event_id"]] = event
                    stored += 1
        return {
            "status": "partial" if refused else "success",
            "received": len(body),
            "stored": stored,
            "duplicate": duplicate,
            "refused": refused,
        }

    def _note(self) -> State:
        self.state.requests.append((time.monotonic(), self.command, self.path))
        self.state.keys.append(self.headers.get("authorization"))
        return self.state

    def _fails(self, faults: list[Fault]) -> bool:
        if not faults:
            return False
        fault = faults.pop(0)
        time.sleep(fault.delay_seconds)
        if fault.status or fault.raw:
            self._answer_fault(fault)
        return bool(fault.status or fault.raw)

    def _answer_fault(self, fault: Fault) -> None:
        if fault.raw:
            self.close_connection = True
            self.wfile.write(fault.raw)
            return
        headers = {"retry-after": fault.retry_after} if fault.retry_after else {}
        self._write(fault.status, fault.body or b"{}", headers)

    def _answer(self, status: int, content: dict[str, Any]) -> None:
        self._write(status, json.dumps(content).encode(), {})

    def _write(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class QuietServer(ThreadingHTTPServer):
    """Clients that are killed are part of the tests, and not worth a traceback."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class PlainServer:
    """A server whose state survives ``stop`` and ``start``, on one port."""

    def __init__(self) -> None:
        self.state = State()
        self._port = 0
        self._server: QuietServer | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        handler = type("BoundHandler", (Handler,), {"state": self.state})
        server = QuietServer(("127.0.0.1", self._port), handler)
        self._server, self._port = server, server.server_address[1]
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Cut all connections and refuse new ones."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        while self.state.connections:
            with contextlib.suppress(OSError):
                self.state.connections.pop().shutdown(socket.SHUT_RDWR)

    def grant(self, *user_ids: str) -> None:
        for user_id in user_ids:
            self.state.consents[user_id] = {
                "analytics": True,
                "preferences": False,
                "improvement": False,
            }
