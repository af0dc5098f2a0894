"""Texts that break programs, in every text of every body: stored or refused, never an error.

Made here, by what they break: writing systems, invisible characters, encodings, numbers that are
none, and languages that something behind might read them as.
"""

from __future__ import annotations

import json
import time
from copy import deepcopy
from itertools import cycle
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import httpx
import pytest

from schemas.settings import Settings
from tests.serving import allow, proposed, server_of
from warehouse.engine import connect, create_tables

if TYPE_CHECKING:
    from collections.abc import Iterator

BATCH = "/api/tracking/events"
JSON = {"content-type": "application/json"}
Steps = tuple[str | int, ...]

_UNREADABLE = "\ud800", "\udfff\ud800", "a\x00b"
NAUGHTY = {
    "nothing": ["", " ", "\t", "undefined", "NULL", "None", "NaN", "true"],
    "writing": [
        "\u202etest\u202c",  # right to left
        "\u2066\u05d0\u2069 \u0627\u0644",
        "\u7530\u4e2d\u3055\u3093",
        "\u03a9\u2248\u00e7\u221a",
        "e\u0301" + "\u0300" * 1_000,  # combining
        "\U0001f469\U0001f3fd\u200d\U0001f680",  # joined
        "\U0001f3f3\ufe0f\u200d\U0001f308",
        "\U0010ffff\ufdd0",
    ],
    "invisible": [
        "\ufeff",
        "\ufffe",
        "\u200b",
        "a\u200db",
        "\u00ad",
        "\u2028\u2029",
        "\x7f",
        "\x1b[2J",
    ],
    "unreadable": list(_UNREADABLE),
    "numbers": ["1E+02", "0x1F", "\u0663", "1_000", "-0", "9" * 400, "1e400", "Infinity"],
    "formats": [
        "%s%s%n",
        "%d%99999x",
        "{0}",
        "{user_id.__class__}",
        "${7*7}",
        "{{7*7}}",
        "<%= 7*7 %>",
    ],
    "languages": [
        "' OR 1=1 --",
        '"; DROP TABLE staged; --',
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "$(touch x)",
        "`id`; | cat",
        "${jndi:ldap://127.0.0.1/a}",
        "=1+1|' /C calc'!A0",
        "__proto__",
    ],
    "places": [
        "../../../etc/passwd",
        "..\\..\\x",
        "/dev/null",
        "%2e%2e%2f",
        "file:///etc/passwd",
        "C:\\nul",
    ],
    "lines": ['a\r\n{"log":"forged"}', "a\nb", "\r", "x: y\r\n\r\nHTTP/1.1 200 OK"],
    "long": ["x" * 100_000],
}
ALL = [text for texts in NAUGHTY.values() for text in texts]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    home = tmp_path_factory.mktemp("home")
    settings = Settings(home=home)
    engine = connect(settings.url)
    create_tables(engine)
    engine.dispose()
    with (
        server_of(settings, home / "server.log") as server,
        httpx.Client(base_url=server.url, timeout=30) as called,
    ):
        allow(called)
        yield called


def _bodies(client: httpx.Client) -> list[tuple[str, Any]]:
    """Return every path that takes a body, with the example that documents it."""
    paths = client.get("/openapi.json").json()["paths"]
    return [
        (path, operation["requestBody"]["content"]["application/json"]["example"])
        for path, operations in paths.items()
        for operation in operations.values()
        if "requestBody" in operation
    ]


def _texts(value: Any, steps: Steps = ()) -> Iterator[Steps]:
    """Yield the way to every text of a body; the way to a name ends in ``"key"`` and the name."""
    if isinstance(value, str):
        yield steps
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from _texts(one, (*steps, name))
        if value:
            yield (*steps, "key", next(iter(value)))
    elif isinstance(value, list):
        for place, one in enumerate(value):
            yield from _texts(one, (*steps, place))


def _planted(body: Any, steps: Steps, text: str) -> Any:
    changed = deepcopy(body)
    holder = changed
    for step in steps[:-1] if "key" not in steps else steps[:-2]:
        holder = holder[step]
    if "key" in steps:
        holder[text] = holder.pop(steps[-1])
    else:
        holder[steps[-1]] = text
    return changed


def _sent(path: str, body: Any, steps: Steps, number: int) -> Iterator[str]:
    """Yield bodies with texts at one place: a third of them, or all at once in a batch."""
    texts = ALL if path == BATCH else ALL[number % 3 :: 3]
    planted = [_planted(body, steps, text) for text in texts]
    if path == BATCH:
        yield json.dumps([event for batch in planted for event in batch])
    else:
        yield from map(json.dumps, planted)


def _post(client: httpx.Client, path: str, content: str) -> httpx.Response:
    """Send a body; again where a busy machine could not read keys and consents in time."""
    for _ in range(5):
        answer = client.post(path, content=content, headers=JSON)
        if answer.status_code != 503:
            break
        time.sleep(0.3)
    return answer


def test_no_text_in_any_field_of_any_body_is_an_error(client: httpx.Client) -> None:
    tried: set[tuple[str, Steps]] = set()
    for path, body in _bodies(client):
        for steps in _texts(body):
            for content in _sent(path, body, steps, len(tried)):
                answer = _post(client, path, content)
                assert answer.status_code < 500, (path, steps, content[:80], answer.status_code)
                # What cannot be read is written by escapes alone, and comes back in no form.
                assert not set(answer.text) & {"\x00", _UNREADABLE[0]}
            tried.add((path, steps))
    assert len(tried) > 40
    assert client.get("/ready").status_code == 200


def test_no_text_in_a_query_or_a_path_is_an_error(client: httpx.Client) -> None:
    fields = cycle(("user_id", "match_id", "session_id", "model_version"))
    for text in ALL:
        if text in _UNREADABLE[:2] or len(text) > 1_500:
            continue
        query = urlencode(proposed(**{next(fields): text}))
        answer = _post(client, f"/api/tracking/event/match-proposed?{query}", "{}")
        assert answer.status_code < 500, text[:20]
        person = client.get(f"/api/tracking/consent/{quote(text, safe='')}")
        assert person.status_code < 500 or "retry-after" in person.headers, text[:20]


def test_free_text_may_be_anything_that_can_be_read(client: httpx.Client) -> None:
    for text in ALL:
        if len(text) > 900:
            continue
        body = {"user_id": "u1", "match_id": "m", "rating": 3, "feedback_text": text}
        answer = _post(client, "/api/tracking/event/match-feedback", json.dumps(body))
        assert answer.status_code == (422 if text in _UNREADABLE else 200), text
