"""The report: the dashboard as one file that may be sent."""

from __future__ import annotations

from pathlib import Path

import click

from commands.shared import read_settings, ready_engine
from console import say


@click.command()
@click.option("--days", type=click.IntRange(1, 760), default=30, show_default=True)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    required=True,
    help="The file to write.",
)
@click.option("--lang", type=click.Choice(["en", "fr"]), default="en", show_default=True)
def report(days: int, out: Path, lang: str) -> None:
    """Write the dashboard of the last days as one HTML file that is safe to send.

    Only published figures are in it: whole sealed blocks of at least k people, other counts
    rounded down. It opens without a network and prints.
    """
    from datetime import UTC, datetime

    from dashboard.page import render
    from schemas.errors import NotReady
    from warehouse.figures import read_figures

    engine = ready_engine()
    figures = read_figures(engine, read_settings(), days, datetime.now(UTC), published=True)
    page = render(figures, lang, linked=False)
    try:
        out.write_text(page, encoding="utf-8")
    except OSError as error:
        reason = f"the report cannot be written ({error.strerror or type(error).__name__})"
        raise NotReady(reason) from None
    blocks = figures["privacy"]["publication"]["blocks"]
    say(f"{out}: of the last {days} days, published blocks: {blocks}.")


COMMANDS = (report,)
