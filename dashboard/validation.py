"""Validation over time: what each suite looked at, and how many rows broke which rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dashboard.views import Panel, Section, Table, rounded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dashboard.language import Language

_SUITES = ("staged_events", "anonymised_events", "training_set")


def suites(figures: Mapping[str, Any], language: Language) -> tuple[Section, ...]:
    """Return a section for each suite, in the order of the loop, those that never ran included.

    Args:
        figures: As ``warehouse.validations.read`` gives them.
        language: How it is written.
    """
    return tuple(_suite(name, figures, language) for name in _SUITES)


def _suite(name: str, figures: Mapping[str, Any], language: Language) -> Section:
    found = figures["suites"].get(name)
    title, intro = language.say(f"suite_{name}"), language.say(f"suite_{name}_intro")
    if found is None:
        nothing = Panel(
            f"{name}-days",
            language.say("validation_days"),
            language.say("validation_days_caption"),
            Table((), ()),
            empty=language.say("validation_empty"),
        )
        return Section(name, title, intro, (nothing,))
    unit = figures["unit"]
    panels = [
        _rules(name, found, unit, language),
        _days(name, found, unit, language),
        _broken(name, found, unit, language),
    ]
    if found["runs"]:
        panels.append(_runs(name, found, language))
    return Section(name, title, intro, tuple(panels))


def _rules(name: str, found: Mapping[str, Any], unit: int, language: Language) -> Panel:
    return Panel(
        f"{name}-rules",
        language.say("validation_rules"),
        language.say("validation_rules_caption"),
        Table(
            tuple(language.say(head) for head in ("rule", "rows_broken", "last_broken")),
            tuple(
                (
                    language.rule(rule),
                    _total(one["rows"], unit, language),
                    language.day(one["last"]) if one["last"] else language.say("none"),
                )
                for rule, one in found["rules"].items()
            ),
        ),
    )


def _total(rows: int, unit: int, language: Language) -> str:
    """Write a sum over days each of which was rounded down."""
    if unit > 1 and not rows:
        return language.say("fewer_a_day", count=language.number(unit))
    return rounded(language, rows, unit)


def _days(name: str, found: Mapping[str, Any], unit: int, language: Language) -> Panel:
    return Panel(
        f"{name}-days",
        language.say("validation_days"),
        language.say("validation_days_caption"),
        Table(
            tuple(language.say(head) for head in ("on_day", "runs", "unusable", "rows_checked")),
            tuple(
                (
                    language.day(one["day"]),
                    language.number(one["runs"]),
                    language.number(one["unusable"]),
                    rounded(language, one["rows"], unit),
                )
                for one in found["days"]
            ),
        ),
    )


def _broken(name: str, found: Mapping[str, Any], unit: int, language: Language) -> Panel:
    rows = tuple(
        (language.day(one["day"]), language.rule(rule), rounded(language, count, unit))
        for one in found["days"]
        for rule, count in one["broken"].items()
    )
    said = "validation_held" if unit == 1 else "nothing_published"
    return Panel(
        f"{name}-broken",
        language.say("validation_broken"),
        language.say("validation_broken_caption"),
        Table(tuple(language.say(head) for head in ("on_day", "rule", "rows_broken")), rows)
        if rows
        else Table((language.say("rule"),), ((language.say(said, k=unit),),)),
    )


def _runs(name: str, found: Mapping[str, Any], language: Language) -> Panel:
    return Panel(
        f"{name}-runs",
        language.say("validation_runs"),
        language.say("validation_runs_caption"),
        Table(
            tuple(language.say(head) for head in ("began", "rows_checked", "outcome")),
            tuple(
                (
                    language.moment(one["at"]),
                    language.number(one["rows"]),
                    _outcome(one, language),
                )
                for one in found["runs"]
            ),
        ),
    )


def _outcome(run: Mapping[str, Any], language: Language) -> str:
    if run["unusable"]:
        return language.say("run_unusable", rule=language.rule(run["unusable"]))
    if run["broken_rules"]:
        return language.say("rules_broken", count=language.number(run["broken_rules"]))
    return language.say("rules_held")
