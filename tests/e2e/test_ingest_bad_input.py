"""Malformed bodies by the thousand, against every route that reads one."""

from __future__ import annotations

import json
from collections import Counter
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from schemas.settings import Settings
from tests.e2e.malformed import NUMBERS, STRINGS, WHOLES, malformed
from tests.serving import Server, server_of
from warehouse.audit import balance
from warehouse.engine import connect, create_tables

if TYPE_CHECKING:
    from collections.abc import Iterator

CANARY = "canary-5521"
BATCH = "/api/tracking/events"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("home")
    settings = Settings(home=home)
    engine = connect(settings.url)
    create_tables(engine)
    engine.dispose()
    with server_of(settings, home / "server.log") as running:
        yield running


@pytest.fixture(scope="module")
def routes(server: Server) -> dict[str, dict[str, Any]]:
    return right_bodies(server)


def right_bodies(server: Server) -> dict[str, dict[str, Any]]:
    """Return a right body of every route that reads one, from the server's own page.

    Each person is another one, so that no route acts on what the trials of another stored.
    """
    page = httpx.get(f"{server.url}/openapi.json").json()
    found: dict[str, dict[str, Any]] = {}
    for path, methods in page["paths"].items():
        for operation in methods.values():
            if "requestBody" not in operation:
                continue
            content = operation["requestBody"]["content"]["application/json"]
            body = content["example"] if "example" in content else _first(content["examples"])
            body = body[0] if isinstance(body, list) else body
            found[path] = {**body, "user_id": f"{CANARY}-{len(found)}"}
            if path != BATCH:
                found[path].pop("type", None)
    return found


def _first(examples: dict[str, Any]) -> Any:
    return next(iter(examples.values()))["value"]


def test_there_are_hundreds_of_mistakes_of_every_class() -> None:
    made = set(malformed({"user_id": "u"}, 1))

    assert len(NUMBERS) > 60
    assert len(STRINGS) > 60
    assert len(WHOLES) > 50
    assert len(made) > 300


def test_no_malformed_body_gives_a_5xx_or_is_repeated(
    server: Server, routes: dict[str, dict[str, Any]]
) -> None:
    statuses, wrong = send_malformed(server, routes)

    assert wrong == []
    assert len(statuses) >= 9
    assert all(statuses[path][422] for path in statuses)
    assert httpx.get(f"{server.url}/ready").status_code == 200


def send_malformed(
    server: Server, routes: dict[str, dict[str, Any]], seed: int = 0
) -> tuple[dict[str, Counter[int]], list[tuple[str, bytes, int]]]:
    """Send malformed bodies to every route; return the statuses, and what is wrong."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=30)
    wrong: list[tuple[str, bytes, int]] = []
    seen: dict[str, Counter[int]] = {}
    for path, body in routes.items():
        for number, sent in enumerate(malformed(body, len(path) + seed)):
            wrapped = b"[" + sent + b"]" if path == BATCH and number % 2 else sent
            status, answer = post(connection, path, wrapped)
            seen.setdefault(path, Counter())[status] += 1
            # What is sent may be right by chance, and what is then exported is long.
            long = len(answer) > 2_000 and status != 200
            if status >= 500 or CANARY.encode() in answer or long:
                wrong.append((path, wrapped[:80], status))
    connection.close()
    return seen, wrong


def post(connection: HTTPConnection, path: str, body: bytes) -> tuple[int, bytes]:
    connection.request("POST", path, body, {"content-type": "application/json"})
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_refused_lines_of_ndjson_are_named_by_place_and_never_repeated(
    server: Server, routes: dict[str, dict[str, Any]]
) -> None:
    lines = [line for line in malformed(routes[BATCH], 7) if b"\n" not in line and line.strip()]
    content = b"\n".join(lines)

    answer = httpx.post(
        f"{server.url}{BATCH}",
        content=content,
        headers={"content-type": "application/x-ndjson"},
        timeout=60,
    )

    reply = answer.json()
    assert answer.status_code == 200
    assert (reply["received"], reply["stored"]) == (len(lines), 0)
    assert [one["index"] for one in reply["refused"]] == list(range(len(lines)))
    assert CANARY not in answer.text


def test_log_and_books_hold_nothing_of_it(server: Server) -> None:
    log = server.log.read_text()

    assert CANARY not in log
    assert all(json.loads(line)["log"] for line in log.splitlines())
    engine = connect(server._settings.url)
    assert balance(engine).agrees
    engine.dispose()
