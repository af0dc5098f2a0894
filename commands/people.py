"""What a person may ask for, and the consent ledger."""

from __future__ import annotations

import sys

import click

from commands.shared import AS_JSON, find_person, plain, read_settings, ready_engine
from console import result, say, working

SUBJECT = click.option("--user-id", required=True, help="The person, as the platform names them.")


@click.group()
def consent() -> None:
    """Look after the consent ledger."""


@consent.command("verify")
def consent_verify() -> None:
    """Check the ledger's chain of hashes. Exit code 1 if it is broken."""
    from warehouse.consents import verify

    say(f"{verify(ready_engine())} entries, unbroken.")


@click.command()
@click.option("--user-id", help="The person, as the platform names them.")
@click.option("--pending", is_flag=True, help="Finish every request that is not done.")
@AS_JSON
def erase(user_id: str | None, *, pending: bool, as_json: bool) -> None:
    """Erase a person: their events, their part in the metrics; name the models that saw them."""
    from datetime import UTC, datetime

    from flows.erase_subject import erase_subject
    from warehouse.erasure import pending_erasures
    from warehouse.erasure_requests import begin

    if pending == (user_id is not None):
        raise click.UsageError("give --user-id, or --pending")
    engine = ready_engine()
    if user_id is not None:
        requests = [begin(engine, find_person(engine, user_id), datetime.now(UTC))]
    else:
        requests = pending_erasures(engine)
    for request in requests:
        with working("erasing"):
            done = erase_subject(request)
        result(plain(done), as_json=as_json)


@click.command()
@SUBJECT
@click.option("--csv", "as_csv", is_flag=True, help="A table: part, row, field, value.")
def export(user_id: str, *, as_csv: bool) -> None:
    """Write everything that is held about a person, as JSON or CSV."""
    from functools import partial

    from privacy.sealing import open_texts
    from warehouse import access
    from warehouse.keyfile import day_key

    settings, engine = read_settings(), ready_engine()
    opened = partial(open_texts, partial(day_key, settings.keys))
    found = access.export(engine, find_person(engine, user_id), settings, opened)
    if as_csv:
        click.echo(access.as_csv(found), nl=False)
        return
    result(found, as_json=True)


@click.command()
@click.option(
    "--json", "as_json", is_flag=True, help="Write the spans found, a JSON object a line."
)
def redact(*, as_json: bool) -> None:
    """Read lines, write them with personal data replaced by its type."""
    from privacy.redaction import redact_lines

    for line in redact_lines(sys.stdin, as_json=as_json):
        click.echo(line)


COMMANDS = (
    consent,
    erase,
    export,
    redact,
)
