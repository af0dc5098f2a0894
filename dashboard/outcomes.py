"""Tiles, acceptance, and the way from a proposal to its outcome."""

from __future__ import annotations

from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any

from dashboard.charts import Point, Row, intervals, timeline
from dashboard.views import Panel, Section, Table, Tile, both, missing, rounded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dashboard.language import Language

_DRAWN = 14
"""Rows of a chart: the rest stands in the table."""

_LATE_SECONDS = 3_600.0
"""Events that wait for longer than an hour are worth a look: the flow runs every few minutes."""


def tiles(figures: Mapping[str, Any], language: Language) -> tuple[Tile, ...]:
    """Return the numbers to begin with."""
    acceptance, satisfaction = figures["acceptance"], figures["satisfaction"]
    return (
        _rate(language, "tile_acceptance", "of_decisions", _whole(acceptance)),
        _rate(language, "tile_mutual", "of_parties", acceptance["mutual"]["rate"]),
        _rating(language, satisfaction),
        _waiting(language, figures["loop"]),
        _champion(language, figures["loop"]["champion"]),
    )


def _whole(acceptance: Mapping[str, Any]) -> dict[str, Any] | None:
    if acceptance["acceptance_rate"] is None:
        return None
    lower, upper = acceptance["acceptance_interval"]
    rate, count = acceptance["acceptance_rate"], acceptance["total_decided"]
    return {"value": rate, "lower": lower, "upper": upper, "count": count}


def _rate(language: Language, name: str, detail: str, rate: Mapping[str, Any] | None) -> Tile:
    if rate is None:
        return Tile(language.say(name), language.say("unknown"), language.say("not_enough"))
    told = language.say(
        detail, span=interval(language.percent, rate), count=language.number(rate["count"])
    )
    return Tile(language.say(name), language.percent(rate["value"]), told)


def _rating(language: Language, satisfaction: Mapping[str, Any]) -> Tile:
    name = language.say("tile_rating")
    if satisfaction["avg_rating"] is None:
        return Tile(name, language.say("unknown"), language.say("not_enough"))
    lower, upper = satisfaction["rating_interval"]
    write = partial(language.number, digits=2)
    span = language.span(write(max(1.0, lower)), write(min(5.0, upper)))
    count = language.number(sum(satisfaction["rating_counts"].values()))
    told = language.say("of_ratings", span=span, count=count)
    return Tile(name, write(satisfaction["avg_rating"]), told)


def _waiting(language: Language, loop: Mapping[str, Any]) -> Tile:
    seconds = loop["oldest_waiting_seconds"]
    name = language.say("tile_waiting")
    if not seconds and not loop["waiting"]:
        return Tile(name, language.say("none"), language.say("nothing_waits"))
    count = rounded(language, loop["waiting"], loop["unit"])
    told = language.say("waiting_count", count=count)
    return Tile(name, language.duration(seconds), told, marked=seconds > _LATE_SECONDS)


def _champion(language: Language, champion: Mapping[str, Any] | None) -> Tile:
    name = language.say("tile_champion")
    if champion is None:
        return Tile(name, language.say("none"), language.say("not_enough"))
    days = champion["age_days"]
    age = language.say("serving_for", age=language.days(days)) if days else language.say("serving")
    return Tile(name, language.say("version", version=champion["version"]), age)


def interval(write: Callable[[float], str], rate: Mapping[str, Any]) -> str:
    """Write the interval of a figure, short, with a dash."""
    return f"{write(rate['lower'])}\u2013{write(rate['upper'])}"


def acceptance(figures: Mapping[str, Any], language: Language) -> Section:
    """Return acceptance over time and by model version."""
    return Section(
        "acceptance",
        language.say("acceptance"),
        language.say("acceptance_intro"),
        (_trend(figures, language), _models(figures, language)),
    )


def _trend(figures: Mapping[str, Any], language: Language) -> Panel:
    found = figures["trend"]
    published = found["window"]["published"]
    points = [_point(one, language) for one in found["points"]]
    decided = max((point.count for point in points), default=0)
    headers = ("period", "rate", "interval", "accepted", "decided", "proposed")
    draw = partial(
        timeline,
        points,
        title=language.say("trend"),
        percent=partial(language.percent, digits=0),
        day=lambda at: language.day(at.isoformat(), year=False),
        counts=language.say("trend_counts", count=language.number(decided)),
    )
    return Panel(
        "trend",
        language.say("trend"),
        language.say("trend_caption_published" if published else "trend_caption"),
        Table(
            tuple(language.say(name) for name in headers),
            tuple(
                (
                    _period(one, language),
                    *_told(one["acceptance"], language),
                    *(language.number(one[name]) for name in headers[3:]),
                )
                for one in found["points"]
            ),
        ),
        both(draw) if decided else None,
        empty="" if decided else missing(figures, language),
    )


def _point(one: Mapping[str, Any], language: Language) -> Point:
    rate = one["acceptance"] or {"value": None, "lower": 0.0, "upper": 0.0}
    hint = f"{_period(one, language)}: {' · '.join(_told(one['acceptance'], language))}"
    since, until = (date.fromisoformat(one[name]) for name in ("since", "until"))
    return Point(since, until, rate["value"], rate["lower"], rate["upper"], one["decided"], hint)


def _period(one: Mapping[str, Any], language: Language) -> str:
    since, until = (date.fromisoformat(one[name]) for name in ("since", "until"))
    first, last = since.isoformat(), date.fromordinal(until.toordinal() - 1).isoformat()
    if first == last:
        return language.day(first)
    return language.say("covers", since=language.day(first, year=False), until=language.day(last))


