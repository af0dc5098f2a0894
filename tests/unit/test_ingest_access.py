"""Who may come in: the whole matrix of routes and keys, and what a proxy may not do."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from ingest.door import OPEN_PATHS, PAGE_FILES
from ingest.figures import METRICS as METRIC_NAMES
from ingest.launcher import Launcher
from schemas.events import ROUTES as EVENTS
from tests.serving import LOOPBACK, Ended, allow, client_of, proposed
from warehouse import api_keys
from warehouse.api_keys import Scope
from warehouse.keyfile import make_ring

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from schemas.settings import Settings
    from tests.in_process import Client

NOW = datetime(2026, 11, 1, tzinfo=UTC)
INGEST, METRICS, ADMIN, PRIVACY = Scope.INGEST, Scope.METRICS, Scope.ADMIN, Scope.PRIVACY
ANY = frozenset(Scope)

ROUTES: dict[tuple[str, str], set[Scope] | frozenset[Scope]] = {
    ("POST", "/api/tracking/consent"): {INGEST},
    ("GET", "/api/tracking/consent/u1"): {INGEST},
    **{("POST", f"/api/tracking/event/{name}"): {INGEST} for name in EVENTS},
    ("POST", "/api/tracking/events"): {INGEST},
    **{("GET", f"/api/metrics/{name}"): {METRICS, ADMIN} for name in METRIC_NAMES},
    ("GET", "/api/ml/model"): {METRICS, ADMIN},
    ("GET", "/api/ml/weights"): {METRICS, ADMIN},
    ("GET", "/metrics"): {METRICS, ADMIN},
    ("POST", "/api/ml/update"): {ADMIN},
    ("POST", "/api/privacy/cleanup"): {ADMIN},
    ("POST", "/api/privacy/erasure"): {PRIVACY},
    ("GET", "/api/privacy/erasure/none"): {PRIVACY},
    ("POST", "/api/privacy/export"): {PRIVACY},
    ("GET", "/api/runs/none"): {ADMIN, PRIVACY},
    ("GET", "/dashboard"): {METRICS, ADMIN},
    ("GET", "/dashboard/validation"): {METRICS, ADMIN},
    ("GET", "/docs"): ANY,
    ("GET", "/docs/oauth2-redirect"): ANY,
    ("GET", "/openapi.json"): ANY,
    ("GET", "/nowhere"): ANY,
}


@pytest.fixture(autouse=True)
def _no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Launcher, "_start", lambda *_: Ended())


@pytest.fixture
def keys(settings: Settings, engine: Engine) -> dict[str, str]:
    """One key of each scope, and one that is revoked."""
    make_ring(settings.keys, 0)
    made = {
        scope.value: api_keys.create(engine, settings.keys, scope, {scope}, NOW)[1]
        for scope in Scope
    }
    revoked, made["revoked"] = api_keys.create(engine, settings.keys, "old", set(Scope), NOW)
    api_keys.revoke(engine, settings.keys, revoked.key_id, NOW)
    return made


@pytest.fixture
def client(settings: Settings, keys: dict[str, str]) -> Iterator[Client]:
    with client_of(settings) as called:
        yield called


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def call(client: Client, method: str, path: str, headers: dict[str, str]) -> Any:
    return client.request(method, path, headers=headers, json={} if method == "POST" else None)


def test_matrix_holds_every_route_that_the_server_has(client: Client) -> None:
    door: Any = client.app
    served = {("POST", path) for path in door._hot}
    for route in _flat(door.cold.load().routes):
        methods = getattr(route, "methods", None) or {"GET"}
        served |= {(method, route.path) for method in methods - {"HEAD"}}
    open_to_all = {("GET", path) for path in OPEN_PATHS}

    missing = [
        (method, path)
        for method, path in served - open_to_all
        if not path.startswith(PAGE_FILES)
        and not any(
            method == asked and re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", path), known)
            for asked, known in ROUTES
        )
    ]

    assert missing == []
    assert len(served) > 25


def _flat(routes: list[Any]) -> Iterator[Any]:
    """Return routes, also those of the routers among them."""
    for route in routes:
        router = getattr(route, "original_router", None)
        if router is None:
            yield route
        else:
            yield from _flat(router.routes)


def test_whole_matrix_of_routes_and_keys(client: Client, keys: dict[str, str]) -> None:
    wrong = []
    for (method, path), opens in ROUTES.items():
        for scope in Scope:
            status = call(client, method, path, bearer(keys[scope.value])).status_code
            if (status == 403) == (scope in opens) or status in (401, 500, 503):
                wrong.append((method, path, scope.value, status))
    assert wrong == []


def test_strangers_are_told_nothing_apart(client: Client, keys: dict[str, str]) -> None:
    good = keys["ingest"]
    key_id, secret = good.split("_", 2)[1:]
    headers = [
        {},
        bearer(""),
        bearer("sm_"),
        bearer("x" * 10_000),
        bearer(good[:-1]),
        bearer(good + "A"),
        bearer(good.upper()),
        bearer(f"sm_{'0' * 12}_{secret}"),
        bearer(f"sm_{key_id}_{'A' * 43}"),
        bearer(keys["revoked"]),
        {"authorization": good},
        {"authorization": f"Digest {good}"},
        {"authorization": "Basic !!!"},
        {"x-api-key": "no"},
    ]
    for method, path in ROUTES:
        answers = {
            (answer.status_code, answer.content)
            for answer in (call(client, method, path, header) for header in headers)
        }
        assert answers == {(401, b'{"detail":"A valid API key is required"}')}, path


def test_refused_scope_says_the_same_whatever_the_route(
    client: Client, keys: dict[str, str]
) -> None:
    bodies = {
        call(client, method, path, bearer(keys["ingest"])).content
        for (method, path), opens in ROUTES.items()
        if INGEST not in opens
    }

    assert bodies == {b'{"detail":"This API key does not open this route"}'}


def test_health_and_readiness_are_open_to_all(client: Client) -> None:
    assert client.get("/health").status_code == 200
    assert client.get("/ready").status_code == 200


def test_key_may_come_as_header_bearer_or_password(client: Client, keys: dict[str, str]) -> None:
    key = keys["metrics"]
    basic = base64.b64encode(f"me:{key}".encode()).decode()

    for headers in ({"x-api-key": key}, bearer(key), {"authorization": f"Basic {basic}"}):
        assert client.get("/api/metrics/funnel", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("made_by", "counts"),
    [
        ({}, True),
        ({"origin": "http://127.0.0.1"}, True),
        ({"origin": "https://127.0.0.1", "sec-fetch-site": "same-origin"}, True),
        ({"origin": "https://evil.example"}, False),
        ({"origin": "null"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-site"}, False),
    ],
)
def test_password_that_a_browser_adds_changes_nothing_for_a_foreign_page(
    client: Client, keys: dict[str, str], made_by: dict[str, str], counts: bool
) -> None:
    basic = base64.b64encode(f":{keys['admin']}".encode()).decode()
    headers = {"authorization": f"Basic {basic}"} | made_by

    changed = client.post("/api/privacy/cleanup", headers=headers)
    read = client.get("/dashboard", headers=headers)

    assert changed.status_code == (202 if counts else 401)
    assert read.status_code == 200


def test_browser_is_asked_for_a_key_on_pages_only(client: Client) -> None:
    assert client.get("/dashboard").headers["www-authenticate"].startswith("Basic")
    assert client.get("/docs").headers["www-authenticate"].startswith("Basic")
    assert client.get("/metrics").headers["www-authenticate"].startswith("Bearer")


def test_metrics_scope_sees_published_figures_and_admin_exact_ones(
    client: Client, keys: dict[str, str]
) -> None:
    seen = {
        scope: client.get("/api/metrics/funnel", headers=bearer(keys[scope])).json()
        for scope in ("metrics", "admin")
    }

    assert seen["metrics"]["window"]["published"] is True
    assert seen["admin"]["window"]["published"] is False


def test_last_key_revoked_does_not_open_the_door(settings: Settings, engine: Engine) -> None:
    make_ring(settings.keys, 0)
    only, _ = api_keys.create(engine, settings.keys, "only", {INGEST}, NOW)
    api_keys.revoke(engine, settings.keys, only.key_id, NOW)

    with client_of(settings) as client:
        assert client.get("/metrics").status_code == 401


@pytest.mark.parametrize(
    "header",
    [
        {"x-forwarded-for": "10.0.0.1"},
        {"X-Forwarded-Proto": "https"},
        {"x-forwarded-anything": ""},
        {"forwarded": "for=10.0.0.1"},
        {"x-real-ip": "127.0.0.1"},
        {"via": "1.1 proxy"},
        {"host": "evil.example"},
        {"host": "localhost.evil.example"},
        {"host": "127.0.0.1.evil.example"},
        {"host": "127.rebind.evil.example", "origin": "http://127.rebind.evil.example"},
        {"host": "127.a.b.c"},
        {"host": "127.0.0.1evil"},
        {"host": "[::1]evil"},
        {"host": "[::1]:80evil"},
        {"host": "[127.rebind.evil.example]"},
        {"host": ""},
        {"origin": "https://evil.example"},
        {"sec-fetch-site": "cross-site"},
    ],
)
def test_without_keys_a_forwarded_or_foreign_request_is_refused(
    settings: Settings, header: dict[str, str]
) -> None:
    with client_of(settings) as client:
        assert client.get("/metrics").status_code == 200
        assert client.get("/metrics", headers=header).status_code == 401


def _names(text: str) -> list[str]:
    return text.split()


HANDED_ON = _names(
    """
    Ali-CDN-Real-IP Akamai-Origin-Hop CDN-Loop CF-Ray CF-Connecting-IP Client-IP Fastly-Client-IP
    Fly-Client-IP Forwarded-For Max-Forwards Proxy-Client-IP Proxy-Connection Remote-Addr
    Tailscale-User-Login True-Client-IP WL-Proxy-Client-IP X-Amz-Cf-Id X-Amzn-Trace-Id
    X-Appengine-User-Ip X-ARR-SSL X-Azure-ClientIP X-Client-IP X-Cluster-Client-IP X-Coming-From
    X-Envoy-External-Address X-Forwarded X-Forwarded- X_Forwarded_For X-Original-Forwarded-For
    X-Original-Host X-Original-URL X-Originating-IP X-ProxyUser-Ip X-Real-Port X-Remote-IP
    X-Vercel-Id
