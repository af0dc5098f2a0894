"""The page as HTML: what was read is shown, whoever named it, and nothing is fetched."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from cli import main
from dashboard.charts import CROSS
from dashboard.language import Language
from dashboard.page import policy, render
from schemas.settings import CHECKOUT, Settings
from tests.furnished import HOSTILE, Size, furnish
from warehouse.engine import connect, create_tables
from warehouse.figures import read_figures
from warehouse.keyfile import make_ring

if TYPE_CHECKING:
    from pathlib import Path

SMALL = Size(people=24, days=12, matches_a_day=10, constraints=("distance", HOSTILE[:64]))
VOID = {"meta", "link", "line", "path", "rect", "input", "br"}


class Read(HTMLParser):
    """What a browser would make of a page, strictly."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """An installation on SQLite with some weeks in it."""
    settings = Settings(home=tmp_path_factory.mktemp("home"))
    engine = connect(settings.url)
    create_tables(engine)
    furnish(engine, SMALL)
    engine.dispose()
    make_ring(settings.keys, 0)
    return settings


def figures_of(settings: Settings, *, published: bool, days: int = 30) -> dict[str, Any]:
    engine = connect(settings.url)
    found = read_figures(engine, settings, days, datetime.now(UTC), published=published)
    engine.dispose()
    return found


@pytest.fixture(scope="module")
def exact(home: Settings) -> dict[str, Any]:
    return figures_of(home, published=False)


@pytest.mark.parametrize("code", ["en", "fr"])
@pytest.mark.parametrize("published", [False, True])
def test_page_is_well_formed_and_fetches_nothing(
    home: Settings, code: str, published: bool
) -> None:
    page = Read(render(figures_of(home, published=published), code, linked=True))
    tags = {tag for tag, _ in page.seen}

    assert not tags & {"script", "img", "iframe", "object", "form", "base", "image", "use"}
    for tag, attributes in page.seen:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        for name in ("href", "src"):
            value = attributes.get(name) or ""
            assert (
                value.startswith(("?days=", "#", "data:,", "dashboard/validation?")) or not value
            ), (tag, value)
    assert dict(page.seen)["html"]["lang"] == code


def test_landmarks_headings_and_tables_are_there_for_those_who_do_not_see(
    exact: dict[str, Any],
) -> None:
    page = Read(render(exact, "en", linked=True))
    tags = [tag for tag, _ in page.seen]

    assert (tags.count("main"), tags.count("header"), tags.count("footer")) == (1, 1, 1)
    assert tags.count("h1") == 1
    assert [one for one in tags if one in {"h1", "h2", "h3"}][:3] == ["h1", "h2", "h3"]
    for tag, attributes in page.seen:
        if tag == "svg":
            assert attributes["role"] == "img"
            assert attributes["aria-label"]
        if tag == "nav":
            assert attributes["aria-label"]
        if tag == "th":
            assert attributes["scope"] in {"row", "col"}
    # Each chart stands there twice, wide and narrow, and has one table.
    assert tags.count("svg") == 2 * tags.count("details")
    identifiers = [attributes["id"] for _, attributes in page.seen if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))


def test_hostile_name_is_shown_as_it_is_where_it_can_be_seen(exact: dict[str, Any]) -> None:
    html = render(exact, "en", linked=True)

    assert "<script" not in html
    assert "\u202e" not in html
    shown = HOSTILE[:64].replace("\u202e", "\ufffd")
    assert shown in Read(html).texts


@pytest.mark.parametrize("code", ["en", "fr"])
def test_figures_are_those_that_were_read(exact: dict[str, Any], code: str) -> None:
    language = Language(code)
    texts = " ".join(Read(render(exact, code, linked=True)).texts)

    acceptance = exact["acceptance"]
    assert language.percent(acceptance["acceptance_rate"]) in texts
    assert language.number(acceptance["total_decided"]) in texts
    for one in exact["models"]["models"].values():
        assert language.percent(one["acceptance"]["value"]) in texts
    for step in exact["funnel"]["steps"].values():
        assert language.number(step["count"]) in texts
    for one in exact["constraints"]["constraints"].values():
        assert language.signed(one["correlation"]) in texts
        assert language.percent(one["shadow_price"]["cost"]) in texts


def test_published_page_shows_no_count_of_events_or_people_that_is_exact(home: Settings) -> None:
    exact, published = (figures_of(home, published=flag) for flag in (False, True))
    page = " ".join(Read(render(published, "en", linked=True)).texts)

    assert exact["privacy"]["people"] == 24
    assert "20 or more" in page
    assert "fewer than 10" in page
    assert exact["quality"]["rejected"]["rating_follows_acceptance"] == 4
    assert "rating_follows_acceptance" not in page
    assert "Published figures" in page
    assert "Exact figures" in " ".join(Read(render(exact, "en", linked=True)).texts)


def test_figure_that_no_block_tells_is_said_to_be_left_out(home: Settings) -> None:
    published = figures_of(home, published=True)
    assert published["acceptance"]["window"]["since"] is not None
    for one in published["constraints"]["constraints"].values():
        one["bands"] = [band | {"rate": None} for band in one["bands"]]
    page = render(published, "en", linked=True)

    panel = page[page.index('id="panel-bands"') :].partition("</article>")[0]
    assert "fewer than 10 people stand behind a part of it" in panel
    assert "most telling" not in panel
    assert "<svg" not in panel


@pytest.mark.parametrize("code", ["en", "fr"])
def test_one_is_singular_and_no_form_is_left_to_choose(home: Settings, code: str) -> None:
    for published in (False, True):
        found = figures_of(home, published=published)
        found["acceptance"] |= {"total_decided": 1, "acceptance_interval": [0.2, 1.0]}
        found["acceptance"]["mutual"]["rate"] = {"value": 1, "lower": 0.2, "upper": 1, "count": 1}
        stars = {"1": 0, "2": 0, "3": 0, "4": 0, "5": 1}
        found["satisfaction"] |= {
            "avg_rating": 5.0,
            "rating_interval": [1.0, 5.0],
            "rating_counts": stars,
        }
        texts = Read(render(found, code, linked=True)).texts

        assert not [text for text in texts if re.search(r"\[[^|\]]*\|", text)]
        wanted = {"en": ("1 decision", "1 rating"), "fr": ("1 décision", "1 note")}[code]
        for one in wanted:
            assert any(text.endswith(f" · {one}") for text in texts), one


def test_last_erasure_is_a_row_of_the_flows_and_masked_where_figures_are_published(
    home: Settings,
) -> None:
    found = figures_of(home, published=False)
    found["loop"]["flows"]["erase_subject"] = "2026-11-25T16:05:59+00:00"

    def last(figures: dict[str, Any]) -> str:
        page = render(figures, "en", linked=True).partition('id="panel-flows"')[2]
        return page.partition("Erase a person, on request</th><td>")[2].partition("<")[0]

    assert last(found) == "25 Nov 2026, 16:05 UTC"
    found["loop"]["flows"]["erase_subject"] = None
    assert last(found) == "not yet"
    assert last(figures_of(home, published=True)) == "masked"


def test_header_says_how_long_the_window_is_and_what_of_it_is_published(home: Settings) -> None:
    published = figures_of(home, published=True)
    head = render(published, "en", linked=True).partition("</header>")[0]
    day = Language("en").day

    since, until = day(published["acceptance"]["window"]["since"]), day(published["last_day"])
    said = f"Window of 30 days; what is published of it lies between {since} and {until}"
    assert said in head


@pytest.mark.parametrize(("code", "said"), [("en", "masked"), ("fr", "masqué")])
def test_masked_figure_is_said_to_be_and_a_zero_is_a_zero(
    home: Settings, code: str, said: str
) -> None:
    published = figures_of(home, published=False) | {"published": True}
    first, *_ = published["constraints"]["constraints"].values()
    first |= {"sample_size": None, "correlation": None, "correlation_interval": None}
    count = {"decided": None, "accepted": None, "rate": None}
    first["bands"][0] |= {"decided": 0, "accepted": 0, "rate": None}
    first["bands"][1] |= count
    published["trend"]["points"][0] |= {"decided": None, "accepted": None, "acceptance": None}
    next(iter(published["models"]["models"].values())).update(count, acceptance=None)
    published["funnel"]["steps"]["completed"] |= {"count": None, "rate": None}
    published["acceptance"]["mutual"] |= {"count": None, "of": None, "rate": None}
    page = render(published, code, linked=True)

    def cells(panel: str, row: int) -> list[str]:
        part = page[page.index(f'id="panel-{panel}"') :].partition("</article>")[0]
        found = re.findall(r"<tr><th scope=\"row\">.*?</tr>", part, flags=re.DOTALL)[row]
        return re.findall(r"<td>(.*?)</td>", found)

    assert cells("correlation", 0)[:3] == [said] * 3
    assert cells("bands", 0)[1:] == ["—", "—", "0", "0"]
    assert cells("bands", 1)[1:] == [said] * 4
    assert cells("trend", 0)[:4] == [said] * 4
    assert any(cells("models", row)[:4] == [said] * 4 for row in range(3))
    assert cells("funnel", 5) == [said] * 4
    assert f'<div class="figure words">{said}</div>' in page
    assert page.count(f">{CROSS}</text>") == 4


@pytest.mark.parametrize(
    ("code", "title"),
    [
        ("en", "Days on which each measure had moved"),
        ("fr", "Jours où chaque mesure"),
    ],
)
def test_published_page_shows_of_drift_the_verdicts_alone(
    home: Settings, code: str, title: str
) -> None:
    published = figures_of(home, published=True)
    page = render(published, code, linked=True)

    panel = page[page.index('id="panel-drift"') :].partition("</article>")[0]
    assert title in panel
    days = {
        len(days)
        for measures in published["drift"]["features"].values()
        for days in measures.values()
    }
    assert f" / {days.pop()}</text>" in panel
    assert not re.search(r"\d[.,]\d\d", panel.partition("<table")[2])


def test_policy_allows_the_style_of_the_page_and_nothing_else(exact: dict[str, Any]) -> None:
    page = render(exact, "en", linked=True)
    style = re.search(r"<style>(.*?)</style>", page, flags=re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()

    assert f"style-src 'sha256-{digest}';" in policy()
    assert "unsafe" not in policy()
    assert policy().startswith("default-src 'none';")


def test_empty_installation_says_what_to_do(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    engine = connect(settings.url)
    create_tables(engine)
    engine.dispose()

    for published in (False, True):
        for code in ("en", "fr"):
            Read(render(figures_of(settings, published=published), code, linked=True))
    page = render(figures_of(settings, published=False), "en", linked=False)
    assert page.count("Not enough data yet") >= 8
    assert "<code>smartmatch process</code>" in page
    assert "<svg" not in page


def test_colours_can_be_told_from_their_ground() -> None:
    css = (CHECKOUT / "dashboard" / "page.css").read_text(encoding="utf-8")
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", css))

    for ink in ("ink", "soft", "blue", "amber"):
        for ground in ("paper", "ground"):
            assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)


NO_MARKS = {"text", ".axis", ".told", ".label", ".grid"}
"""Words, which have a test of their own, and lines that carry no figure."""


def test_marks_can_be_told_from_their_ground_on_screen_and_paper() -> None:
    css = (CHECKOUT / "dashboard" / "page.css").read_text(encoding="utf-8")
    named = {f"var(--{name})": colour for name, colour in re.findall(r"--(\w+): (#\w{6})", css)}
    marks: dict[str, dict[str, str]] = {}
    for name, rule in re.findall(r"svg ([\w.]+) \{([^}]*)\}", css):
        if name not in NO_MARKS:
            inherited = marks.get(name.removesuffix(".marked"), {})
            marks[name] = inherited | dict(re.findall(r"(fill|stroke): ([^;]+);", rule))

    assert {"bar", "bar.marked", "band", "count", "curve", "point", "interval"} <= {
        name.removeprefix(".") for name in marks
    }
    for name, colours in marks.items():
        shown = [named.get(one, one) for one in colours.values() if one != "none"]
        # WCAG 2.2, 1.4.11: the fill or the outline.
        assert max(contrast(one, named["var(--paper)"]) for one in shown) >= 3, name
    assert "svg ." not in css.partition("@media print")[2]
    assert ".panel { background: var(--paper);" in css


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, by WCAG 2.2."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("code", ["en", "fr"])
def test_report_is_one_file_of_published_figures_alone(
    home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    monkeypatch.setenv("SMARTMATCH_HOME", str(home.home))
    file = tmp_path / "report.html"

    done = CliRunner().invoke(main, ["report", "--days", "30", "--out", str(file), "--lang", code])

    assert done.exit_code == 0, done.output
    page = Read(file.read_text(encoding="utf-8"))
    assert dict(page.seen)["html"]["lang"] == code
    assert not [one for _, one in page.seen if (one.get("href") or "").startswith("?")]
    published = figures_of(home, published=True)["acceptance"]
    exact = figures_of(home, published=False)["acceptance"]
    texts = " ".join(page.texts)
    write = Language(code).number
    assert published["total_decided"] < exact["total_decided"]
    assert f" {write(published['total_decided'])} " in f" {texts} "


def test_report_that_cannot_be_written_is_one_line(
    home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMARTMATCH_HOME", str(home.home))

    done = CliRunner().invoke(main, ["report", "--out", str(tmp_path / "no" / "report.html")])

    assert done.exit_code == 75
    assert "cannot be written" in done.output