def _told(rate: Mapping[str, Any] | None, language: Language) -> tuple[str, str]:
    """Write a rate and its interval, for two cells."""
    if rate is None:
        return language.say("unknown"), language.say("unknown")
    span = language.span(language.percent(rate["lower"]), language.percent(rate["upper"]))
    return language.percent(rate["value"]), span


def row_of(label: str, rate: Mapping[str, Any] | None, language: Language) -> Row:
    """Return a rate as a row of a chart, its number of observations behind it."""
    if rate is None:
        return Row(label, None, told=language.say("unknown"))
    told = f"{language.percent(rate['value'])} · {language.number(rate['count'])}"
    return Row(label, rate["value"], rate["lower"], rate["upper"], told)


def _models(figures: Mapping[str, Any], language: Language) -> Panel:
    found = figures["models"]["models"]
    named = {version or language.say("own_score"): one for version, one in found.items()}
    order = sorted(named, key=lambda name: -named[name]["decided"])
    drawn = sorted(order[:_DRAWN], key=_newest_first)
    rows = [row_of(name, named[name]["acceptance"], language) for name in drawn]
    rows = [row for row in rows if row.value is not None]
    headers = ("version_column", "rate", "interval", "accepted", "decided", "proposed")
    caption = [language.say("models_caption")]
    if len(order) > _DRAWN:
        caption.append(language.say("more_in_table", shown=_DRAWN, all=language.number(len(order))))
    top = max((row.upper or 0.0 for row in rows), default=1.0)
    draw = partial(
        intervals,
        rows,
        title=language.say("models"),
        domain=(0.0, top),
        write=partial(language.percent, digits=0),
    )
    return Panel(
        "models",
        language.say("models"),
        " ".join(caption),
        Table(
            (*(language.say(name) for name in headers), language.say("rating_column")),
            tuple(_model(name, named[name], headers[3:], language) for name in order),
        ),
        both(draw) if rows else None,
        empty="" if rows else missing(figures, language),
    )


def _newest_first(version: str) -> tuple[bool, int]:
    """Put numbered versions first, the highest at the top; the matcher's own score is none."""
    return (False, -int(version)) if version.isdecimal() else (True, 0)


def _model(
    name: str, one: Mapping[str, Any], counts: tuple[str, ...], language: Language
) -> tuple[str, ...]:
    rating = one["avg_rating"]
    return (
        name,
        *_told(one["acceptance"], language),
        *(language.number(one[count]) for count in counts),
        language.say("unknown") if rating is None else language.number(rating, 2),
    )


def journey(figures: Mapping[str, Any], language: Language) -> Section:
    """Return the funnel and the ratings."""
    return Section(
        "journey",
        language.say("journey"),
        language.say("journey_intro"),
        (_funnel(figures, language), _ratings(figures, language)),
    )


def _funnel(figures: Mapping[str, Any], language: Language) -> Panel:
    found = figures["funnel"]
    steps = {language.say(f"step_{name}"): step for name, step in found["steps"].items()}
    rows = [row_of(name, step["rate"], language) for name, step in steps.items()]
    draw = partial(
        intervals,
        rows,
        title=language.say("funnel"),
        domain=(0.0, 1.0),
        write=partial(language.percent, digits=0),
        bars=True,
    )
    headers = ("step", "rate", "interval", "count", "of")
    some = any(step["rate"] for step in found["steps"].values())
    return Panel(
        "funnel",
        language.say("funnel"),
        language.say("funnel_caption", count=language.number(found["proposed"])),
        Table(
            tuple(language.say(name) for name in headers),
            tuple(
                (
                    name,
                    *_told(step["rate"], language),
                    language.number(step["count"]),
                    language.number(step["rate"]["count"] if step["rate"] else 0),
                )
                for name, step in steps.items()
            ),
        ),
        both(draw) if some else None,
        empty="" if some else missing(figures, language),
    )


def _ratings(figures: Mapping[str, Any], language: Language) -> Panel:
    found = figures["satisfaction"]
    # A published block may leave some stars out; shares are of those that it tells.
    total = sum(found["rating_counts"].values())
    write = partial(language.number, digits=2)
    shares = [
        (language.say("stars", count=stars), count, count / total if total else 0.0)
        for stars, count in sorted(found["rating_counts"].items(), reverse=True)
    ]
    rows = [
        Row(name, share, told=f"{language.percent(share)} · {language.number(count)}")
        for name, count, share in shares
    ]
    draw = partial(
        intervals,
        rows,
        title=language.say("ratings"),
        domain=(0.0, max((share for *_, share in shares), default=0.0) or 1.0),
        write=partial(language.percent, digits=0),
        bars=True,
    )
    caption = language.say("no_ratings")
    if total:
        lower, upper = found["rating_interval"]
        span = language.span(write(max(1.0, lower)), write(min(5.0, upper)))
        caption = language.say("ratings_caption", mean=write(found["avg_rating"]), span=span)
    return Panel(
        "ratings",
        language.say("ratings"),
        caption,
        Table(
            tuple(language.say(name) for name in ("ratings", "share", "count")),
            tuple(
                (name, language.percent(share), language.number(count))
                for name, count, share in shares
            ),
        ),
        both(draw) if total else None,
        empty="" if total else missing(figures, language),
    )
