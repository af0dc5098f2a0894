"""deploy/ and the pages about running name what exists: commands, settings, metrics, ports."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from cli import main
from deployments import SCHEDULES
from ingest.observed import Observed
from ingest.server import IDLE_SECONDS
from ingest.turns import MOST_HEAD_BYTES
from operation.parts import parts
from schemas.settings import CHECKOUT, Settings
from tests.unit.docs.routes import paths
from warehouse.setup import set_up_database

DEPLOY = CHECKOUT / "deploy"
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
NGINX = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((DEPLOY / "compose.yml").read_text(encoding="utf-8"))
RULES = yaml.safe_load((DEPLOY / "prometheus-alerts.yml").read_text(encoding="utf-8"))
ALERTS = {rule["alert"]: rule for group in RULES["groups"] for rule in group["rules"]}
PAGES = {
    name: (CHECKOUT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    for name in ("running", "runbook")
}
SETTINGS = Settings.model_construct()


def settings_named(text: str) -> set[str]:
    return {name.lower() for name in re.findall(r"SMARTMATCH_([A-Z_]+)", text)}


def commands_named(text: str) -> set[str]:
    """Return what is called as `smartmatch COMMAND`, in code or within back quotes."""
    return set(re.findall(r"(?:`|bin/|^)smartmatch ([a-z-]+)", text, flags=re.MULTILINE))


def parts_named(text: str) -> set[str]:
    return set(re.findall(r"part[,\"\s]+([a-z]+)\"?\]?$", text, flags=re.MULTILINE))


def metrics() -> set[str]:
    """Return every sample that /metrics can give, with those that need a label first."""
    observed = Observed()
    observed.commit({("refused", "planted"): 1, ("received", ""): 1}, 1, 0.1)
    observed.answer(200)
    return set(re.findall(r"^(smartmatch\w+)", observed.page().decode(), flags=re.MULTILINE))


def seconds(name: str) -> int:
    found = re.search(rf"{name} (\d+)s;", NGINX)
    assert found is not None, name
    return int(found[1])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_setting_named_exists_and_no_package_index_is(path: Any) -> None:
    text = path.read_text(encoding="utf-8")

    assert settings_named(text) <= set(Settings.model_fields)
    assert not re.search(r"pypi|pythonhosted|index-url|mirror|npmjs", text, flags=re.IGNORECASE)


@pytest.mark.parametrize("page", PAGES)
def test_every_command_and_setting_of_a_page_exists(page: str) -> None:
    assert commands_named(PAGES[page]) <= set(main.commands)
    assert settings_named(PAGES[page]) <= set(Settings.model_fields)


def test_every_part_has_a_unit_and_a_container_and_no_other_is_started() -> None:
    names = {part.name for part in parts(Settings())}

    assert {path.stem.removeprefix("smartmatch-") for path in UNITS} == names
    for path in UNITS:
        text = path.read_text(encoding="utf-8")
        assert commands_named(text) == {"part"}
        assert parts_named(text) == {path.stem.removeprefix("smartmatch-")}
    services = {name: one for name, one in COMPOSE["services"].items() if name != "postgres"}
    assert {name: one["command"] for name, one in services.items()} == {
        name: ["part", name] for name in names
    }
    assert main.commands["part"].params[0].type.choices  # type: ignore[attr-defined]
    assert set(main.commands["part"].params[0].type.choices) == names  # type: ignore[attr-defined]


def test_units_name_documents_and_units_that_exist() -> None:
    for path in UNITS:
        text = path.read_text(encoding="utf-8")
        for document in re.findall(r"file:/opt/smartmatch/(\S+)", text):
            assert (CHECKOUT / document).exists()
        for unit in re.findall(r"smartmatch-\w+\.service", text):
            assert (DEPLOY / "systemd" / unit).exists()


def test_ports_are_the_defaults_and_published_on_loopback() -> None:
    ports = {SETTINGS.port, SETTINGS.prefect_port, SETTINGS.mlflow_port}

    published = COMPOSE["services"]["postgres"]["ports"]
    assert {tuple(one.rsplit(":", 1)[0].rsplit(":", 1)) for one in published} == {
        ("127.0.0.1", str(port)) for port in ports
    }
    assert f"server 127.0.0.1:{SETTINGS.port};" in NGINX
    named = set(re.findall(r"127\.0\.0\.1:(\d{4})", "".join(p.read_text() for p in FILES)))
    assert {int(port) for port in named} <= ports


def test_nginx_allows_a_little_more_than_the_server() -> None:
    body = re.search(r"client_max_body_size (\d+)m", NGINX)
    assert body is not None
    assert 0 < int(body[1]) * 1024**2 - SETTINGS.max_body_bytes <= 2 * 1024**2
    assert 0 < seconds("client_header_timeout") - SETTINGS.header_timeout_seconds <= 5
    assert 0 < seconds("client_body_timeout") - SETTINGS.body_timeout_seconds <= 5
    assert 0 < seconds("send_timeout") - SETTINGS.body_timeout_seconds <= 5
    line = re.search(r"large_client_header_buffers \d (\d+)k", NGINX)
    assert line is not None
    assert 0 < int(line[1]) * 1024 - MOST_HEAD_BYTES <= 4_096
    assert "X-Forwarded-For" in NGINX


def test_nginx_lets_go_of_a_connection_before_the_server_does() -> None:
    """A request on one that is being closed would be lost."""
    assert 0 < seconds(r"\bkeepalive_timeout") < IDLE_SECONDS


def logged_by_nginx(uri: str) -> str:
    """Return what nginx' log says of a path: it takes the first expression that matches."""
    for pattern, value in re.findall(r'^    "~(\S+)" +"?([^";]+)"?;', NGINX, flags=re.MULTILINE):
        if re.search(pattern, uri):
            return str(value).replace("$uri", uri)
    return "-"


