"""The keys that callers of the API present, and the keys that make pseudonyms."""

from __future__ import annotations

from typing import Any

import click

from commands.shared import AS_JSON, NumberRange, plain, read_settings, ready_engine
from console import result, say, table


@click.group(invoke_without_command=True)
@click.pass_context
def keys(context: click.Context) -> None:
    """Look after the keys that callers of the API present; alone, show every kind of key."""
    if context.invoked_subcommand is None:
        from warehouse.api_keys import read_keys

        engine = ready_engine()
        callers = [plain(key) for key in read_keys(engine)]
        result({"api_keys": callers, "pseudonym_keys": _periods(engine)}, as_json=True)


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
    from warehouse.setup import set_up_database

    settings = read_settings()
    set_up_database(settings)
    key, text = create(
        ready_engine(),
        settings.keys,
        name,
        [Scope(scope) for scope in scopes],
        datetime.now(UTC),
    )
    say(f"Key {key.key_id}; it is shown this once:")
    click.echo(text)


@keys.command("list")
@AS_JSON
def keys_list(*, as_json: bool) -> None:
    """List the keys, without themselves."""
    from warehouse.api_keys import read_keys

    found = read_keys(ready_engine())
    if as_json:
        result([plain(key) for key in found], as_json=True)
        return
    table(
        "Keys of the API",
        ("key", "name", "scopes", "created", "revoked"),
        [
            (
                key.key_id,
                key.name,
                ", ".join(sorted(key.scopes)),
                _to_the_minute(key.created_at),
                "" if key.revoked_at is None else _to_the_minute(key.revoked_at),
            )
            for key in found
        ],
    )


def _to_the_minute(at: int) -> str:
    """Return a time of the database in the operator's zone."""
    from schemas.clock import moment

    return f"{moment(at).astimezone():%Y-%m-%d %H:%M}"


@keys.command("revoke")
@click.argument("key_id")
def keys_revoke(key_id: str) -> None:
    """Revoke a key; servers refuse it within a second."""
    from datetime import UTC, datetime

    from warehouse.api_keys import revoke

    revoke(ready_engine(), read_settings().keys, key_id, datetime.now(UTC))
    say(f"Key {key_id} is revoked.")


@keys.command("rotate")
@click.argument("key_id")
def keys_rotate(key_id: str) -> None:
    """Make another key of the same name and scopes, and print it; the old one stays valid."""
    from datetime import UTC, datetime

    from warehouse.api_keys import rotate

    key, text = rotate(ready_engine(), read_settings().keys, key_id, datetime.now(UTC))
    say(f"Key {key.key_id} beside {key_id}; revoke that one when callers have changed over:")
    click.echo(text)


@click.group("pseudonym-keys")
def pseudonym_keys() -> None:
    """Look after the keys by which people, matches and sessions are known."""


@pseudonym_keys.command("list")
@AS_JSON
def pseudonym_keys_list(*, as_json: bool) -> None:
    """List every key there ever was: its period, and how many people it stands for."""
    result(_periods(ready_engine()), as_json=as_json)


@pseudonym_keys.command("rotate")
@click.option(
    "--after",
    "lead_seconds",
    type=NumberRange(1, 86_400),
    default=60.0,
    show_default=True,
    help="Seconds after which the new key begins; longer than clocks of servers differ.",
)
def pseudonym_keys_rotate(lead_seconds: float) -> None:
    """Add a key; running servers take it over, and people move to it at their next contact."""
    import time

    from schemas.clock import moment
    from warehouse.clock_witness import check_clock
    from warehouse.key_rotation import rotate

    now = time.time_ns() // 1_000
    # By a clock that is years ahead it would begin then, and no later one before it.
    check_clock(ready_engine(), now)
    key = rotate(read_settings().keys, now, lead_seconds=lead_seconds)
    say(f"Key {key.key_id} makes pseudonyms from {moment(key.since).isoformat()} on.")


@pseudonym_keys.command("destroy")
@click.argument("key_id")
@click.option("--yes", is_flag=True, help="Do not ask.")
def pseudonym_keys_destroy(key_id: str, *, yes: bool) -> None:
    """Destroy a key that another has taken over from.

    Whoever has not been in contact since becomes unlinkable: their rows stay until they expire,
    and nobody can find them by who they are, to erase, to export or to withdraw.
    """
    import time

    from warehouse.key_rotation import destroy

    held = {period["key_id"]: period["subjects"] for period in _periods(ready_engine())}
    people = held.get(key_id, 0)
    if not yes:
        click.confirm(f"{people} people become unlinkable for good. Destroy it?", abort=True)
    gone = destroy(read_settings().keys, key_id, time.time_ns() // 1_000)
    say(f"Key {gone.key_id} is destroyed; {people} people are unlinkable.")


def _periods(engine: Any) -> list[dict[str, Any]]:
    from schemas.clock import moment
    from warehouse.key_rotation import periods
    from warehouse.keyfile import read_ring

    def told(at: int | None) -> str | None:
        return None if at is None else moment(at).isoformat()

    return [
        {
            "key_id": period.key_id,
            "since": told(period.since),
            "until": told(period.until),
            "destroyed_at": told(period.destroyed_at),
            "subjects": period.subjects,
            "unlinkable": period.unlinkable,
            "links_matches": period.links,
        }
        for period in periods(engine, read_ring(read_settings().keys))
    ]


COMMANDS = (keys, pseudonym_keys)
