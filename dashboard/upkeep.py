"""Data quality, privacy, and the health of the loop."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from dashboard.charts import Row, intervals
from dashboard.views import Panel, Section, Table, both, rounded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dashboard.language import Language

_DRAWN = 10


def quality(figures: Mapping[str, Any], language: Language) -> Section:
    """Return what became of the events, and which rules were broken."""
    found = figures["quality"]
    unit = found["unit"]
    fates = Panel(
        "fates",
        language.say("fates"),
        language.say("fates_caption"),
        Table(
            (language.say("what"), language.say("events")),
            tuple(
                (language.say(name), rounded(language, count, unit))
                for name, count in found["events"].items()
            ),
        ),
    )
    return Section(
        "quality",
        language.say("quality"),
        language.say("quality_intro"),
        (fates, _rules("refused", found, language), _rules("rejected", found, language)),
    )


def _rules(kind: str, found: Mapping[str, Any], language: Language) -> Panel:
    unit = found["unit"]
    counts: dict[str, int] = found[kind]
    rows = [
        Row(language.rule(rule), float(count), told=rounded(language, count, unit))
        for rule, count in list(counts.items())[:_DRAWN]
    ]
    draw = partial(
        intervals,
        rows,
        title=language.say(f"{kind}_rules"),
        domain=(0.0, float(max(counts.values(), default=1))),
        write=language.number,
        bars=True,
    )
    table = Table(
        (language.say("rule"), language.say("events")),
        tuple(
            (language.rule(rule), rounded(language, count, unit)) for rule, count in counts.items()
        ),
    )
    if not rows:
        said = "nothing_refused" if unit == 1 else "nothing_published"
        table = Table((language.say("rule"),), ((language.say(said, k=unit),),))
    return Panel(
        f"{kind}-rules",
        language.say(f"{kind}_rules"),
        language.say(f"{kind}_caption"),
        table,
        both(draw) if rows else None,
        broad=kind == "rejected",
    )


def privacy(figures: Mapping[str, Any], language: Language) -> Section:
    """Return consents, erasures, ages and what is published."""
    found = figures["privacy"]
    return Section(
        "privacy",
        language.say("privacy"),
        language.say("privacy_intro"),
        (
            _consents(found, language),
            _erasures(found, language),
            _retention(found, language),
            _publication(found, language),
        ),
    )


def _consents(found: Mapping[str, Any], language: Language) -> Panel:
    unit, people = found["unit"], found["people"]
    purposes = {language.say(f"purpose_{name}"): one for name, one in found["purposes"].items()}
    rows = [
        Row(name, float(one["consenting"]), told=rounded(language, one["consenting"], unit))
        for name, one in purposes.items()
    ]
    draw = partial(
        intervals,
        rows,
        title=language.say("consents"),
        domain=(0.0, float(people or 1)),
        write=language.number,
        bars=True,
    )
    caption = language.say("consents_plain")
    if found["counted"] is not None:
        caption = language.say(
            "consents_caption",
            # What is rounded is several.
            number=people if unit == 1 else unit,
            people=rounded(language, people, unit),
            day=language.day(found["counted"]),
        )
    return Panel(
        "consents",
        language.say("consents"),
        caption,
        Table(
            tuple(language.say(name) for name in ("purpose", "consenting", "withdrawn")),
            tuple(
                (
                    name,
                    *(rounded(language, one[part], unit) for part in ("consenting", "withdrawn")),
                )
                for name, one in purposes.items()
            ),
        ),
        both(draw) if found["counted"] is not None and people else None,
        empty="" if found["counted"] is not None else language.say("consents_empty"),
    )


def _erasures(found: Mapping[str, Any], language: Language) -> Panel:
    one, unit = found["erasures"], found["unit"]
    late = language.say("yes" if one["overdue"] else "no")
    return Panel(
        "erasures",
        language.say("erasures"),
        language.say("erasures_caption"),
        Table(
            (language.say("what"), language.say("count")),
            (
                (language.say("pending"), rounded(language, one["pending"], unit)),
                (language.say("late"), language.number(one["overdue"]) if unit == 1 else late),
                (language.say("done"), rounded(language, one["done"], unit)),
                (language.say("done_ever"), rounded(language, one["done_ever"], unit)),
            ),
        ),
    )


def _retention(found: Mapping[str, Any], language: Language) -> Panel:
    exact = found["unit"] == 1
    rows = []
    for one in found["retention"]:
        state = language.say("overdue" if one["overdue"] else "within")
        oldest = language.say("empty") if one["oldest"] is None else language.day(one["oldest"])
        cells = [language.say(f"class_{one['data_class']}"), language.days(one["kept_days"])]
        rows.append((*cells, *((oldest,) if exact else ()), state))
    headers = ["data_class", "kept", *(["oldest"] if exact else []), "state"]
    return Panel(
        "retention",
        language.say("retention"),
        language.say("retention_caption"),
        Table(tuple(language.say(name) for name in headers), tuple(rows)),
    )


def _publication(found: Mapping[str, Any], language: Language) -> Panel:
    one = found["publication"]
    until, waiting = one["published_until"], one["waiting_days"]
    return Panel(
        "publication",
        language.say("publication"),
        language.say("publication_caption"),
        Table(
            (language.say("what"), language.say("value")),
            (
                (language.say("smallest"), language.number(one["k"])),
                (language.say("blocks"), language.number(one["blocks"])),
                (
                    language.say("published_until"),
                    language.say("never") if until is None else language.day(until),
                ),
                (
                    language.say("waiting_days"),
                    language.say("unknown") if waiting is None else language.number(waiting),
                ),
                (language.say("withheld"), rounded(language, one["withheld"], found["unit"])),
            ),
        ),
    )


def loop(figures: Mapping[str, Any], language: Language) -> Section:
    """Return when each flow last ended well, and how the model is looked after."""
    found = figures["loop"]
    none = dict.fromkeys(found["flows"], language.say("never"))
    if figures["published"]:
        # When somebody was erased, if anybody was, tells of one person.
        none["erase_subject"] = language.say("masked")
    flows = Panel(
        "flows",
        language.say("flows"),
        language.say("flows_caption"),
        Table(
            (language.say("flow"), language.say("last_ran")),
            tuple(
                (language.say(f"flow_{name}"), language.moment(at) if at else none[name])
                for name, at in found["flows"].items()
            ),
        ),
    )
    return Section(
        "loop", language.say("loop"), language.say("loop_intro"), (flows, _model(found, language))
    )


def _model(found: Mapping[str, Any], language: Language) -> Panel:
    champion, last = found["champion"], found["last_retrain"]
    unknown = language.say("never")
    retrained = unknown
    if last is not None:
        kind = "promoted" if last["outcome"] == "promoted" else "refused_candidate"
        retrained = language.say(kind, at=language.moment(last["at"]))
    waits = found["oldest_waiting_seconds"]
    return Panel(
        "model",
        language.say("model"),
        language.say("model_caption"),
        Table(
            (language.say("what"), language.say("value")),
            (
                (language.say("tile_champion"), champion["version"] if champion else unknown),
                (
                    language.say("champion_since"),
                    language.moment(champion["since"]) if champion else unknown,
                ),
                (language.say("last_retrain"), retrained),
                (language.say("waiting"), rounded(language, found["waiting"], found["unit"])),
                (
                    language.say("oldest_waiting"),
                    language.duration(waits) if waits else language.say("none"),
                ),
            ),
        ),
    )
