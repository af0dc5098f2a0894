"""The schema of the database, and how it changes with the code."""

from __future__ import annotations

from typing import Any

import click

from commands.shared import AS_JSON, read_settings
from console import result, say


def _engine() -> Any:
    from warehouse.engine import connect

    return connect(read_settings().url)


@click.group()
def db() -> None:
    """Look after the schema and the file of the database."""


@db.command("current")
@AS_JSON
def db_current(*, as_json: bool) -> None:
    """Say which schema the database has, and which one this code needs."""
    from warehouse.engine import reading
    from warehouse.revision import HEAD, revision_of

    with reading(_engine()) as connection:
        found = revision_of(connection)
    result({"database": found, "code": HEAD, "ready": found == HEAD}, as_json=as_json)


@db.command("upgrade")
@click.argument("revision", default="head")
def db_upgrade(revision: str) -> None:
    """Bring the schema up to this code's, or to REVISION; rows stay.

    Triggers that refuse change are put back where they are missing.
    """
    from warehouse.engine import writing
    from warehouse.guards import put_back
    from warehouse.keyfile import has_ring
    from warehouse.migrations import upgrade  # imports Alembic
    from warehouse.newest_head import NewestHead
    from warehouse.revision import HEAD

    engine, keys = _engine(), read_settings().keys
    before, after = upgrade(engine, revision)
    if after == HEAD:
        if has_ring(keys):
            NewestHead(keys).demand_seals(engine)
        with writing(engine) as connection:
            for name in put_back(connection):
                say(f"The trigger {name} was missing or changed, and is put back.")
    say(f"The schema was {before or 'absent'} and is {after}.")


@db.command("downgrade")
@click.argument("revision")
@click.confirmation_option(prompt="What only the newer schema holds is lost. Go on?")
def db_downgrade(revision: str) -> None:
    """Take the schema back to REVISION; `base` for none at all."""
    from warehouse.keyfile import has_ring
    from warehouse.migrations import downgrade  # imports Alembic
    from warehouse.newest_head import NewestHead
    from warehouse.revision import SEALED

    keys = read_settings().keys
    before, after = downgrade(_engine(), revision)
    if (after or "") < SEALED and has_ring(keys):
        NewestHead(keys).demand_no_seals()
    say(f"The schema was {before or 'absent'} and is {after or 'absent'}.")


@db.command("compact")
def db_compact() -> None:
    """Write SQLite's database anew, without what deleted rows left; writers wait meanwhile."""
    from schemas.errors import NotReady
    from warehouse.engine import is_postgres
    from warehouse.residue import compact

    engine = _engine()
    if not compact(engine):
        raise NotReady("the database is in use, or its disk has no room for a copy")
    if is_postgres(engine):
        say(
            "The planner keeps nothing of deleted rows. PostgreSQL's dead rows and its log do,"
            " until they are recycled: keyed pseudonyms, figures, redacted texts."
        )
        return
    say("Nothing of deleted rows is left in the database.")


COMMANDS = (db,)
