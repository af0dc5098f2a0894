"""Count trials, and print what each promise came to as a table.

``make test`` makes the trials in a short form, and leaves out those that have none
(``trials(short=0, ...)``); ``make faults`` (``--campaign``) makes all in full.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.flow_runs import FlowRun
from tests.faults.processes import forked
from tests.faults.table import add
from tests.faults.worlds import Worlds
from tests.serving import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from _pytest.terminal import TerminalReporter

DEAREST = (
    "test_consent_races",
    "test_server_death",
    "test_flows_at_once",
    "test_stopped_flows",
    "test_any_order",
    "test_database_death",
    "test_stopped_retrain",
    "test_phone_home",
    "test_poison",
    "test_clocks",
    "test_contract",
)
"""Files of the campaign that take longest, the longest first."""


@dataclass
class Tally:
    """What the trials of one promise came to.

    Attributes:
        promise: The promise, as a sentence.
        planned: How many trials to make.
        full: Whether that is the full size.
        trials: How many were made.
        failures: What broke the promise, a line each.
        mutant_caught: Whether a planted fault was seen; None where this test plants none.
    """

    promise: str
    planned: int
    full: bool = False
    trials: int = 0
    failures: list[str] = field(default_factory=list)
    mutant_caught: bool | None = None

    def count(self, failure: str | None = None, *, trials: int = 1) -> None:
        """Count trials, and what broke the promise in them."""
        self.trials += trials
        if failure:
            self.failures.append(failure)


_TALLY = pytest.StashKey[Tally]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--campaign", action="store_true", help="Run the trials in full size.")


@pytest.fixture
def campaign(request: pytest.FixtureRequest) -> bool:
    """Whether the trials run in full size."""
    return bool(request.config.getoption("--campaign", default=False))


@pytest.fixture
def tally(request: pytest.FixtureRequest, campaign: bool) -> Tally:
    """The tally of the promise that a test's marker names, with as many trials as it says."""
    marker = request.node.get_closest_marker("promise")
    sizes = request.node.get_closest_marker("trials")
    planned = sizes.kwargs["full" if campaign else "short"] if sizes else 1
    counted = Tally(marker.args[0], planned, campaign)
    request.node.stash[_TALLY] = counted
    return counted


@pytest.fixture
def make_worlds(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Worlds]:
    """Make a database in some state, to be copied, on an engine of some kind."""

    def make(kind: str, state: Callable[..., None], *, tables: bool = True) -> Worlds:
        server = request.getfixturevalue("postgres") if kind == "postgresql" else None
        return Worlds(tmp_path, server, state, tables=tables)

    return make


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a Prefect server of this session's own."""
    from deployments import prefect_server  # imports nothing heavy, but is used by few

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_HOME", str(tmp_path_factory.mktemp("prefect")))
        patch.setenv("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
        with prefect_server(f"http://127.0.0.1:{free_port()}/api") as api:
            yield api


@pytest.fixture
def run_flow(tmp_path: Path) -> Callable[..., FlowRun]:
    """Run the steps of a flow in a process of its own, without Prefect."""
    return partial(FlowRun, forked("tests.faults.flow_jobs"), home=tmp_path)


@pytest.fixture
def run_in_prefect(
    prefect_api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., FlowRun]:
    """Run a flow in a process of its own."""
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    return partial(FlowRun, forked("tests.faults.flow_jobs"), home=tmp_path, bare=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    tally = item.stash.get(_TALLY, None)
    if tally is not None and call.when == "call" and not report.skipped:
        # A test that broke off before it counted is a failure all the same.
        failures = len(tally.failures) or int(report.failed)
        row = (tally.promise, tally.trials, failures, tally.mutant_caught, report.duration)
        report.user_properties.append(("promise", list(row)))
    return report


class _Table:
    """Writes the table after each test, so that a campaign that is cut off leaves what it found."""

    def __init__(self) -> None:
        self._told: list[list[Any]] = []
        self._table = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        told = [row for name, row in report.user_properties if name == "promise"]
        if told and report.when == "call":
            self._told += told
            self._table = add(self._told)

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        terminalreporter.section("promises")
        terminalreporter.write_line(self._table)


def pytest_configure(config: pytest.Config) -> None:
    # Workers report to the one process that writes.
    if config.getoption("--campaign", default=False) and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Table())


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let the campaign begin with its longest files, so that no worker ends with one.

    What a file tries on one engine stays with one worker. Without the campaign, leave out what has
    no short form.
    """
    if config.getoption("--campaign", default=False):
        places = {name: place for place, name in enumerate(DEAREST)}
        items.sort(key=lambda item: places.get(item.path.stem, len(DEAREST)))
        for item in items:
            engine = "postgresql" if "postgresql" in item.name else "sqlite"
            item.add_marker(pytest.mark.xdist_group(f"{item.path.stem} {engine}"))
    elif left_out := [item for item in items if _has_no_short_form(item)]:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not _has_no_short_form(item)]


def _has_no_short_form(item: pytest.Item) -> bool:
    sizes = item.get_closest_marker("trials")
    return sizes is not None and sizes.kwargs["short"] == 0
