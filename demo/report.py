"""What the demo shows at its end: a table, a picture, the weights, and where to look further."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from console import say, table
from demo.home import environment
from warehouse.proportions import wilson

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from demo.loop import Turn
    from matching.weights import Weights
    from schemas.settings import Settings

LEARNED, OWN, POSSIBLE = "#1f6fb4", "#c06c2b", "#8a8a8a"


def show_turns(turns: list[Turn]) -> None:
    """Print a row a turn, and the sums."""
    rows = [
        (
            turn.name,
            turn.version,
            turn.proposed,
            turn.decided,
            _acceptance(turn.accepted, turn.decided),
            turn.mutual,
            turn.own,
            turn.possible,
            "promoted" if turn.promoted else "kept",
        )
        for turn in turns
    ]
    sums = [
        sum(getattr(turn, name) for turn in turns)
        for name in ("proposed", "decided", "accepted", "mutual", "own", "possible")
    ]
    total = ("all", "", sums[0], sums[1], _acceptance(sums[2], sums[1]), *sums[3:], "")
    table(
        "Turns of the loop. The last columns are mutual matches of one assignment: by the champion "
        "of the turn, by the matcher's own weights, by somebody who knows every decision.",
        ("turn", "model", "proposed", "decided", "accepted", "champion", "own", "best", "gate"),
        [*rows, total],
    )


def show_weights(found: Weights, version: str) -> None:
    """Print the learned weights beside the first ones."""
    rows = [
        (row.name, f"{row.first:.3f}", f"{row.weight:.3f}", f"{row.lower:.3f} to {row.upper:.3f}")
        for row in found.table.sort_values("weight", ascending=False).itertuples(index=False)
    ]
    table(
        f"Weights for the cost matrix, version {version}",
        ("constraint", "version 1", "learned", "95 % interval"),
        rows,
    )


def draw(turns: list[Turn], found: Weights, path: Path) -> None:
    """Draw acceptance by turn, mutual matches so far, and the weights."""
    figure = Figure(figsize=(15, 4.6), layout="constrained")
    acceptance, matches, weights = figure.subplots(1, 3)
    _draw_acceptance(acceptance, turns)
    _draw_matches(matches, turns)
    _draw_weights(weights, found)
    for axes in (acceptance, matches):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.savefig(path, dpi=110)


def show_next(demo: Settings, picture: Path) -> None:
    """Say where to look further."""
    say("")
    say(f"Picture:      {picture}")
    say(
        f"Load it:      MLFLOW_TRACKING_URI={demo.tracking_uri}, models:/{demo.model_name}@champion"
    )
    say("Look at all:  the next command; Ctrl-C ends it.")
    say("")
    for name, place in environment(demo).items():
        say(f"{name}={place} \\")
    say(".venv/bin/smartmatch up")
    say("")
    say(f"Dashboard:    {demo.dashboard_page}; the API's pages are under /docs")
    say(f"Prefect UI:   {demo.prefect_page}")
    say(f"MLflow UI:    {demo.model_page}")


def _acceptance(accepted: int, decided: int) -> str:
    rate = wilson(accepted, decided)
    if rate is None:
        return "none decided"
    return f"{rate.value:.0%} ({rate.lower:.0%}-{rate.upper:.0%})"


def _draw_acceptance(axes: Axes, turns: list[Turn]) -> None:
    rates = [(n, wilson(t.accepted, t.decided)) for n, t in enumerate(turns, 1)]
    known = [(n, rate) for n, rate in rates if rate is not None]
    axes.errorbar(
        [n for n, _ in known],
        [rate.value for _, rate in known],
        yerr=[
            [rate.value - rate.lower for _, rate in known],
            [rate.upper - rate.value for _, rate in known],
        ],
        fmt="o-",
        color=LEARNED,
        capsize=3,
    )
    for n, turn in enumerate(turns, 1):
        axes.annotate(f"v{turn.version}", (n, 0.02), ha="center", fontsize=8)
    axes.set(title="Acceptance of decided proposals (95 %)", xlabel="turn", ylim=(0, 1))


def _draw_matches(axes: Axes, turns: list[Turn]) -> None:
    numbers = range(1, len(turns) + 1)
    for name, label, color in (
        ("possible", "possible", POSSIBLE),
        ("mutual", "champion of the turn", LEARNED),
        ("own", "matcher's own weights", OWN),
    ):
        so_far = list(accumulate(getattr(turn, name) for turn in turns))
        axes.plot(numbers, so_far, "o-", label=label, color=color)
        axes.annotate(
            str(so_far[-1]),
            (len(turns), so_far[-1]),
            xytext=(6, -3),
            textcoords="offset points",
            color=color,
        )
    axes.set(title="Mutual matches so far, one assignment a turn", xlabel="turn", ylim=(0, None))
    axes.legend(frameon=False)


def _draw_weights(axes: Axes, found: Weights) -> None:
    ordered = found.table.sort_values("weight").reset_index(drop=True)
    reach = [ordered["weight"] - ordered["lower"], ordered["upper"] - ordered["weight"]]
    axes.errorbar(
        ordered["weight"], ordered.index, xerr=reach, fmt="o", color=LEARNED, label="learned"
    )
    axes.plot(ordered["first"], ordered.index, "|", color=OWN, markersize=14, label="version 1")
    axes.axvline(0, color=POSSIBLE, linewidth=0.8)
    axes.set_yticks(ordered.index, ordered["name"])
    axes.set(title="Weights for the cost matrix (95 %)")
    axes.legend(frameon=False)
