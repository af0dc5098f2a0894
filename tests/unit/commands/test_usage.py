"""A mistyped command names the parameter and the rule, and nothing that was typed."""

from __future__ import annotations

import errno

import pytest
from click.testing import CliRunner

from cli import main
from commands.shared import EXIT_TRY_AGAIN

TYPED = "camille@example.org"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (f"metrics {TYPED}", "it is not one of 'acceptance', 'satisfaction'"),
        (f"report --days {TYPED}", "'--days': it is not a valid integer"),
        (f"report --days={TYPED}", "'--days': it is not a valid integer"),
        (f"restore {TYPED}", "Path does not exist."),
        (f"rejected replay {TYPED}", "it is not a valid integer."),
        (f"keys create --name a --scope {TYPED}", "'--scope': it is not one of 'ingest'"),
        (f"erase {TYPED}", "Got unexpected extra argument."),
        (f"erase {TYPED} {TYPED}", "Got unexpected extra arguments."),
        (f"erase --user={TYPED}", "No such option. Did you mean '--user-id'?"),
        (f"erase --{TYPED}", "No such option."),
        (f"--{TYPED}", "No such option."),
        (TYPED, "No such command."),
        (f"consent {TYPED}", "No such command."),
        ("erase --user-id", "Option '--user-id' requires an argument."),
        (f"process --json={TYPED}", "Option '--json' does not take a value."),
    ],
)
def test_usage_error_names_the_rule_and_not_what_was_typed(command: str, said: str) -> None:
    run = CliRunner().invoke(main, command.split())

    assert run.exit_code == 2
    assert said in run.output
    assert TYPED not in run.output


def test_number_out_of_its_range_is_not_repeated() -> None:
    run = CliRunner().invoke(main, ["report", "--days", "0612345678"])

    assert "'--days': it is not in the range" in run.output
    assert "612345678" not in run.output


@pytest.mark.parametrize("command", ["release --epsilon nan", "pseudonym-keys rotate --after nan"])
def test_what_is_no_number_lies_in_no_range(command: str) -> None:
    run = CliRunner().invoke(main, command.split())

    assert run.exit_code == 2
    assert "it is not a number" in run.output


def test_near_name_of_a_command_is_offered() -> None:
    assert "Did you mean 'retrain'?" in CliRunner().invoke(main, ["retrian"]).output


def test_a_server_of_prefect_that_does_not_start_is_one_line_and_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(**_: object) -> None:
        raise RuntimeError("Timed out while attempting to connect to ephemeral Prefect API server.")

    monkeypatch.setattr(main.commands["audit"], "callback", fail)
    done = CliRunner().invoke(main, ["audit"])

    assert done.exit_code == EXIT_TRY_AGAIN
    assert done.output.splitlines() == [
        "smartmatch: Prefect's server did not start; what it says is above"
    ]


def test_an_error_that_nobody_foresaw_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise RuntimeError("dictionary changed size during iteration")

    monkeypatch.setattr(main.commands["audit"], "callback", fail)

    assert isinstance(CliRunner().invoke(main, ["audit"]).exception, RuntimeError)


@pytest.mark.parametrize("name", ["smartmatch.db", TYPED])
def test_what_the_disk_refuses_is_one_line_without_what_was_typed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", f"/somewhere/{name}")

    monkeypatch.setattr(main.commands["search"], "callback", fail)
    done = CliRunner().invoke(main, ["search", "--user-id", TYPED])

    assert done.exit_code == EXIT_TRY_AGAIN
    file = "" if name == TYPED else f" ({name})"
    assert done.output.splitlines() == [f"smartmatch: No space left on device{file}"]
