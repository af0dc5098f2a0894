"""The keys that callers of the API present."""

from __future__ import annotations

import click

from commands.shared import AS_JSON, plain, ready_engine
from console import result, say


@click.group()
def keys() -> None:
    """Look after the keys that callers of the API present."""


@keys.command("create")
@click.option("--name", required=True, help="What the key is for.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice(["ingest", "metrics", "admin", "privacy"]),
    help="What it may do; may be given several times.",
)
def keys_create(name: str, scopes: tuple[str, ...]) -> None:
    """Make a key and print it, this once."""
    from datetime import UTC, datetime

    from warehouse.api_keys import Scope, create

    key, text = create(ready_engine(), name, [Scope(scope) for scope in scopes], datetime.now(UTC))
    say(f"Key {key.key_id}; it is shown this once:")
    click.echo(text)


@keys.command("list")
@AS_JSON
def keys_list(*, as_json: bool) -> None:
    """List the keys, without themselves."""
    from warehouse.api_keys import read_keys

    result([plain(key) for key in read_keys(ready_engine())], as_json=as_json)


@keys.command("revoke")
@click.argument("key_id")
def keys_revoke(key_id: str) -> None:
    """Revoke a key; servers refuse it within a second."""
    from datetime import UTC, datetime

    from warehouse.api_keys import revoke

    revoke(ready_engine(), key_id, datetime.now(UTC))
    say(f"Key {key_id} is revoked.")


@keys.command("rotate")
@click.argument("key_id")
def keys_rotate(key_id: str) -> None:
    """Make another key of the same name and scopes, and print it; the old one stays valid."""
    from datetime import UTC, datetime

    from warehouse.api_keys import rotate

    key, text = rotate(ready_engine(), key_id, datetime.now(UTC))
    say(f"Key {key.key_id} beside {key_id}; revoke that one when callers have changed over:")
    click.echo(text)


COMMANDS = (keys,)
