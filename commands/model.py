"""The model: what it weighs, its versions, and what it would have won."""

from __future__ import annotations

from pathlib import Path

import click

from commands.shared import AS_JSON, open_registry, plain, read_settings
from console import result, say, steps


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
    from installation import publish_champion

    version = open_registry().rollback()
    publish_champion(read_settings())
    say(f"The champion is version {version}.")


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--reveal", type=click.Choice(["all", "proposed"]), default="proposed")
@click.option("--proposals", type=click.IntRange(1, 50), default=1, show_default=True)
@click.option("--figure", type=click.Path(path_type=Path), help="Write a plot to this PNG.")
@AS_JSON
def backtest(
    file: Path, reveal: str, proposals: int, figure: Path | None, *, as_json: bool
) -> None:
    """Ask what learning would have won: replay complete outcomes evening after evening."""
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
    result(found.to_dict(), as_json=as_json)


COMMANDS = (
    weights,
    versions,
    rollback,
    backtest,
)
