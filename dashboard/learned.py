"""Constraints and drift: what acceptance goes with, what the model weighs, what has moved."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from dashboard.charts import Bands, Row, bands, intervals
from dashboard.views import Panel, Section, Table, both, missing, more_in_table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dashboard.language import Language

    _Measured = tuple[str, Sequence[Mapping[str, Any]]]

_DRAWN, _SMALL = 14, 8
"""Rows of a chart, and small charts: the rest stands in the table."""


def constraints(figures: Mapping[str, Any], language: Language) -> Section:
    """Return what each constraint has to do with acceptance, and what insisting costs."""
    return Section(
        "constraints",
        language.say("constraints"),
        language.say("constraints_intro"),
        (
            _correlation(figures, language),
            _weights(figures["weights"], language),
            _bands(figures, language),
            _prices(figures["constraints"]["constraints"], language),
        ),
    )


def _chosen(rows: Sequence[Row], most: int = _DRAWN) -> list[Row]:
    """Choose the rows that say most, in order from largest to smallest."""
    drawn = [row for row in rows if row.value is not None]
    drawn = sorted(drawn, key=lambda row: -abs(row.value or 0.0))[:most]
    return sorted(drawn, key=lambda row: -(row.value or 0.0))


def _caption(text: str, shown: int, everything: int, language: Language) -> str:
    if not 0 < shown < everything:
        return text
    return f"{text} {more_in_table(shown, everything, language)}"


def _around_zero(rows: Sequence[Row]) -> tuple[float, float]:
    ends = [end for row in rows for end in (row.value, row.lower, row.upper) if end is not None]
    reach = max((abs(end) for end in ends), default=1.0) or 1.0
    return (-reach if min(ends, default=0.0) < 0 else 0.0, reach)


def _spread(
    lower: float | None, upper: float | None, write: Callable[[float], str], language: Language
) -> str:
    if lower is None or upper is None:
        return language.say("unknown")
    return language.span(write(lower), write(upper))


def _nothing(count: int | None, language: Language) -> str:
    """Write a figure that is not there, by whether its count is told."""
    return language.say("masked" if count is None else "unknown")


def _correlation(figures: Mapping[str, Any], language: Language) -> Panel:
    found = figures["constraints"]["constraints"]
    rows, table = [], []
    for name, one in found.items():
        lower, upper = one["correlation_interval"] or (None, None)
        value, count = one["correlation"], language.count(one["sample_size"])
        none = _nothing(one["sample_size"], language)
        written = none if value is None else language.signed(value)
        rows.append(Row(name, value, lower, upper, f"{written} · {count}"))
        mean = one["avg_satisfaction"]
        average = language.say("unknown") if mean is None else language.percent(mean)
        spread = none if value is None else _spread(lower, upper, language.signed, language)
        table.append((name, written, spread, count, average))
    chosen = _chosen(rows)
    draw = partial(
        intervals,
        chosen,
        title=language.say("correlation"),
        domain=_around_zero(chosen),
        write=partial(language.number, digits=1),
        reference=0.0,
    )
    headers = ("constraint", "value", "interval", "decisions", "average")
    return Panel(
        "correlation",
        language.say("correlation"),
        _caption(language.say("correlation_caption"), len(chosen), len(rows), language),
        Table(tuple(language.say(name) for name in headers), tuple(table)),
        both(draw) if chosen else None,
        empty="" if chosen else missing(figures, language),
    )


def _weights(document: Mapping[str, Any] | None, language: Language) -> Panel:
    listed = document["weights"] if document else []
    rows = [
        Row(
            one["name"],
            one["weight"],
            one["lower"],
            one["upper"],
            language.percent(one["weight"], 0),
        )
        for one in listed
    ]
    chosen = _chosen(rows)
    draw = partial(
        intervals,
        chosen,
        title=language.say("weight"),
        domain=_around_zero(chosen),
        write=partial(language.percent, digits=0),
        reference=0.0,
    )
    headers = ("constraint", "weight", "interval")
    caption = language.say("weight_caption_none")
    if document:
        caption = language.say("weight_caption", version=document["version"])
    return Panel(
        "weights",
        language.say("weight"),
        _caption(caption, len(chosen), len(rows), language),
        Table(
            tuple(language.say(name) for name in headers),
            tuple(
                (
                    row.label,
                    row.told,
                    _spread(row.lower, row.upper, language.percent, language),
                )
                for row in rows
            ),
        ),
        both(draw) if chosen else None,
        empty="" if chosen else language.say("no_weights"),
    )


def _prices(found: Mapping[str, Any], language: Language) -> Panel:
    rows, threshold = [], 0.5
    for name, one in found.items():
        price = one["shadow_price"]
        if price is None:
            continue
        threshold = price["threshold"]
        lower, upper = price["interval"] or (None, None)
        told = language.percent(price["cost"])
        rows.append((Row(name, price["cost"], lower, upper, told), price["rounds"]))
    chosen = _chosen([row for row, _ in rows])
    ends = [end for row in chosen for end in (row.value, row.upper) if end is not None]
    draw = partial(
        intervals,
        chosen,
        title=language.say("price"),
        domain=(0.0, max(ends, default=1.0) or 1.0),
        write=partial(language.percent, digits=0),
        bars=True,
    )
    headers = ("constraint", "price", "interval")
    caption = language.say("price_caption", threshold=language.percent(threshold, 0))
    return Panel(
        "prices",
        language.say("price"),
        _caption(caption, len(chosen), len(rows), language),
        Table(
            tuple(language.say(name) for name in headers),
            tuple(
                (row.label, row.told, _spread(row.lower, row.upper, language.percent, language))
                for row, _ in rows
            ),
        ),
        both(draw) if chosen else None,
        empty="" if chosen else language.say("price_empty"),
    )


def _bands(figures: Mapping[str, Any], language: Language) -> Panel:
    found = figures["constraints"]["constraints"]
    telling = sorted(found, key=lambda name: -abs(found[name]["correlation"] or 0.0))
    cells = [_cell(name, found[name]["bands"]) for name in telling[:_SMALL]]
    cells = [cell for cell in cells if any(cell.rates)]
    write = partial(language.percent, digits=0)
    draw = partial(bands, cells, title=language.say("bands"), percent=write)
    caption = language.say("bands_caption")
    if any(any(cell.masked) for cell in cells):
        caption = f"{caption} {language.say('cross_is_masked')}"
    headers = ("constraint", "band", "rate", "interval", "accepted", "decided")
    return Panel(
        "bands",
        language.say("bands"),
        _caption(caption, len(cells), len(found), language),
        Table(
            tuple(language.say(name) for name in headers),
            tuple(
                _band(name, band, language) for name, one in found.items() for band in one["bands"]
            ),
        ),
        both(draw) if cells else None,
        empty="" if cells else missing(figures, language),
    )


def _cell(name: str, found: Sequence[Mapping[str, Any]]) -> Bands:
    rates = [band["rate"] for band in found]
    return Bands(
        name,
        tuple((r["value"], r["lower"], r["upper"]) if r else None for r in rates),
        tuple(band["decided"] is None for band in found),
    )


def _band(name: str, band: Mapping[str, Any], language: Language) -> tuple[str, ...]:
    rate = band["rate"]
    none = _nothing(band["decided"], language)
    return (
        name,
        language.span(language.number(band["from"], 1), language.number(band["to"], 1)),
        language.percent(rate["value"]) if rate else none,
        _spread(rate["lower"], rate["upper"], language.percent, language) if rate else none,
        language.count(band["accepted"]),
        language.count(band["decided"]),
    )


def drift(figures: Mapping[str, Any], language: Language) -> Section:
    """Return how far each measure has moved from training: at its worst, or on how many days."""
    found = figures["drift"]
    measured = [
        (_named(feature, measure, language), days)
        for feature, measures in found["features"].items()
        for measure, days in measures.items()
    ]
    panel = (_moved if figures["published"] else _worst)(measured, found, language)
    return Section("drift", language.say("drift"), language.say("drift_intro"), (panel,))


def _worst(measured: Sequence[_Measured], found: Mapping[str, Any], language: Language) -> Panel:
    """Show the day of each measure that lies furthest beyond its bound."""
    worst = []
    for name, days in measured:
        day = max(days, key=_ratio)
        worst.append((name, _ratio(day), day, _beyond(days)))
    worst.sort(key=lambda one: -one[1])
    rows = [
        Row(name, ratio, told=language.number(ratio, 2), marked=beyond > 0)
        for name, ratio, _, beyond in worst[:_DRAWN]
    ]
    table = [
        (
            name,
            language.day(day["day"]),
            language.number(day["value"], 3),
            language.number(day["bound"], 3),
            language.number(beyond),
        )
        for name, _, day, beyond in worst
    ]
    headers = ("measure", "worst_day", "value", "bound", "beyond_days")
    end = max([1.2, *(row.value or 0.0 for row in rows)])
    return _drifted(
        ("drift_chart", "drift_caption"),
        rows,
        (headers, table),
        found,
        language,
        end=end,
        reference=1.0,
    )


def _moved(measured: Sequence[_Measured], found: Mapping[str, Any], language: Language) -> Panel:
    """Show on how many days each measure was beyond its bound: what is published of it."""
    none = language.say("unknown")
    moved = sorted(measured, key=lambda one: (-_beyond(one[1]), one[0]))
    rows = [
        Row(
            name,
            float(_beyond(days)),
            told=f"{language.number(_beyond(days))} / {language.number(len(days))}",
            marked=_beyond(days) > 0,
        )
        for name, days in moved[:_DRAWN]
    ]
    table = [
        (
            name,
            language.number(len(days)),
            language.number(_beyond(days)),
            next((language.day(one["day"]) for one in reversed(days) if one["beyond"]), none),
        )
        for name, days in moved
    ]
    headers = ("measure", "compared_days", "beyond_days", "last_beyond")
    end = max([1.0, *(float(len(days)) for _, days in moved)])
    return _drifted(
        ("drift_moved_chart", "drift_moved_caption"),
        rows,
        (headers, table),
        found,
        language,
        end=end,
    )


def _drifted(
    words: tuple[str, str],
    rows: Sequence[Row],
    table: tuple[Sequence[str], Sequence[tuple[str, ...]]],
    found: Mapping[str, Any],
    language: Language,
    *,
    end: float,
    reference: float | None = None,
) -> Panel:
    title = language.say(words[0])
    draw = partial(
        intervals,
        rows,
        title=title,
        domain=(0.0, end),
        write=partial(language.number, digits=0 if reference is None else 1),
        reference=reference,
        bars=True,
    )
    headers, lines = table
    caption = language.say(
        words[1],
        days=language.number(found["days_compared"]),
        beyond=language.number(found["beyond"]),
    )
    return Panel(
        "drift",
        title,
        _caption(caption, len(rows), len(lines), language),
        Table(tuple(language.say(name) for name in headers), tuple(lines)),
        both(draw) if rows else None,
        empty="" if rows else language.say("drift_empty"),
        broad=True,
    )


_PREFIX = "constraint:"
_OWN = {"match_score", "score", "outcome"}
_OF_SCORE = {"calibration", "slope"}


def _named(feature: str, measure: str, language: Language) -> str:
    """Name what moved as people do: a constraint by its name alone."""
    name = language.say(f"feature_{feature}") if feature in _OWN else feature
    name = name.removeprefix(_PREFIX)
    return language.say(measure, name=name) if measure in _OF_SCORE else name


def _ratio(day: Mapping[str, Any]) -> float:
    ratio: float = day["value"] / (day["bound"] or 1.0)
    return ratio


def _beyond(days: Sequence[Mapping[str, Any]]) -> int:
    return sum(one["beyond"] for one in days)
