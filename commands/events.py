"""Events that were refused, and the books."""

from __future__ import annotations

import sys

import click

from commands.shared import AS_JSON, EXIT_FAILED, plain, ready_engine
from console import result, say


@click.group()
def rejected() -> None:
    """Look at events that broke an expectation, and send them through again after a fix."""


@rejected.command("list")
@AS_JSON
def rejected_list(*, as_json: bool) -> None:
    """List rejected events with their reasons; no value of theirs is shown."""
    from warehouse.rejections import list_rejected

    result(plain(list_rejected(ready_engine())), as_json=as_json)


@rejected.command("replay")
@click.argument("seqs", nargs=-1, type=int)
@click.option("--all", "every", is_flag=True, help="All of them.")
def rejected_replay(seqs: tuple[int, ...], *, every: bool) -> None:
    """Move rejected events back to staging, by number or all."""
    from warehouse.rejections import replay_rejected

    if every == bool(seqs):
        raise click.UsageError("give numbers, or --all")
    moved = replay_rejected(ready_engine(), None if every else list(seqs))
    say(f"{moved} events wait in staging again.")


@click.command()
@click.option("--event-ids", is_flag=True, help="Print the id of every stored event, one a line.")
@AS_JSON
def audit(*, event_ids: bool, as_json: bool) -> None:
    """Balance the books: what was received, and what became of it. Exit code 1 if they differ."""
    from warehouse.audit import balance, stored_event_ids

    engine = ready_engine()
    if event_ids:
        for event_id in stored_event_ids(engine):
            click.echo(event_id)
        return
    books = balance(engine)
    result(plain(books), as_json=as_json)
    if not books.agrees:
        sys.exit(EXIT_FAILED)


COMMANDS = (
    rejected,
    audit,
)
