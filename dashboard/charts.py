"""The charts: a rate over time, intervals row by row, and small ones by band."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from dashboard.drawing import Drawing, scale, ticks, width_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from markupsafe import Markup

WIDE, NARROW = 560.0, 300.0
"""Widths in which every chart is drawn: the style sheet shows the one that fits."""

CROSS = "\u00d7"
"""Stands where a figure is masked."""

_PLOT_TOP, _AXIS, _COUNTS = 12.0, 22.0, 26.0
_ROW_WIDE, _ROW_NARROW = 26.0, 42.0
_LEAST_PLOT = 60.0
_BAND = (132.0, 108.0)


@dataclass(frozen=True)
class Row:
    """A figure of an interval chart.

    Attributes:
        label: What it is of; may be anything that a platform sent.
        value: Where the point stands; None draws no point.
        lower: End of its interval; None draws none.
        upper: Other end.
        told: The figure as written at the end of the row.
        marked: Whether it is drawn as one to look at.
    """

    label: str
    value: float | None
    lower: float | None = None
    upper: float | None = None
    told: str = ""
    marked: bool = False


@dataclass(frozen=True)
class Point:
    """A figure of days ``[since, until)``, with how many decisions it stands on.

    ``masked`` is one whose decisions no published block tells: a cross stands in its place.
    """

    since: date
    until: date
    value: float | None
    lower: float
    upper: float
    count: int
    hint: str
    masked: bool = False


def timeline(
    points: Sequence[Point],
    width: float,
    *,
    title: str,
    percent: Callable[[float], str],
    day: Callable[[date], str],
    counts: str,
) -> Markup:
    """Draw a rate over time with its interval, and how many decisions it stands on.

    Days are joined by a line, which breaks where one is missing; longer blocks are drawn as
    long as they are.

    Args:
        points: In order of time, at least one.
        width: Of the drawing.
        title: What it shows.
        percent: Writes a rate.
        day: Writes a day.
        counts: What the bars below count, with the largest number.
    """
    left, right = 44.0, width - 10.0
    drawing = Drawing(width, 232.0, title)
    bottom = drawing.height - _AXIS - _COUNTS - 18
    highest = ticks(0.0, max((one.upper for one in points if one.value is not None), default=1), 4)
    top = min(1.0, highest[-1] + (highest[1] - highest[0] if len(highest) > 1 else 0.1))
    y = scale((0.0, top), (bottom, _PLOT_TOP))
    begin, end = points[0].since, points[-1].until
    x = scale((begin.toordinal(), end.toordinal()), (left, right))
    for tick in ticks(0.0, top, 4):
        drawing.line((left, y(tick)), (right, y(tick)), "grid")
        drawing.text((left - 6, y(tick) + 4), percent(tick), "axis", "end")
    _write_days(drawing, (begin, end), x, day, floor=drawing.height - 6)
    if all((one.until - one.since).days == 1 for one in points):
        _draw_days(drawing, points, x, y)
    else:
        _draw_blocks(drawing, points, x, y)
    _draw_counts(drawing, points, x, counts, floor=drawing.height - _AXIS)
    return drawing.done()


def _write_days(
    drawing: Drawing,
    span: tuple[date, date],
    x: Callable[[float], float],
    day: Callable[[date], str],
    *,
    floor: float,
) -> None:
    begin, end = span
    length = (end - begin).days
    parts = min(max(1, length - 1), 5 if drawing.width > NARROW else 2)
    for place in range(parts + 1):
        at = begin + timedelta(days=round(place * (length - 1) / parts))
        anchor = "start" if place == 0 else "end" if place == parts else "middle"
        shift = {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor]
        drawing.text((x(at.toordinal() + shift), floor), day(at), "axis", anchor)
        if length == 1:
            break


def _draw_days(
    drawing: Drawing,
    points: Sequence[Point],
    x: Callable[[float], float],
    y: Callable[[float], float],
) -> None:
    for stretch in _stretches(points):
        places = [(x(one.since.toordinal() + 0.5), one) for one in stretch]
        above = [(at, y(one.upper)) for at, one in places]
        below = [(at, y(one.lower)) for at, one in places]
        if len(places) == 1:
            drawing.line(above[0], below[0], "interval")
        else:
            drawing.path([*above, *reversed(below)], "band", closed=True)
            drawing.path([(at, y(one.value or 0)) for at, one in places], "curve", closed=False)
        radius = 3.0 if len(points) <= 31 else 1.8  # noqa: PLR2004  # a month has room for dots
        for at, one in places:
            drawing.dot((at, y(one.value or 0)), "point", one.hint, radius)


def _stretches(points: Sequence[Point]) -> list[list[Point]]:
    """Split points where a day is missing or has no figure."""
    found: list[list[Point]] = []
    after: date | None = None
    for one in points:
        if one.value is None:
            after = None
            continue
        if one.since != after:
            found.append([])
        found[-1].append(one)
        after = one.until
    return found


def _draw_blocks(
    drawing: Drawing,
    points: Sequence[Point],
    x: Callable[[float], float],
    y: Callable[[float], float],
) -> None:
    for one in points:
        if one.value is None:
            continue
        start, end = x(one.since.toordinal()) + 1, x(one.until.toordinal()) - 1
        top, bottom = y(one.upper), y(one.lower)
        drawing.box((start, top), (end - start, bottom - top), "band")
        drawing.line((start, y(one.value)), (end, y(one.value)), "curve")
        drawing.dot(((start + end) / 2, y(one.value)), "point", one.hint, 2.5)


def _draw_counts(
    drawing: Drawing,
    points: Sequence[Point],
    x: Callable[[float], float],
    counts: str,
    *,
    floor: float,
) -> None:
    drawing.text((44.0, floor - _COUNTS - 4), counts, "axis")
    height = scale((0.0, max(one.count for one in points) or 1), (0.0, _COUNTS - 4))
    for one in points:
        start, end = x(one.since.toordinal()), x(one.until.toordinal())
        if one.masked:
            drawing.text(((start + end) / 2, floor - 4), CROSS, "axis", "middle")
            continue
        tall = height(one.count)
        drawing.box((start + 0.5, floor - tall), (end - start - 1, tall), "count")


def intervals(
    rows: Sequence[Row],
    width: float,
    *,
    title: str,
    domain: tuple[float, float],
    write: Callable[[float], str],
    reference: float | None = None,
    bars: bool = False,
) -> Markup:
    """Draw figures with their intervals, a row each.

    Args:
        rows: From top to bottom, at least one.
        width: Of the drawing.
        title: What it shows.
        domain: Figures at the left and right end.
        write: Writes a figure on the axis.
        reference: Where a line stands to compare with.
        bars: Whether figures are lengths from the left end, such as shares.
    """
    wide = width > NARROW
    row_height = _ROW_WIDE if wide else _ROW_NARROW
    told = 14.0 + max(width_of(row.told) for row in rows)
    left, right = (width * 0.31 if wide else 2.0), width - max(told, 14.0)
    if not wide:
        right = width - 8.0
    right = max(right, left + _LEAST_PLOT)
    drawing = Drawing(width, len(rows) * row_height + _AXIS + 6, title)
    x = scale(domain, (left, right))
    floor = drawing.height - _AXIS
    for tick in ticks(*domain, 5 if wide else 3):
        drawing.line((x(tick), 2.0), (x(tick), floor), "grid")
        anchor = "start" if x(tick) < 16 else "end" if x(tick) > width - 24 else "middle"  # noqa: PLR2004
        drawing.text((x(tick), floor + 15), write(tick), "axis", anchor)
    if reference is not None and reference > domain[0]:
        drawing.line((x(reference), 2.0), (x(reference), floor), "reference")
    for place, row in enumerate(rows):
        _draw_row(drawing, row, (place * row_height, left), x, start=domain[0] if bars else None)
    return drawing.done()


def _draw_row(
    drawing: Drawing,
    row: Row,
    corner: tuple[float, float],
    x: Callable[[float], float],
    *,
    start: float | None,
) -> None:
    top, left = corner
    wide = drawing.width > NARROW
    middle = top + (_ROW_WIDE / 2 + 2 if wide else 31)
    words = top + (_ROW_WIDE / 2 + 6 if wide else 17)
    room = left - 10 if wide else drawing.width - width_of(row.told) - 14
    drawing.label((0.0, words), row.label, room)
    drawing.text((drawing.width - 2, words), row.told, "told", "end")
    if row.value is None:
        return
    kind = " marked" if row.marked else ""
    if start is not None:
        drawing.box((x(start), middle - 6), (x(row.value) - x(start), 12.0), f"bar{kind}")
    if row.lower is not None and row.upper is not None:
        drawing.line((x(row.lower), middle), (x(row.upper), middle), f"interval{kind}")
    if start is None or row.lower is not None:
        drawing.dot((x(row.value), middle), f"point{kind}", f"{row.label}: {row.told}", 3.5)


@dataclass(frozen=True)
class Bands:
    """Acceptance by fifth of satisfaction of one constraint.

    Attributes:
        label: Name of the constraint.
        rates: Rate with its interval; None where nothing was decided, or is told.
        masked: Whether each is not told: a cross stands in its place.
    """

    label: str
    rates: tuple[tuple[float, float, float] | None, ...]
    masked: tuple[bool, ...]


def bands(
    cells: Sequence[Bands], width: float, *, title: str, percent: Callable[[float], str]
) -> Markup:
    """Draw acceptance by band of satisfaction, a small chart for each constraint.

    Args:
        cells: At least one.
        width: Of the drawing.
        title: What it shows.
        percent: Writes a rate.
    """
    columns = max(1, int(width // _BAND[0]))
    lines = -(-len(cells) // columns)
    drawing = Drawing(width, lines * (_BAND[1] + 20) + 4, title)
    highest = max((rate[2] for cell in cells for rate in cell.rates if rate), default=1.0)
    for place, cell in enumerate(cells):
        column, line = place % columns, place // columns
        corner = (column * width / columns, line * (_BAND[1] + 20))
        _draw_bands(drawing, cell, corner, width / columns - 14, (highest, percent))
    return drawing.done()


def _draw_bands(
    drawing: Drawing,
    cell: Bands,
    corner: tuple[float, float],
    room: float,
    axis: tuple[float, Callable[[float], str]],
) -> None:
    left, top = corner
    highest, percent = axis
    y = scale((0.0, highest), (top + _BAND[1] - 2, top + 32))
    drawing.label((left, top + 14), cell.label, room)
    start = left + max(width_of(percent(tick)) for tick in (0.0, highest)) + 3
    for tick in (0.0, highest):
        drawing.line((start, y(tick)), (left + room, y(tick)), "grid")
        drawing.text((start - 3, y(tick) + 4), percent(tick), "axis", "end")
    step = (left + room - start) / len(cell.rates)
    for place, rate in enumerate(cell.rates):
        at = start + (place + 0.5) * step
        if cell.masked[place]:
            drawing.text((at, y(0.0) - 4), CROSS, "axis", "middle")
        if rate is None:
            continue
        value, lower, upper = rate
        drawing.line((at, y(lower)), (at, y(upper)), "interval")
        drawing.dot((at, y(value)), "point", f"{cell.label}: {percent(value)}", 3.0)
    drawing.text((start, y(0.0) + 13), "0", "axis")
    drawing.text((left + room, y(0.0) + 13), "1", "axis", "end")
