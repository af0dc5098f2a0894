"""Put the page together: language, links, sections, and the policy that keeps it alone."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from dashboard import learned, outcomes, upkeep, validation
from dashboard.drawing import visible
from dashboard.language import LANGUAGES, Language

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dashboard.views import Section, Tile

WINDOWS = (7, 30, 90)
_HERE = Path(__file__).parent
_NAMES = {"en": "English", "fr": "Français"}
_CODE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class _Link:
    href: str
    label: str
    code: str
    current: bool


@dataclass(frozen=True)
class _Links:
    windows: tuple[_Link, ...]
    languages: tuple[_Link, ...]
    other: _Link


@dataclass(frozen=True)
class _Page:
    """What differs from page to page."""

    title: str
    heading: str
    covers: str
    foot: str
    links: _Links | None
    tiles: tuple[Tile, ...]
    sections: tuple[Section, ...]


def policy() -> str:
    """Return the content security policy of the page: its own style, and nothing else at all."""
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none';"
        " form-action 'none'"
    )


def render(figures: Mapping[str, Any], code: str, *, linked: bool) -> str:
    """Return the page as one HTML document that fetches nothing.

    Args:
        figures: As ``warehouse.figures.read_figures`` gives them.
        code: ``en`` or ``fr``.
        linked: Whether it links to its other windows and languages, as a file cannot.
    """
    language = Language(code)
    sections = (
        outcomes.acceptance(figures, language),
        outcomes.journey(figures, language),
        learned.constraints(figures, language),
        learned.drift(figures, language),
        upkeep.quality(figures, language),
        upkeep.privacy(figures, language),
        upkeep.loop(figures, language),
    )
    page = _Page(
        title=language.say("title"),
        heading=language.say("heading"),
        covers=_covers(figures, language),
        foot=language.say("explained"),
        links=_links(figures["days"], language, "dashboard/validation", "to_validation")
        if linked
        else None,
        tiles=outcomes.tiles(figures, language),
        sections=sections,
    )
    return _fill(page, figures, language)


def render_validation(figures: Mapping[str, Any], code: str) -> str:
    """Return the page of validation over time, which fetches nothing either.

    Args:
        figures: As ``warehouse.validations.read`` gives them.
        code: ``en`` or ``fr``.
    """
    language = Language(code)
    page = _Page(
        title=language.say("validation_title"),
        heading=language.say("validation_heading"),
        covers=language.days(figures["days"]),
        foot=language.say("validation_note"),
        links=_links(figures["days"], language, "../dashboard", "to_figures"),
        tiles=(),
        sections=validation.suites(figures, language),
    )
    return _fill(page, figures, language)


def _fill(page: _Page, figures: Mapping[str, Any], language: Language) -> str:
    published, k = figures["published"], figures["k"]
    told = "published_told" if published else "exact_told"
    text: str = _template().render(
        page=page,
        language=language,
        say=language.say,
        policy=policy(),
        style=Markup(_style()),  # noqa: S704  # our own file
        at=language.moment(figures["as_of"]),
        published=published,
        badge=language.say("published_badge" if published else "exact_badge"),
        told=language.say(told, k=language.number(k)),
    )
    return text


def _covers(figures: Mapping[str, Any], language: Language) -> str:
    window = figures["acceptance"]["window"]
    length = language.days(figures["days"])
    if window["since"] is None:
        return language.say("covers_nothing", length=length)
    since, until = language.day(window["since"]), language.day(figures["last_day"])
    if figures["published"]:
        return language.say("covers_published", length=length, since=since, until=until)
    return f"{length} ({language.say('covers', since=since, until=until)})"


def _links(days: int, language: Language, other: str, phrase: str) -> _Links:
    return _Links(
        tuple(
            _Link(
                f"?days={length}&lang={language.code}",
                language.say("last_days", count=length),
                language.code,
                length == days,
            )
            for length in WINDOWS
        ),
        tuple(
            _Link(f"?days={days}&lang={code}", _NAMES[code], code, code == language.code)
            for code in LANGUAGES
        ),
        _Link(
            f"{other}?days={days}&lang={language.code}",
            language.say(phrase),
            language.code,
            current=False,
        ),
    )


@cache
def _style() -> str:
    return (_HERE / "page.css").read_text(encoding="utf-8").strip()


@cache
def _template() -> Any:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        finalize=_shown,
    )
    environment.filters["spelled"] = _spelled
    environment.filters["has_digit"] = _has_digit
    return environment.get_template("page.html")


def _shown(value: object) -> object:
    """Show signs that are not seen in any text that stands on the page."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _spelled(text: str) -> Markup:
    """Write what stands between backticks as code."""
    # As a plain text: Markup would escape the tags that are put in.
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(visible(text)))))  # noqa: S704


def _has_digit(text: str) -> bool:
    return any(sign.isdigit() for sign in text)