"""
)

SENT_DIRECTLY = _names(
    """
    Accept Accept-Encoding Accept-Language Access-Control-Request-Headers Authorization
    Cache-Control Connection Cookie DNT If-None-Match Keep-Alive Pragma Priority Range Referer
    Save-Data Sec-CH-UA Sec-CH-UA-Platform Sec-Fetch-Dest Sec-Fetch-Mode Sec-GPC TE Traceparent
    Upgrade-Insecure-Requests User-Agent X-Request-ID X-Requested-With
"""
)


def test_without_keys_headers_of_whoever_hands_requests_on_are_known_by_their_form(
    settings: Settings,
) -> None:
    with client_of(settings) as client:
        served = {
            name: client.get("/metrics", headers={name: "203.0.113.9"}).status_code == 200
            for name in HANDED_ON + SENT_DIRECTLY
        }

    assert served == dict.fromkeys(HANDED_ON, False) | dict.fromkeys(SENT_DIRECTLY, True)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8001",
        "page.localhost",
        "127.0.0.1",
        "127.9.9.9:1",
        "[::1]",
        "[::1]:1",
    ],
)
def test_without_keys_this_machine_is_served_by_any_of_its_names(
    settings: Settings, host: str
) -> None:
    with client_of(settings) as client:
        assert client.get("/metrics", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    ("address", "served"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("127.0.0.1.evil.example", False),
        ("127.evil.example.net", False),
        ("1270.0.0.1", False),
        ("", False),
    ],
)
def test_without_keys_only_this_machine_is_served(
    settings: Settings, address: str, served: bool
) -> None:
    with client_of(settings, (address, 1)) as client:
        assert (client.get("/metrics").status_code == 200) is served


def test_flood_of_one_key_is_answered_429_and_leaves_others_alone(
    settings: Settings, engine: Engine
) -> None:
    make_ring(settings.keys, 0)
    slow = settings.model_copy(update={"rate_limit_per_second": 5})
    flooding, quiet = (
        bearer(api_keys.create(engine, settings.keys, name, {METRICS}, NOW)[1])
        for name in ("flooding", "quiet")
    )
    with client_of(slow) as client:
        answers = [client.get("/metrics", headers=flooding) for _ in range(12)]

        refused = [answer for answer in answers if answer.status_code == 429]
        assert len(refused) >= 5
        assert refused[0].headers["retry-after"] == "1"
        assert client.get("/metrics", headers=quiet).status_code == 200


def test_pages_of_other_origins_may_call_only_when_the_setting_says_so(
    settings: Settings,
) -> None:
    ask = {"origin": "https://app.example", "access-control-request-method": "POST"}
    opened = settings.model_copy(update={"cors_origins": ("https://app.example",)})

    with client_of(settings) as client:
        closed = client.options("/api/tracking/events", headers=ask)
    with client_of(opened, LOOPBACK) as client:
        allowed = client.options("/api/tracking/events", headers=ask)
        allow(client)
        sent = client.post(
            "/api/tracking/event/match-proposed",
            json=proposed(),
            headers={"origin": "https://app.example"},
        )
        other = client.get("/metrics", headers={"origin": "https://other.example"})
        foreign = client.options("/metrics", headers={**ask, "origin": "https://other.example"})

    assert "access-control-allow-origin" not in closed.headers
    assert allowed.headers["access-control-allow-origin"] == "https://app.example"
    assert sent.status_code == 200
    assert sent.headers["access-control-allow-origin"] == "https://app.example"
    assert allowed.json() == {"status": "ok"}
    assert other.status_code == 401
    assert foreign.status_code == 400
    assert foreign.json() == {"detail": "Disallowed CORS origin"}
    assert "access-control-allow-origin" not in foreign.headers
