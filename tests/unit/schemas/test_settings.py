"""Settings: one source for names, units, defaults and bounds; `.env.example` says the same.

Run as a program, this writes `.env.example` anew.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from schemas.settings import CHECKOUT, RETENTION_CEILINGS, Settings

EXAMPLE = CHECKOUT / ".env.example"
HEAD = (
    "# Every setting with its default. To change one, copy this file to .env in the directory\n"
    "# where you start, take the mark off its line and put the value behind the sign; or set the\n"
    "# environment variable of the same name, which wins. Keys are no settings: `smartmatch init`\n"
    "# makes them into a key file that nobody else may read.\n"
)
UNPREFIXED = {"host": "HOST", "port": "PORT"}


def sections() -> dict[str, str]:
    """Return the comment that stands above each group of fields, by the group's first field."""
    found, above = {}, ""
    for line in inspect.getsource(Settings).splitlines():
        if comment := re.match(r"    # (.+)$", line):
            above = comment[1]
        elif above and (field := re.match(r"    (\w+): ", line)):
            found[field[1]], above = above, ""
    return found


def render() -> str:
    """Write `.env.example` as the settings want it."""
    parts, titles = [HEAD], sections()
    for name, field in Settings.model_fields.items():
        if name in titles:
            parts.append(f"\n# ---- {titles[name]}\n")
        variable = UNPREFIXED.get(name, f"SMARTMATCH_{name.upper()}")
        empty = field.default is None or field.default in ((), CHECKOUT)
        value = "" if empty else field.default
        parts.append(f"\n# {field.description}\n# {variable}={value}\n")
    return "".join(parts)


def test_the_example_has_every_setting_with_its_comment_default_and_place() -> None:
    assert EXAMPLE.read_text(encoding="utf-8") == render()