def test_nginx_logs_the_route_and_nothing_that_a_client_may_choose() -> None:
    assert logged_by_nginx("/api/tracking/consent/anna") == "/api/tracking/consent/{user_id}"
    for route in paths():
        assert logged_by_nginx(re.sub(r"\{\w+\}", "anna", route)) == route
        assert "anna" not in logged_by_nginx(f"{route}anna")
        assert "anna" not in logged_by_nginx(f"{route}/anna")
        assert "anna" not in logged_by_nginx(f"/anna{route}")
    (layout,) = re.findall(r"log_format (\w+ '[^']*')", NGINX)
    assert re.findall(r"\$\w+", layout) == [
        "$time_iso8601",
        "$request_method",
        "$route",
        "$status",
        "$body_bytes_sent",
        "$request_time",
    ]
    assert re.findall(r"access_log \S+ (\w+);", NGINX) == [layout.split()[0]]
    assert re.findall(r"error_log \S+ (\w+);", NGINX) == ["crit"]


def test_every_metric_of_an_alert_exists() -> None:
    known = metrics()

    for alert in ALERTS.values():
        named = set(re.findall(r"smartmatch_\w+", alert["expr"]))
        assert named <= known, alert["alert"]
        assert {"severity"} <= set(alert["labels"])


def test_a_metric_that_is_not_there_would_be_found() -> None:
    assert "smartmatch_events_stored_total" in metrics()
    assert "smartmatch_planted_total" not in metrics()


def test_prometheus_asks_the_server_that_the_alerts_are_about() -> None:
    asked = yaml.safe_load((DEPLOY / "prometheus.yml").read_text(encoding="utf-8"))
    (job,) = asked["scrape_configs"]

    assert f'job="{job["job_name"]}"' in ALERTS["SmartMatchDown"]["expr"]
    assert asked["rule_files"] == ["prometheus-alerts.yml"]
    assert job["static_configs"] == [{"targets": [f"127.0.0.1:{SETTINGS.port}"]}]
    assert job["metrics_path"] in paths()
    assert job["authorization"]["credentials_file"]


def test_a_key_is_made_within_the_containers_as_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMARTMATCH_HOME", str(tmp_path))
    set_up_database(Settings())
    flat = " ".join(PAGES["running"].split())
    named = re.findall(r"docker compose -f (\S+) exec (\w+) smartmatch ([\w -]+)", flat)

    assert any(command.startswith("keys create") for _, _, command in named)
    for file, service, command in named:
        assert CHECKOUT / file == DEPLOY / "compose.yml"
        assert service in COMPOSE["services"]
        words = command.split(" prints ")[0].split()
        assert words[0] in main.commands
        if words[0] == "keys":
            assert CliRunner().invoke(main, words).exit_code == 0


def test_the_notebook_is_opened_by_what_is_there() -> None:
    programs = re.findall(r"^\.venv/bin/(\w+) .*", PAGES["running"], flags=re.MULTILINE)
    named = set(re.findall(r"examples/[\w.]+", PAGES["running"]))

    assert {"jupyter", "python"} == set(programs)
    for program in programs:
        assert Path(sys.executable).with_name(program).exists()
    assert named == {"examples/figures_and_models.ipynb"}
    assert all((CHECKOUT / name).exists() for name in named)


def test_bounds_of_alerts_are_those_of_the_settings() -> None:
    backlog, queue = ALERTS["SmartMatchBacklogOld"], ALERTS["SmartMatchQueueFilling"]

    assert float(backlog["expr"].split(">")[1]) == SETTINGS.backlog_seconds
    assert float(queue["expr"].split(">")[1]) == SETTINGS.queue_events / 2
    owed = float(ALERTS["SmartMatchRetrainOverdue"]["expr"].split(">")[1])
    assert owed == SETTINGS.retrain_within_hours * 3_600


def test_the_runbook_has_every_flow_and_every_alert_and_no_other() -> None:
    headings = set(re.findall(r"^### (\S+)", PAGES["runbook"], flags=re.MULTILINE))

    flows = {name.replace("_", "-") for name in (*SCHEDULES, "erase_subject")}
    assert headings == flows | set(ALERTS)


def test_the_image_is_built_from_the_lock_with_hashes() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")

    assert "--require-hashes -r requirements.txt" in text
    assert 'CMD ["part", "ingest"]' in text
    ignored = (CHECKOUT / ".dockerignore").read_text(encoding="utf-8").split()
    assert {".venv", "data", "mlruns", ".env"} <= set(ignored)
