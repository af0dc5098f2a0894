"""Tiles, acceptance, and the way from a proposal to its outcome."""

from __future__ import annotations

from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any

from dashboard.charts import Point, Row, intervals, timeline
from dashboard.views import (
    Panel,
    Section,
    Table,
    Tile,
    both,
    masks,
    missing,
    more_in_table,
    rounded,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dashboard.language import Language

_DRAWN = 14
"""Rows of a chart: the rest stands in the table."""

_LATE_SECONDS = 3_600.0
"""Events that wait for longer than an hour are worth a look: the flow runs every few minutes."""


def tiles(figures: Mapping[str, Any], language: Language) -> tuple[Tile, ...]:
    """Return the numbers to begin with."""
    acceptance = figures["acceptance"]
    return (
        _rate(figures, language, "tile_acceptance", "of_decisions", _whole(acceptance)),
        _rate(figures, language, "tile_mutual", "of_parties", acceptance["mutual"]["rate"]),
        _rating(figures, language),
        _waiting(language, figures["loop"]),
        _champion(language, figures["loop"]["champion"]),
    )


def _whole(acceptance: Mapping[str, Any]) -> dict[str, Any] | None:
    if acceptance["acceptance_rate"] is None:
        return None
    lower, upper = acceptance["acceptance_interval"]
    rate, count = acceptance["acceptance_rate"], acceptance["total_decided"]
    return {"value": rate, "lower": lower, "upper": upper, "count": count}


def _rate(
    figures: Mapping[str, Any],
    language: Language,
    name: str,
    detail: str,
    rate: Mapping[str, Any] | None,
) -> Tile:
    label = language.say(name)
    if rate is None:
        return _untold(figures, language, label)
    told = language.say(
        detail,
        number=rate["count"],
        span=interval(language.percent, rate),
        count=language.number(rate["count"]),
    )
    return Tile(label, language.percent(rate["value"]), told)


def _untold(figures: Mapping[str, Any], language: Language, label: str) -> Tile:
    if masks(figures):
        detail = language.say("masked_detail", k=language.number(figures["k"]))
        return Tile(label, language.say("masked"), detail)
    return Tile(label, language.say("unknown"), language.say("not_enough"))


def _rating(figures: Mapping[str, Any], language: Language) -> Tile:
    satisfaction, name = figures["satisfaction"], language.say("tile_rating")
    if satisfaction["avg_rating"] is None:
        return _untold(figures, language, name)
    lower, upper = satisfaction["rating_interval"]
    write = partial(language.number, digits=2)
    span = language.span(write(lower), write(upper))
    count = sum(satisfaction["rating_counts"].values())
    told = language.say("of_ratings", number=count, span=span, count=language.number(count))
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
    caption = [language.say("trend_caption_published" if published else "trend_caption")]
    if any(point.masked for point in points):
        caption.append(language.say("cross_is_masked"))
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
        " ".join(caption),
        Table(
            tuple(language.say(name) for name in headers),
            tuple(
                (
                    _period(one, language),
                    *_told(one["acceptance"], one["decided"], language),
                    *(language.count(one[name]) for name in headers[3:]),
                )
                for one in found["points"]
            ),
        ),
        both(draw) if decided else None,
        empty="" if decided else missing(figures, language),
    )


def _point(one: Mapping[str, Any], language: Language) -> Point:
    rate = one["acceptance"] or {"value": None, "lower": 0.0, "upper": 0.0}
    told = " · ".join(_told(one["acceptance"], one["decided"], language))
    hint = f"{_period(one, language)}: {told}"
    since, until = (date.fromisoformat(one[name]) for name in ("since", "until"))
    span = (rate["value"], rate["lower"], rate["upper"])
    return Point(since, until, *span, one["decided"] or 0, hint, masked=one["decided"] is None)


def _period(one: Mapping[str, Any], language: Language) -> str:
    since, until = (date.fromisoformat(one[name]) for name in ("since", "until"))
    first, last = since.isoformat(), date.fromordinal(until.toordinal() - 1).isoformat()
    if first == last:
        return language.day(first)
    return language.say("covers", since=language.day(first, year=False), until=language.day(last))


def _told(rate: Mapping[str, Any] | None, count: int | None, language: Language) -> tuple[str, str]:
    """Write a rate and its interval, for two cells, by whether its count is told."""
    if rate is None:
        none = language.say("masked" if count is None else "unknown")
        return none, none
    span = language.span(language.percent(rate["lower"]), language.percent(rate["upper"]))
    return language.percent(rate["value"]), span


def _row(label: str, rate: Mapping[str, Any] | None, count: int | None, language: Language) -> Row:
    """Return a rate as a row of a chart, its number of observations behind it."""
    if rate is None:
        return Row(label, None, told=_told(rate, count, language)[0])
    told = f"{language.percent(rate['value'])} · {language.number(rate['count'])}"
    return Row(label, rate["value"], rate["lower"], rate["upper"], told)


def _models(figures: Mapping[str, Any], language: Language) -> Panel:
    found = figures["models"]["models"]
    named = {version or language.say("own_score"): one for version, one in found.items()}
    order = sorted(named, key=lambda name: -(named[name]["decided"] or 0))
    drawn = sorted(order[:_DRAWN], key=_newest_first)
    rows = [
        _row(name, named[name]["acceptance"], named[name]["decided"], language) for name in drawn
    ]
    rows = [row for row in rows if row.value is not None]
    headers = ("version_column", "rate", "interval", "accepted", "decided", "proposed")
    caption = [language.say("models_caption")]
    if len(order) > _DRAWN:
        caption.append(more_in_table(_DRAWN, len(order), language))
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
            tuple(
                _model(name, named[name], headers[3:], language, published=figures["published"])
                for name in order
            ),
        ),
        both(draw) if rows else None,
        empty="" if rows else missing(figures, language),
    )


def _newest_first(version: str) -> tuple[bool, int]:
    """Put numbered versions first, the highest at the top; the matcher's own score is none."""
    return (False, -int(version)) if version.isdecimal() else (True, 0)


def _model(
    name: str,
    one: Mapping[str, Any],
    counts: tuple[str, ...],
    language: Language,
    *,
    published: bool,
) -> tuple[str, ...]:
    rating = one["avg_rating"]
    none = language.say("masked" if published else "unknown")
    return (
        name,
        *_told(one["acceptance"], one["decided"], language),
        *(language.count(one[count]) for count in counts),
        none if rating is None else language.number(rating, 2),
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
    rows = [_row(name, step["rate"], step["count"], language) for name, step in steps.items()]
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
        language.say("funnel_caption", count=language.count(found["proposed"])),
        Table(
            tuple(language.say(name) for name in headers),
            tuple(
                (
                    name,
                    *_told(step["rate"], step["count"], language),
                    language.count(step["count"]),
                    language.count(step["rate"]["count"] if step["rate"] else step["count"]),
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
    counts = found["rating_counts"]
    total = sum(count or 0 for count in counts.values())
    write = partial(language.number, digits=2)
    shares = [
        (language.say("stars", count=stars), count or 0, (count or 0) / total if total else 0.0)
        for stars, count in sorted(counts.items(), reverse=True)
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
        span = language.span(write(lower), write(upper))
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
