"""What a person may ask for, and the consent ledger."""

from __future__ import annotations

import sys
from typing import Any

import click

from commands.shared import AS_JSON, plain, read_settings, ready_engine
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
@SUBJECT
@AS_JSON
def erase(user_id: str, *, as_json: bool) -> None:
    """Erase a person: their events, their part in the metrics; name the models that saw them."""
    from datetime import UTC, datetime

    from flows.erase_subject import erase_subject
    from warehouse.erasure_requests import begin

    engine = ready_engine()
    request = begin(engine, _subject(engine, user_id), datetime.now(UTC))
    with working("erasing"):
        done = erase_subject(request)
    result(plain(done), as_json=as_json)


@click.command()
@SUBJECT
def export(user_id: str) -> None:
    """Write everything that is held about a person, as JSON."""
    from warehouse.access import export as read_export

    engine = ready_engine()
    result(read_export(engine, _subject(engine, user_id)), as_json=True)


@click.command()
@click.option(
    "--json", "as_json", is_flag=True, help="Write the spans found, a JSON object a line."
)
def redact(*, as_json: bool) -> None:
    """Read lines, write them with personal data replaced by its type."""
    from privacy.redaction import redact_lines

    for line in redact_lines(sys.stdin, as_json=as_json):
        click.echo(line)


def _subject(engine: Any, user_id: str) -> int:
    from privacy.pseudonyms import subject_pseudonym
    from warehouse.consents import find_subject
    from warehouse.keyfile import read_ring

    ring = read_ring(read_settings().keys)
    pseudonyms = [subject_pseudonym(key.secret, user_id) for key in ring.pseudonym_keys]
    return find_subject(engine, pseudonyms)


COMMANDS = (
    consent,
    erase,
    export,
    redact,
)