def test_the_example_taken_as_it_is_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uncommented = re.sub(
        r"^# (\w+=)", r"\1", EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    (tmp_path / ".env").write_text(uncommented, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SMARTMATCH_HOME")

    read = Settings(_env_file=".env")

    assert read.model_dump() == {
        name: field.default for name, field in Settings.model_fields.items()
    }
    assert read.model_fields_set == {
        name
        for name, field in Settings.model_fields.items()
        if field.default is not None and field.default not in ((), CHECKOUT)
    }


@pytest.mark.parametrize("name", sorted(set(Settings.model_fields) - {"host", "port"}))
def test_every_setting_is_read_from_the_variable_that_the_example_names(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {
        "home": ("/srv/matching", Path("/srv/matching")),
        "data_directory": ("/srv/data", Path("/srv/data")),
        "key_directory": ("/srv/keys", Path("/srv/keys")),
        "database_url": ("sqlite:////srv/a.db", SecretStr("sqlite:////srv/a.db")),
        "max_body_bytes": ("2048", 2048),
        "cors_origins": ("https://a.test, https://b.test", ("https://a.test", "https://b.test")),
        "notice_version": ("2027-01", "2027-01"),
        "task_runner": ("dask", "dask"),
        "dask_address": ("tcp://127.0.0.1:8786", "tcp://127.0.0.1:8786"),
        "timezone": ("UTC", "UTC"),
        "ui_host": ("::1", "::1"),
        "model_name": ("mentors", "mentors"),
        "smallest_group": ("11", 11),
        "consent_staleness_seconds": ("0.25", 0.25),
        "rejected_retention_days": ("3", 3),
        "private_epsilon": ("0.5", 0.5),
        "private_budget_epsilon": ("0.5", 0.5),
        "private_period_days": ("400", 400),
        "retention_reason": ("a pending dispute", "a pending dispute"),
        "staging_retention_days": ("3", 3),
        "run_events_retention_days": ("3", 3),
    }
    text, expected = values.get(name, ("121", 121))
    monkeypatch.setenv(f"SMARTMATCH_{name.upper()}", text)

    assert getattr(Settings(), name) == expected


@pytest.mark.parametrize("prefix", ["", "SMARTMATCH_"])
def test_host_and_port_have_the_names_that_every_platform_knows(
    prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{prefix}HOST", "127.0.0.1")
    monkeypatch.setenv(f"{prefix}PORT", "8123")

    settings = Settings()

    assert (settings.host, settings.port) == ("127.0.0.1", 8123)


def test_every_setting_has_a_default_and_is_described() -> None:
    for name, field in Settings.model_fields.items():
        assert not field.is_required(), name
        assert field.description, name
        assert field.description.endswith("."), name
        assert len(field.description) < 98, name


def test_a_number_names_its_unit() -> None:
    units = (
        "byte",
        "event",
        "request",
        "second",
        "hour",
        "day",
        "subject",
        "decision",
        "port",
        "seed",
    )

    for name, field in Settings.model_fields.items():
        if field.annotation in (int, float):
            assert any(unit in str(field.description).lower() for unit in units), name


def test_settings_cannot_be_changed_once_they_are_read() -> None:
    settings = Settings()

    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("SMARTMATCH_MAX_BODY_BYTES", "10"),
        ("SMARTMATCH_MAX_BATCH_EVENTS", "0"),
        ("SMARTMATCH_HEADER_TIMEOUT_SECONDS", "0"),
        ("SMARTMATCH_CONSENT_STALENESS_SECONDS", "6"),
        ("SMARTMATCH_EVENTS_RETENTION_DAYS", "396"),
        ("SMARTMATCH_METRICS_RETENTION_DAYS", "761"),
        ("SMARTMATCH_REJECTED_RETENTION_DAYS", "31"),
        ("SMARTMATCH_STAGING_RETENTION_DAYS", "8"),
        ("SMARTMATCH_LOGS_RETENTION_DAYS", "181"),
        ("SMARTMATCH_TRAINING_DAYS", "396"),
        ("SMARTMATCH_RUN_EVENTS_RETENTION_DAYS", "8"),
        ("SMARTMATCH_SMALLEST_GROUP", "1"),
        ("SMARTMATCH_NOTICE_VERSION", "../secret"),
        ("SMARTMATCH_MODEL_NAME", "a/b"),
        ("SMARTMATCH_SEED", "-1"),
    ],
)
def test_a_value_out_of_bounds_is_refused(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(ValidationError):
        Settings()


@pytest.mark.parametrize("name", sorted(RETENTION_CEILINGS))
def test_a_longer_retention_needs_a_reason(name: str) -> None:
    most = RETENTION_CEILINGS[name]
    assert Settings.model_fields[name].default == most
    assert getattr(Settings.model_validate({name: most}), name) == most
    for reason in ("", "  ", ".", "\u200b", "\u00a0\u2060", "\u3164"):
        with pytest.raises(ValidationError, match=f"{name} must be at most {most}"):
            Settings.model_validate({name: most + 1, "retention_reason": reason})

    kept = Settings.model_validate({name: most + 1, "retention_reason": "a pending dispute"})

    assert getattr(kept, name) == most + 1


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("private_budget_epsilon", 1.01, "at most 1.0"),
        ("private_period_days", 364, "at least 365"),
    ],
)
def test_a_larger_or_shorter_budget_of_noise_needs_a_reason(
    name: str, value: float, rule: str
) -> None:
    for reason in (None, "\u200b"):
        with pytest.raises(ValidationError, match=f"{name} must be {rule}"):
            Settings.model_validate({name: value, "retention_reason": reason})

    kept = Settings.model_validate({name: value, "retention_reason": "a study of two months"})
    assert getattr(kept, name) == value


def test_a_smaller_group_needs_a_reason() -> None:
    for reason in (None, " "):
        with pytest.raises(ValidationError, match="smallest_group must be at least 10"):
            Settings(smallest_group=9, retention_reason=reason)

    assert Settings(smallest_group=9, retention_reason="a pilot of one school").smallest_group == 9


def test_the_password_of_the_database_is_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMARTMATCH_DATABASE_URL", "postgresql+psycopg://u:hunter2@localhost/x")
    settings = Settings()

    shown = [repr(settings), str(settings), repr(settings.url), settings.model_dump_json()]

    assert not [text for text in shown if "hunter2" in text]
    assert "hunter2" in settings.url.get_secret_value()


def test_all_that_is_written_lies_under_the_home(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)

    assert settings.url.get_secret_value() == f"sqlite:///{tmp_path}/data/smartmatch.db"
    assert settings.keys == tmp_path / "data" / "keys"
    assert settings.artifacts == tmp_path / "mlruns" / "artifacts"
    assert settings.tracking_uri == f"sqlite:///{tmp_path}/mlruns/mlflow.db"


def test_a_relative_home_is_the_same_place_after_the_directory_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings(home=Path("here"))
    monkeypatch.chdir("/")

    assert settings.home == tmp_path / "here"


def test_an_empty_variable_is_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMARTMATCH_DATABASE_URL", "")
    monkeypatch.setenv("PORT", "")

    settings = Settings()

    assert (settings.database_url, settings.port) == (None, 8001)


if __name__ == "__main__":
    EXAMPLE.write_text(render(), encoding="utf-8")
