"""What a person may ask for."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from commands.shared import (
    AS_JSON,
    find_people,
    plain,
    pseudonyms_of,
    read_settings,
    ready_engine,
)
from console import result, say, working
from schemas.errors import SmartMatchError

if TYPE_CHECKING:
    from collections.abc import Iterator

SUBJECT = click.option("--user-id", required=True, help="The person, as the platform names them.")


@click.command()
@click.option("--user-id", help="The person, as the platform names them.")
@click.option("--pending", is_flag=True, help="Finish every request that is not done.")
@click.option("--key-id", help="Only whom this pseudonym key knows, where two subjects answer.")
@AS_JSON
def erase(user_id: str | None, *, pending: bool, key_id: str | None, as_json: bool) -> None:
    """Erase a person: their events, their part in the metrics; name the models; prove it.

    The report counts rows and places in every store before and after. Who is two subjects, because
    keys were apart for a while, is erased as both, unless one is not as it was written. Run again
    after a stop it goes on; --pending does, too, and cannot search for the id, which it does not
    know.
    """
    from flows.erase_subject import erase_person, erase_subject
    from warehouse.erasure_requests import close_left_cases, pending_erasures

    if pending == (user_id is not None):
        raise click.UsageError("give --user-id, or --pending")
    engine = ready_engine()
    requests = _begin(engine, user_id, key_id) if user_id else pending_erasures(engine)
    if not requests:
        say("No request is pending.")
    failed: list[Exception] = []
    for request in requests:
        with _keeping(failed):
            with working("erasing"):
                done = erase_person(request, user_id) if user_id else erase_subject(request)
            result(plain(done), as_json=as_json)
    if pending:
        with _keeping(failed):
            close_left_cases(engine, read_settings().keys)
    if failed:
        raise failed[0]


@contextmanager
def _keeping(failed: list[Exception]) -> Iterator[None]:
    """Keep what fails for the end: one erasure keeps no other from its own."""
    try:
        yield
    except (SmartMatchError, OSError) as error:
        failed.append(error)


def _begin(engine: Any, user_id: str, key_id: str | None) -> list[str]:
    from datetime import UTC, datetime

    from warehouse.engine import writing
    from warehouse.erasure_requests import begin_each

    known_as = pseudonyms_of(user_id, key_id)
    with writing(engine) as connection:
        return begin_each(connection, read_settings().keys, known_as, datetime.now(UTC))


def _swept(engine: Any, user_id: str) -> Any:
    from privacy.traces import looker, of_identifier
    from warehouse.stores import sweep

    return sweep(engine, read_settings(), looker(of_identifier(user_id)))


@click.command()
@SUBJECT
@AS_JSON
def search(user_id: str, *, as_json: bool) -> None:
    """Search every byte of every store for an identifier. Exit code 1 where it is found."""
    with working("searching"):
        swept = _swept(ready_engine(), user_id)
    result([plain(one) for one in swept], as_json=as_json)
    if any(one.found for one in swept):
        sys.exit(1)


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
    found = access.export_person(engine, find_people(engine, user_id), settings, opened)
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
    erase,
    export,
    redact,
    search,
)
