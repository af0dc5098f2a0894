"""The dashboard in a real browser: the API's figures, on any width, alone, in two languages."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest
from click.testing import CliRunner

from cli import main
from dashboard.language import Language
from schemas.clock import micros
from schemas.settings import Settings
from tests.browsing import Browser, browser
from tests.furnished import HOSTILE, Size, furnish
from tests.serving import server_of
from warehouse.api_keys import Scope, create
from warehouse.engine import connect, create_tables
from warehouse.keyfile import make_ring
from warehouse.validations import Checked, directory, record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WIDTHS = (360, 1_440)
MANY = ("preferred_distance_to_a_workplace_in_minutes_by_bicycle_or_on_fo", "W" * 64)
SIZE = Size(
    people=30,
    days=20,
    matches_a_day=12,
    constraints=("distance", HOSTILE[:64], *MANY),
    versions=("", "1", "a-version-with-a-name-that-is-as-long-as-a-version-s-may-be:rc1"),
)


class Shown(NamedTuple):
    """A running server with something to show, and a key of each kind."""

    settings: Settings
    port: int
    keys: dict[str, str]

    def address(self, scope: str, query: str = "") -> str:
        """Return the page's address as whoever holds a key types it in."""
        # Each has a name of its own: a browser keeps one password for a name.
        host = {"admin": "127.0.0.1", "metrics": "localhost"}[scope]
        return f"http://reader:{self.keys[scope]}@{host}:{self.port}/dashboard{query}"

    def validation(self, query: str = "") -> str:
        """Return the address of the page of validation over time."""
        return self.address("admin", f"/validation{query}")

    def figures(self, scope: str, name: str, days: int = 30) -> dict[str, Any]:
        """Ask the API."""
        answer = httpx.get(
            f"http://127.0.0.1:{self.port}/api/metrics/{name}",
            params={"days": days},
            headers={"x-api-key": self.keys[scope]},
        )
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(scope="module")
def shown(page: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    home = tmp_path_factory.mktemp("shown")
    settings = Settings(home=home)
    engine = connect(settings.url)
    create_tables(engine)
    make_ring(settings.keys, 0)
    furnish(engine, SIZE)
    now = datetime.now(UTC)
    looked = Checked("staged_events", 4_321, (HOSTILE, "rating: must be there"), {HOSTILE: 4_017})
    record(directory(settings), micros(now), [looked])
    keys = {
        scope.value: create(engine, settings.keys, scope, {scope}, now)[1]
        for scope in (Scope.ADMIN, Scope.METRICS)
    }
    engine.dispose()
    with server_of(settings, home / "server.log") as server:
        yield Shown(settings, server.port, keys)


@pytest.fixture(autouse=True)
def _as_it_was(page: Browser) -> None:
    page.accept("en")
    page.resize(1_440)


@pytest.mark.parametrize("code", ["en", "fr"])
@pytest.mark.parametrize("scope", ["admin", "metrics"])
def test_page_shows_the_figures_that_the_api_gives(
    page: Browser, shown: Shown, scope: str, code: str
) -> None:
    language = Language(code)
    page.accept(f"{code}, de;q=0.5")
    page.open(shown.address(scope))

    assert page.run("return document.documentElement.lang") == code
    acceptance = shown.figures(scope, "acceptance")
    tile = page.run("return document.querySelector('.tiles li').innerText")
    assert language.percent(acceptance["acceptance_rate"]) in tile
    assert language.number(acceptance["total_decided"]) in tile
    funnel = shown.figures(scope, "funnel")["steps"]
    assert [row[3] for row in page.table("funnel")] == [
        language.count(step["count"]) for step in funnel.values()
    ]
    models = shown.figures(scope, "models")["models"]
    assert sorted(row[0] for row in page.table("models")) == sorted(
        name or language.say("own_score") for name in models
    )
    constraints = shown.figures(scope, "constraints")["constraints"]
    told = {row[0]: row[1:4] for row in page.table("correlation")}
    assert told["distance"] == [
        language.signed(constraints["distance"]["correlation"]),
        language.span(*map(language.signed, constraints["distance"]["correlation_interval"])),
        language.count(constraints["distance"]["sample_size"]),
    ]
    trend = shown.figures(scope, "trend")["points"]
    assert [row[4] for row in page.table("trend")] == [
        language.count(one["decided"]) for one in trend
    ]


def test_who_may_see_what_is_said_and_kept_to(page: Browser, shown: Shown) -> None:
    page.open(shown.address("admin"))
    exact = page.run("return document.body.innerText")
    page.open(shown.address("metrics"))
    published = page.run("return document.body.innerText")

    assert "Exact figures." in exact
    assert "rating_follows_acceptance" in exact
    assert "Published figures." in published
    assert "rating_follows_acceptance" not in published
    decided = {
        scope: shown.figures(scope, "acceptance")["total_decided"] for scope in ("admin", "metrics")
    }
    assert 0 < decided["metrics"] < decided["admin"]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("code", ["en", "fr"])
def test_page_fits_its_screen_is_silent_and_alone(
    page: Browser, shown: Shown, width: int, code: str
) -> None:
    page.resize(width)
    page.open(shown.address("admin", f"?days=90&lang={code}"))
    page.run("for (const one of document.querySelectorAll('details')) one.open = true")

    assert page.overflow() == 0
    charts = page.run(
        "return [...document.querySelectorAll('svg')].map(one => one.getBoundingClientRect())"
        ".filter(box => box.width > 0).map(box => [box.left, box.right, box.height])"
    )
    assert len(charts) >= 8
    assert all(left >= 0 and right <= width and height > 30 for left, right, height in charts)
    cut = page.run(
        "return [...document.querySelectorAll('.scroll')].filter(one => "
        "one.querySelectorAll('thead th').length <= 2 && one.scrollWidth > one.clientWidth)"
        ".map(one => one.textContent)"
    )
    assert cut == []
    assert_silent_and_alone(page, shown)


WRITTEN_OVER = """
const found = [];
for (const svg of document.querySelectorAll('svg')) {
  const room = svg.getBoundingClientRect();
  if (room.width === 0) continue;
  const texts = [...svg.querySelectorAll('text')].map(
    one => [one.firstChild.textContent, one.getBoundingClientRect()]);
  texts.forEach(([words, box], place) => {
    if (box.left < room.left - 0.5 || box.right > room.right + 0.5) found.push(words);
    for (const [other, next] of texts.slice(place + 1)) {
      if (box.left < next.right - 0.5 && next.left < box.right - 0.5
          && box.top < next.bottom - 4 && next.top < box.bottom - 4) found.push([words, other]);
    }
  });
}
return found;
"""


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("code", ["en", "fr"])
def test_no_word_of_a_chart_is_cut_off_or_written_over_another(
    page: Browser, shown: Shown, width: int, code: str
) -> None:
    page.resize(width)
    page.open(shown.address("admin", f"?days=90&lang={code}"))

    assert page.run(WRITTEN_OVER) == []


def assert_silent_and_alone(page: Browser, shown: Shown) -> None:
    """No complaint in the console, and no request but to the server of the page."""
    asked, complaints = page.reports()
    assert complaints == []
    found = [urlsplit(one) for one in asked if not one.startswith("data:")]
    assert {(one.hostname, one.port) for one in found} == {("127.0.0.1", shown.port)}


@pytest.mark.parametrize("width", WIDTHS)
def test_validation_over_time_fits_its_screen_is_silent_and_alone(
    page: Browser, shown: Shown, width: int
) -> None:
    language = Language("fr")
    page.resize(width)
    page.open(shown.validation("?days=90&lang=fr"))

    assert page.run("return document.documentElement.lang") == "fr"
    assert page.overflow() == 0
    assert page.table("staged_events-rules")[0][1] == language.number(4_017)
    assert_silent_and_alone(page, shown)


def test_policy_holds_on_validation_over_time_and_its_rules_are_not_obeyed(
    page: Browser, shown: Shown
) -> None:
    page.open(shown.validation())
    rules = [row[0] for row in page.table("staged_events-rules")]
    page.run(
        "const one = document.createElement('script'); one.textContent = 'window.ran = true';"
        "document.body.append(one)"
    )

    assert HOSTILE.replace("\u202e", "\ufffd") in rules
    assert page.run("return window.ran") is None
    assert [one for one in page.reports()[1] if "script-src" in one or "default-src" in one]


def test_policy_stops_what_the_page_does_not_bring(page: Browser, shown: Shown) -> None:
    page.open(shown.address("admin"))
    page.run(
        "const one = document.createElement('div'); one.setAttribute('style', 'color: red');"
        "document.body.append(one); const two = document.createElement('script');"
        "two.textContent = 'window.ran = true'; document.body.append(two);"
        "const three = new Image(); three.src = '/favicon.ico'; document.body.append(three)"
    )

    _, complaints = page.reports()
    for directive in ("style-src", "script-src", "img-src"):
        assert [one for one in complaints if directive in one or "default-src" in one], directive
    assert page.run("return window.ran") is None


def test_hostile_names_are_shown_and_not_obeyed(page: Browser, shown: Shown) -> None:
    page.open(shown.address("admin"))

    names = [row[0] for row in page.table("correlation")]
    assert HOSTILE[:64].replace("\u202e", "\ufffd") in names
    assert page.run("return document.querySelectorAll('script').length") == 0


def test_everything_is_reached_by_keyboard_and_shows_where_it_is(
    page: Browser, shown: Shown
) -> None:
    page.open(shown.address("admin"))
    reached = []
    for _ in range(24):
        page.driver.switch_to.active_element.send_keys("\ue004")
        reached.append(
            page.run(
                "const one = document.activeElement, style = getComputedStyle(one);"
                "const box = one.getBoundingClientRect();"
                "return [one.tagName, one.className, style.outlineStyle,"
                " parseFloat(style.outlineWidth), box.width > 0 && box.left >= 0]"
            )
        )

    assert reached[0][1] == "skip"
    assert {"A", "SUMMARY"} <= {tag for tag, *_ in reached}
    for tag, _, outline, wide, visible in reached:
        assert (outline, wide >= 2, visible) == ("solid", True, True), tag


def test_links_lead_to_other_windows_and_the_other_language(page: Browser, shown: Shown) -> None:
    page.open(shown.address("metrics"))
    page.driver.find_element("link text", "90 days").click()
    page.driver.find_element("link text", "Français").click()

    current = page.run(
        "return [...document.querySelectorAll('[aria-current]')].map(one => one.textContent)"
    )
    assert current == ["90 jours", "Français"]


def test_printed_page_is_whole(page: Browser, shown: Shown) -> None:
    page.open(shown.address("admin"))
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    page.resize(718)
    try:
        overflow = page.overflow()
        hidden = page.run(
            "return [...document.querySelectorAll('.choices, .jump, .narrow')]"
            ".filter(one => one.getBoundingClientRect().height > 0).length"
        )
        closed = page.run(
            "return [...document.querySelectorAll('details:not([open]) table')]"
            ".map(one => one.checkVisibility() && one.getBoundingClientRect().height)"
        )
    finally:
        page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})

    assert overflow == 0
    assert hidden == 0
    assert len(closed) >= 8
    assert min(closed) > 30


@pytest.mark.parametrize("width", WIDTHS)
def test_report_opens_without_a_server(
    page: Browser, shown: Shown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("SMARTMATCH_HOME", str(shown.settings.home))
    file = tmp_path / "report.html"
    done = CliRunner().invoke(main, ["report", "--out", str(file), "--lang", "fr"])
    assert done.exit_code == 0, done.output
    page.resize(width)
    page.open(file.as_uri())

    published = shown.figures("metrics", "acceptance")
    text = page.run("return document.body.innerText")
    assert Language("fr").percent(published["acceptance_rate"]) in text
    assert page.overflow() == 0
    asked, complaints = page.reports()
    assert complaints == []
    assert [one for one in asked if not one.startswith(("file:", "data:"))] == []
