"""What the template lays out: sections of panels, each a caption, a chart and its table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dashboard.charts import NARROW, WIDE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from markupsafe import Markup

    from dashboard.language import Language


@dataclass(frozen=True)
class Table:
    """Figures as text; the first column names the rows, the others are aligned right."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Panel:
    """One figure of the page.

    Attributes:
        key: Names it, for links and tests.
        title: What it is.
        caption: What it means, and on what it stands.
        table: Its figures.
        charts: The same drawn wide and narrow; none where the table is enough.
        empty: Said in place of a chart where there is nothing to draw.
        broad: Whether it takes the whole width, its table beside its chart.
    """

    key: str
    title: str
    caption: str
    table: Table
    charts: tuple[Markup, Markup] | None = None
    empty: str = ""
    broad: bool = False


@dataclass(frozen=True)
class Section:
    """A heading with its panels."""

    key: str
    title: str
    intro: str
    panels: tuple[Panel, ...] = field(default_factory=tuple)


@dataclass(frozen=True)
class Tile:
    """One number to begin with."""

    label: str
    value: str
    detail: str
    marked: bool = False


def both(draw: Callable[[float], Markup]) -> tuple[Markup, Markup]:
    """Draw a chart for a wide screen or paper, and for a narrow screen."""
    return draw(WIDE), draw(NARROW)


def masks(figures: Mapping[str, Any]) -> bool:
    """Tell whether blocks are published, so that what is not there was left out of them."""
    return figures["published"] and figures["acceptance"]["window"]["since"] is not None


def missing(figures: Mapping[str, Any], language: Language) -> str:
    """Say what has to happen before there is something to draw."""
    if masks(figures):
        return language.say("too_few", k=language.number(figures["k"]))
    if figures["published"]:
        return language.say("no_block", k=language.number(figures["k"]))
    return language.say("no_decisions")


def more_in_table(shown: int, everything: int, language: Language) -> str:
    """Say that a chart draws some of its rows."""
    told, of = language.number(shown), language.number(everything)
    return language.say("more_in_table", number=shown, shown=told, all=of)


def rounded(language: Language, count: int, unit: int) -> str:
    """Write a count that is exact (``unit`` 1) or rounded down to multiples of ``unit``."""
    if unit == 1:
        return language.number(count)
    if count == 0:
        return language.say("fewer", count=language.number(unit))
    return language.say("at_least", count=language.number(count))
