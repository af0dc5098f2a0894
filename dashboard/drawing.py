"""Pieces of SVG: every text and attribute escaped, every colour a class of the style sheet."""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_NARROW_SIGNS, _WIDE_SIGNS = frozenset("ijlIftr.,:;'|! ()[]/\u202f"), frozenset("WMm@%\u2014\u2026")
_NARROW_SIGN, _SIGN, _CAPITAL, _WIDE_SIGN = 5.0, 7.7, 9.5, 12.0
"""Widths of signs in the widest of the common fonts, units of the drawing at its text size."""

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass
class Drawing:
    """An SVG under way; coordinates in units, which are pixels where there is room.

    Attributes:
        width: Of the drawing.
        height: Of the drawing.
        title: What it shows, for those who do not see it.
    """

    width: float
    height: float
    title: str
    parts: list[Markup] = field(default_factory=list)

    def line(self, start: tuple[float, float], end: tuple[float, float], kind: str) -> None:
        """Draw a straight line."""
        (x1, y1), (x2, y2) = start, end
        self._add('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>', kind, x1, y1, x2, y2)

    def path(self, points: Sequence[tuple[float, float]], kind: str, *, closed: bool) -> None:
        """Draw a line through points, or the area that they enclose."""
        route = " L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        self._add('<path class="{}" d="M{}"/>', kind, route + (" Z" if closed else ""))

    def box(self, corner: tuple[float, float], size: tuple[float, float], kind: str) -> None:
        """Draw a rectangle."""
        (x, y), (width, height) = corner, size
        self._add(
            '<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>',
            *(kind, x, y, max(width, 0.0), max(height, 0.0)),
        )

    def dot(
        self, centre: tuple[float, float], kind: str, hint: str = "", radius: float = 3
    ) -> None:
        """Draw a point; the hint shows where a mouse rests on it."""
        self._add(
            '<circle class="{}" cx="{}" cy="{}" r="{}"><title>{}</title></circle>',
            *(kind, *centre, radius, hint),
        )

    def label(self, at: tuple[float, float], words: str, room: float) -> None:
        """Write a name, cut to the room that it has; a mouse that rests on it shows all of it."""
        short = shortened(visible(words), room)
        self._add('<text class="label" x="{}" y="{}">{}<title>{}</title></text>', *at, short, words)

    def text(self, at: tuple[float, float], words: str, kind: str, anchor: str = "start") -> None:
        """Write words."""
        self._add(
            '<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text>', kind, *at, anchor, words
        )

    def done(self) -> Markup:
        """Return the SVG."""
        head = Markup('<svg role="img" viewBox="0 0 {:.0f} {:.0f}" width="{:.0f}" aria-label="{}">')
        return (
            head.format(self.width, self.height, self.width, visible(self.title))
            + Markup("").join(self.parts)
            + Markup("</svg>")
        )

    def _add(self, pattern: str, *values: object) -> None:
        shown = (f"{v:.1f}" if isinstance(v, float) else visible(str(v)) for v in values)
        # The pattern is ours; its values are escaped.
        self.parts.append(Markup(pattern).format(*(escape(value) for value in shown)))  # noqa: S704


def visible(text: str) -> str:
    """Show what would not be seen, or would turn the text around, as the replacement sign."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        "\ufffd" if unicodedata.category(sign) in {"Cc", "Cf", "Cs", "Co", "Cn"} else sign
        for sign in text
    )


def width_of(text: str) -> float:
    """Return how wide a text is at most, units of the drawing."""
    return sum(_width(sign) for sign in text)


def _width(sign: str) -> float:
    if sign in _NARROW_SIGNS:
        return _NARROW_SIGN
    if sign in _WIDE_SIGNS or unicodedata.east_asian_width(sign) in {"W", "F"}:
        return _WIDE_SIGN
    return _CAPITAL if sign.isupper() or not sign.isascii() or sign == "w" else _SIGN


def shortened(text: str, room: float) -> str:
    """Cut a label to the room that it has; the table says it in full."""
    if width_of(text) <= room:
        return text
    left = room - width_of("…")
    for place, sign in enumerate(text):
        left -= _width(sign)
        if left < 0:
            return f"{text[:place].rstrip()}…"
    return text


def ticks(lower: float, upper: float, about: int) -> list[float]:
    """Return round numbers that cover a range, about so many."""
    spread = upper - lower
    if spread <= 0:
        return [lower]
    raw = spread / max(about, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in _STEPS if power * factor >= raw * 0.999)
    first = math.ceil(lower / step - 1e-9)
    last = math.floor(upper / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def scale(domain: tuple[float, float], extent: tuple[float, float]) -> Callable[[float], float]:
    """Return what maps a range of figures onto a range of units; beyond it the end stands."""
    (lower, upper), (start, end) = domain, extent
    spread = (upper - lower) or 1.0

    def place(value: float) -> float:
        share = min(1.0, max(0.0, (value - lower) / spread))
        return start + share * (end - start)

    return place
