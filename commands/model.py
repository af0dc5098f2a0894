"""The model: what it weighs, its versions, and what it would have won."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.shared import (
    AS_JSON,
    find_person,
    open_registry,
    plain,
    read_settings,
    ready_engine,
)
from console import result, say, steps, table, working

if TYPE_CHECKING:
    from matching.backtest import Backtest
    from matching.explanation import Explanation


@click.command()
@AS_JSON
def weights(*, as_json: bool) -> None:
    """Show the champion's weights for a weighted-sum cost matrix, with intervals."""
    import msgspec

    from matching.handback import weights_document

    document = msgspec.json.decode(weights_document(*open_registry().champion()))
    result(document, as_json=as_json)


@click.command()
@AS_JSON
def versions(*, as_json: bool) -> None:
    """List the model's versions, newest first, and why each was promoted or not."""
    result([plain(version) for version in open_registry().versions()], as_json=as_json)


@click.command()
def rollback() -> None:
    """Make the previous champion champion again, exactly."""
    from installation import roll_back

    ready_engine()
    say(f"The champion is version {roll_back(read_settings())}.")


@click.command("watch-drift")
@AS_JSON
def watch_drift(*, as_json: bool) -> None:
    """Hold the days since training against training; beyond the bounds, ask for a retrain."""
    from flows.watch_drift import watch_drift as watch

    ready_engine()
    with working("comparing"):
        found = watch()
    result(plain(found), as_json=as_json)


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--reveal", type=click.Choice(["all", "proposed"]), default="proposed")
@click.option("--proposals", type=click.IntRange(1, 50), default=1, show_default=True)
@click.option("--figure", type=click.Path(path_type=Path), help="Write a plot to this PNG.")
@AS_JSON
def backtest(
    file: Path, reveal: str, proposals: int, figure: Path | None, *, as_json: bool
) -> None:
    """Ask what learning would have won: replay complete outcomes evening after evening.

    FILE is a CSV with the columns wave, iid, pid, gender, round, order, attr, sinc, intel, fun,
    amb, shar, dec, like, a row per person and partner; docs/learning.md says what each means.
    """
    from matching.backtest import backtest as run
    from matching.figures import backtest_figure
    from matching.rounds import read_decisions

    with steps("evening") as progress:
        found = run(
            read_decisions(file),
            reveal="all" if reveal == "all" else "proposed",
            proposals=proposals,
            progress=progress,
        )
    if figure:
        backtest_figure(found).savefig(figure, dpi=150)
    if as_json:
        result(found.to_dict(), as_json=True)
    else:
        _show_evenings(found)


def _show_evenings(found: Backtest) -> None:
    counted = ("pairs", "random", "static", "champion", "learned", "oracle")
    worth = ("log_loss", "auc", "calibration_error")
    shown = ("log_loss", "calibration_error")
    evenings = found.evenings.to_dict("records")
    rows: list[dict[Any, Any]] = [*evenings, {"round": "all", **found.totals}]
    table(
        "Mutual matches of each policy, and how well `learned` foresaw decisions",
        ("evening", *counted, "log loss", "ECE"),
        [
            (
                row["round"],
                *(
                    f"{row[name]:,.1f}" if name == "random" else f"{row[name]:,.0f}"
                    for name in counted
                ),
                *(f"{row[name]:.3f}" for name in shown),
            )
            for row in rows
        ],
    )
    result(
        {
            "champion": {name: found.totals[f"champion_{name}"] for name in worth},
            "promotions": int(found.totals["promotions"]),
            "out_of_fold": found.out_of_fold,
        },
        as_json=False,
    )


@click.command()
@click.option("--match", "match_id", required=True, help="The match, as the platform names it.")
@click.option("--user-id", help="Explain this person's proposal alone.")
@AS_JSON
def explain(match_id: str, user_id: str | None, *, as_json: bool) -> None:
    """Say what each constraint added to the score of a match, by the version that proposed it."""
    from matching.explanation import context_sent, explain_match
    from privacy.pseudonyms import match_key
    from schemas.purposes import Purpose
    from warehouse.keyfile import read_ring
    from warehouse.proposals import NoSuchProposal, read_match

    engine = ready_engine()
    key = match_key(read_ring(read_settings().keys).linking.secret, match_id)
    rows = read_match(engine, key, purpose=Purpose.ANALYTICS)
    subjects = rows["subject"].tolist()
    if not context_sent(rows):
        rows = read_match(engine, key, purpose=Purpose.ANALYTICS, whole_day=True)
    registry = open_registry()
    champion, current = registry.champion()
    models = {current: champion}
    for version in registry.versions():
        if (rows["model_version"] == version.version).any():
            models[version.version] = registry.load(version.version)[0]
    found = explain_match(rows, key, models, current)
    if user_id is not None:
        person = find_person(engine, user_id)
        if person not in subjects:
            raise NoSuchProposal("this match was not proposed to this person, or is not to be read")
        found = [found[subjects.index(person)]]
    _show(found, as_json=as_json)


def _show(found: list[Explanation], *, as_json: bool) -> None:
    if as_json:
        result({"proposals": [one.to_dict() for one in found]}, as_json=True)
        return
    for one in found:
        side = "" if one.side is None else f" of side {one.side}"
        rows: list[tuple[Any, ...]] = [
            (
                name,
                "missing" if part.satisfaction is None else f"{part.satisfaction:.2f}",
                f"{part.contribution:+.3f}",
            )
            for name, part in one.constraints.items()
        ]
        rows += [(name, "", f"{amount:+.3f}") for name, amount in one.others.items() if amount]
        table(
            f"A party{side} accepts with {one.p_accept:.1%}, says version {one.version}",
            ("part", "satisfaction", "log-odds"),
            rows,
        )
        if not one.context_sent:
            say("The proposal came without its context; it was made of the day's proposals.")


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--policy", help="Evaluate this version, or `matcher`; FILE then holds every feasible pair."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@AS_JSON
def ope(file: Path, policy: str | None, seed: int, *, as_json: bool) -> None:
    """Estimate what another matcher would have got from what FILE logged.

    FILE is a CSV or Parquet table with the columns reward, propensity and target_propensity, or
    for --policy with every feasible pair of each round; docs/learning.md lists the columns. Exit
    code 1 and the reason where the log knows too little about the other matcher.
    """
    from commands.tables import read_table
    from matching.ope import SupportTooLow, evaluate
    from matching.target_policy import log_of_target

    log = read_table(file)
    if policy is not None:
        model = None if policy == "matcher" else open_registry().load(policy)[0]
        with steps("assigning") as progress:
            log = log_of_target(log, model, progress=progress)
    try:
        found = evaluate(log, seed=seed)
    except SupportTooLow as refusal:
        result({"refused": str(refusal), "overlap": plain(refusal.overlap)}, as_json=as_json)
        raise
    if as_json:
        result(found.to_dict(), as_json=True)
        return
    interval = f"{found.confidence:.0%} interval"
    table(
        "Mean reward of what the other matcher would propose",
        ("estimator", "value", interval, "bootstrap"),
        [
            (
                one.estimator,
                f"{one.value:#.4g}",
                f"{one.lower:#.4g} to {one.upper:#.4g}",
                f"{one.bootstrap_lower:#.4g} to {one.bootstrap_upper:#.4g}",
            )
            for one in found.estimates
        ],
    )
    result({"overlap": plain(found.overlap)}, as_json=False)


COMMANDS = (
    weights,
    versions,
    rollback,
    backtest,
    explain,
    ope,
    watch_drift,
)
