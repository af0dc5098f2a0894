"""What the ingest benchmark compares with: servers of a few lines.

* ``constant``: the same framework reads the same request and returns a constant: the limit of a
  plain route.
* ``plain``: a peer written plainly: a connection and a commit an event, rollback journal.
* ``sink``: reads how long a request is, drops it and replies: what a load costs its sender.
"""
# ruff: noqa: ARG001  (what a route declares is read and checked, whether or not it is used)

from __future__ import annotations

import argparse
import asyncio
import re
import sqlite3
import uuid
from typing import Any

import uvicorn
import uvloop
from fastapi import FastAPI
from pydantic import BaseModel


class Body(BaseModel):
    """What the bodies of the five routes hold, all optional."""

    match_parameters: dict[str, float] = {}
    constraint_satisfaction: dict[str, float] = {}
    reasons: list[str] = []
    specific_aspects: dict[str, int] = {}
    success_indicators: dict[str, float] = {}


def constant() -> FastAPI:
    """Return the application that only answers."""
    app = FastAPI()

    @app.post("/api/tracking/event/{kind}")
    async def event(  # noqa: PLR0917
        kind: str,
        user_id: str,
        match_id: str,
        body: Body,
        match_score: float = 0.0,
        alternatives_count: int = 0,
        session_id: str = "",
    ) -> dict[str, str]:
        return {"status": "success", "event_id": "01936f3e-7c1a-7d52-9b1e-4f6a0c2d8e11"}

    return app


def plain(path: str) -> FastAPI:
    """Return the application that stores each event by itself, in a table of its own."""
    app = FastAPI()
    with sqlite3.connect(path) as connection:
        connection.execute(
            "CREATE TABLE events (event_id TEXT PRIMARY KEY, kind TEXT, user_id TEXT,"
            " match_id TEXT, score REAL, body TEXT, created TEXT DEFAULT CURRENT_TIMESTAMP)"
        )

    @app.post("/api/tracking/event/{kind}")
    def event(  # noqa: PLR0917
        kind: str,
        user_id: str,
        match_id: str,
        body: Body,
        match_score: float = 0.0,
        alternatives_count: int = 0,
        session_id: str = "",
    ) -> dict[str, Any]:
        event_id = str(uuid.uuid4())
        connection = sqlite3.connect(path, timeout=30)
        try:
            connection.execute(
                "INSERT INTO events (event_id, kind, user_id, match_id, score, body)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (event_id, kind, user_id, match_id, match_score, body.model_dump_json()),
            )
            connection.commit()
        finally:
            connection.close()
        return {"status": "success", "event_id": event_id}

    return app


class Sink(asyncio.Protocol):
    """A connection whose requests, with a body or without, are answered and dropped."""

    def __init__(self) -> None:
        self._head = b""
        self._left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what replies are written to."""
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        """Answer what has arrived as a whole."""
        if self._left > len(data):
            self._left -= len(data)
            return
        if self._left:
            data, self._left = data[self._left :], 0
            self._transport.write(_REPLY)
        head, found, body = (self._head + data).partition(b"\r\n\r\n")
        if not found:
            self._head = head
            return
        self._head = b""
        length = _LENGTH.search(head)
        self._left = int(length.group(1)) if length else 0
        if self._left:
            self.data_received(body)
        else:
            self._transport.write(_REPLY)


_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_REPLY = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


async def sink(port: int) -> None:
    """Serve connections that are answered and dropped."""
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", port)
    await server.serve_forever()


def main() -> None:
    """Serve one of them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("which", choices=["constant", "plain", "sink"])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--database", default="")
    given = parser.parse_args()
    if given.which == "sink":
        uvloop.run(sink(given.port))
        return
    app = constant() if given.which == "constant" else plain(given.database)
    uvicorn.run(app, host="127.0.0.1", port=given.port, access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
