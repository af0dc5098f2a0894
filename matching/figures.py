"""Pictures of what was learned; the only home of matplotlib."""

from __future__ import annotations

from base64 import b64encode
from io import BytesIO
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from matching.weights import coefficients

if TYPE_CHECKING:
    from matching.backtest import Backtest
    from matching.model import Model
    from matching.training import Retraining
    from matching.weights import Weights

NEW, OLD, PLAIN = "#1f6fb4", "#c06c2b", "#8a8a8a"
SIDES = {("side", "0"): "first side", ("side", "1"): "second side"}
"""What is said for the ``side`` that a platform sends as 0 or 1."""


def weights_figure(found: Weights) -> Figure:
    """Draw the weights of a cost matrix with their intervals, beside the matcher's own."""
    table = found.table.sort_values("weight").reset_index(drop=True)
    figure = Figure(figsize=(7, 1.4 + 0.4 * len(table)), layout="constrained")
    axes = figure.subplots()
    distance = [table["weight"] - table["lower"], table["upper"] - table["weight"]]
    axes.errorbar(table["weight"], table.index, xerr=distance, fmt="o", color=NEW, label="learned")
    axes.plot(table["first"], table.index, "|", color=OLD, markersize=14, label="version 1")
    axes.axvline(0, color=PLAIN, linewidth=0.8)
    axes.set_yticks(table.index, table["name"])
    axes.set_xlabel("share of all weight (95 % interval)")
    axes.set_title(f"Weights for the cost matrix: {100 * found.moved:.0f} % moved since version 1")
    axes.legend(frameon=False)
    return figure


def coefficients_figure(model: Model) -> Figure:
    """Draw every weight of the model in log-odds with its interval."""
    table = coefficients(model).iloc[::-1].reset_index(drop=True)
    figure = Figure(figsize=(7, 1.4 + 0.22 * len(table)), layout="constrained")
    axes = figure.subplots()
    distance = [table["weight"] - table["lower"], table["upper"] - table["weight"]]
    axes.errorbar(table["weight"], table.index, xerr=distance, fmt=".", color=NEW)
    axes.axvline(0, color=PLAIN, linewidth=0.8)
    axes.set_yticks(table.index, table["name"], fontsize=7)
    axes.set_xlabel("log-odds of acceptance a unit (95 % interval)")
    axes.set_title("What the model weighs")
    return figure


def calibration_figure(found: Retraining) -> Figure:
    """Draw how often proposals were accepted that were said to be, on held-out rounds."""
    table = found.calibration
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=PLAIN, linewidth=0.8)
    largest = max(float(table["rows"].max()), 1.0) if len(table) else 1.0
    axes.scatter(
        table["predicted"],
        table["accepted"],
        s=20 + 180 * table["rows"] / largest,
        color=NEW,
        clip_on=False,
    )
    axes.set(
        xlim=(0, 1),
        ylim=(0, 1),
        xlabel="probability of acceptance, as predicted",
        ylabel="share that was accepted",
        title="Calibration on unseen rounds (area: decisions)",
    )
    return figure


def gate_figure(found: Retraining) -> Figure:
    """Draw the gain over the champion with its interval, as a whole and in each slice."""
    slices = found.slices
    names = [
        SIDES.get((str(row.slicing), str(row.label)), f"{row.slicing}: {row.label}")
        for row in slices.itertuples()
    ]
    figure = Figure(figsize=(7, 1.8 + 0.22 * len(names)), layout="constrained")
    axes = figure.subplots()
    errors = (slices["gain"] / slices["z"]).abs().fillna(0)
    axes.errorbar(slices["gain"], range(len(names)), xerr=2 * errors, fmt=".", color=NEW)
    if "gain" in found.metrics:
        mean = found.metrics["gain"]
        reach = [[mean - found.metrics["gain_lower"]], [found.metrics["gain_upper"] - mean]]
        axes.errorbar([mean], [len(names)], xerr=reach, fmt="o", color=OLD)
        names.append("all")
    axes.axvline(0, color=PLAIN, linewidth=0.8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_xlabel("gain over the champion, nats a decision (95 % interval; right of 0 is better)")
    axes.set_title("Promoted" if found.verdict.promote else "Champion kept")
    return figure


def as_data_uri(figure: Figure) -> str:
    """Return a figure as a PNG within an address, for pages that load nothing else."""
    image = BytesIO()
    figure.savefig(image, format="png", dpi=80)
    return f"data:image/png;base64,{b64encode(image.getvalue()).decode()}"


def backtest_figure(found: Backtest) -> Figure:
    """Draw mutual matches so far, and the surprise of each evening, by policy."""
    table = found.evenings
    figure = Figure(figsize=(9, 7), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    styles = {"oracle": (PLAIN, ":"), "learned": (NEW, "-"), "champion": (NEW, "--")}
    styles |= {"static": (OLD, "-"), "random": (PLAIN, "-")}
    for policy, (colour, line) in styles.items():
        total = table[policy].cumsum()
        above.plot(
            table.index + 1, total, line, color=colour, label=f"{policy}: {total.iloc[-1]:.0f}"
        )
    above.set_ylabel("mutual matches so far")
    above.set_title(
        f"{found.proposals} proposal(s) a person and evening, {found.reveal} decisions revealed"
    )
    above.legend(frameon=False)
    below.plot(table.index + 1, table["log_loss"], "-o", color=NEW, label="learned")
    below.plot(table.index + 1, table["champion_log_loss"], "--", color=NEW, label="champion")
    below.set(xlabel="evening", ylabel="log loss, nats a decision")
    below.legend(frameon=False)
    return figure
