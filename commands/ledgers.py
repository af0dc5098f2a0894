"""The consent ledger and the witness: check them, note a head, tell a past state; backups."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import click

from commands.people import SUBJECT
from commands.shared import AS_JSON, find_people, plain, read_settings, ready_engine
from console import result, say, working


@click.group()
def consent() -> None:
    """Look after the consent ledger."""


@consent.command("verify")
def consent_verify() -> None:
    """Check the ledger's chain, and that it holds every head that was noted outside of it.

    Also checks the seals, which only who has the keys can make: of each entry, and of whose row a
    person's is. And that everybody's state is what their last entry says and hides no withdrawal;
    the witness beside the keys, its chain and signatures; and that the report of every finished
    erasure and every release with noise is the one that was given. One that is missing is put
    back, and said to be. Exit code 1 if anything is broken.
    """
    from warehouse.consents import LedgerBroken
    from warehouse.ledgers import verify_ledgers

    checked = verify_ledgers(ready_engine(), read_settings().keys)
    sealed = f", sealed from number {checked.sealed_from} on" if checked.sealed_from else ""
    say(
        f"{checked.entries} entries, unbroken{sealed}; {checked.heads} noted heads hold;"
        f" {checked.testimonies} entries of the witness, {checked.reports} signed reports,"
        f" {checked.releases} releases with noise;"
        f" a restore was owned up to {checked.restores} times."
    )
    if checked.reports_put_back:
        say(f"{checked.reports_put_back} of the reports were missing, and are put back.")
    if checked.releases_put_back:
        say(f"{checked.releases_put_back} of the releases were missing, and are put back.")
    if checked.unguarded:
        raise LedgerBroken(checked.unguarded)


@consent.command("note")
def consent_note() -> None:
    """Note the newest entry outside the database now, as the nightly flow does."""
    from warehouse.tombstones import note_head

    head = note_head(ready_engine(), read_settings().keys, datetime.now(UTC))
    say(f"Noted: entry {head.seq}, {head.entry_hash.hex()}." if head else "The ledger is empty.")


@consent.command("show")
@SUBJECT
@click.option("--at", help="A past moment, ISO 8601 with offset; now by default.")
@AS_JSON
def consent_show(user_id: str, at: str | None, *, as_json: bool) -> None:
    """Show what a person allowed at any moment, by the ledger."""
    import msgspec

    from warehouse.consents import options_at

    engine = ready_engine()
    moment = _moment(at) if at else None
    answers = (options_at(engine, subject, moment) for subject in find_people(engine, user_id))
    known = [msgspec.structs.asdict(answer) for answer in answers if answer is not None]
    # Who is two subjects allows what both do.
    told = {name: all(one[name] for one in known) for name in known[0]} if known else None
    shown = moment or datetime.now(UTC)
    result({"at": shown.isoformat(), "options": told}, as_json=as_json)


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def backup(file: Path) -> None:
    """Write a copy of the SQLite database to FILE while it is in use.

    Keys and witness are not in it, and must not be restored with it: by them a backup that is put
    back forgets whom the living database forgot. On PostgreSQL use pg_dump or a base backup.
    """
    from warehouse.backups import back_up

    back_up(ready_engine(), file)
    say(f"Backup written to {file}; keep {read_settings().keys} elsewhere, and as it is.")


@click.command()
@click.argument("file", required=False, type=click.Path(exists=True, path_type=Path))
@click.option("--in-place", is_flag=True, help="The database was put back by other means.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def restore(file: Path | None, *, in_place: bool, yes: bool) -> None:
    """Put a backup back, and forget in it whom the witness knows to be erased.

    Stop the servers first. What was answered to the notice since the backup is lost, but for
    withdrawals, which are repeated. A model that was learned since then goes out of use. API keys
    that were made or revoked since are so again.
    """
    from installation import step_back
    from warehouse.api_keys import read_keys
    from warehouse.backups import accept_restored, put_back
    from warehouse.engine import connect

    if in_place == (file is not None):
        raise click.UsageError("give FILE, or --in-place")
    settings = read_settings()
    engine = connect(settings.url)
    if file is not None:
        if not yes:
            click.confirm("The database is replaced by the backup. Go on?", abort=True)
        put_back(engine, file, settings.keys)
    known = {key.key_id: key for key in read_keys(engine)}
    with working("following the witness"):
        carried = accept_restored(engine, settings.keys)
        champion = step_back(settings)
    say(f"Restored; {carried} erasures and withdrawals since the backup were carried out.")
    keys = read_keys(engine)
    changed = [key for key in keys if known.get(key.key_id) != key]
    if changed:
        revoked = sum(key.revoked_at is not None for key in changed)
        say(
            f"{len(changed) - revoked} API keys that were made since are valid again, and {revoked}"
            " that were revoked since are revoked again; `smartmatch keys list` shows them."
        )
    if not keys:
        say("No API key was ever made: a server then serves this machine alone.")
    if champion is not None:
        say(f"The champion is version {champion} now, by what this database knows.")


@click.command()
@click.option("--user-id", help="Which versions learned from this person.")
@click.option("--version", help="Whether everybody whom this version learned from had consented.")
@AS_JSON
def lineage(user_id: str | None, version: str | None, *, as_json: bool) -> None:
    """Tell which versions learned from whom; alone, how every version stands."""
    from warehouse import lineage as told
    from warehouse.engine import reading

    engine = ready_engine()
    if user_id is not None and version is not None:
        raise click.UsageError("give --user-id or --version, or neither")
    if user_id is not None:
        people = find_people(engine, user_id)
        with reading(engine) as connection:
            versions = (told.versions_of(connection, subject) for subject in people)
            found: Any = {
                "versions": list(dict.fromkeys(chain.from_iterable(versions))),
                "unbooked_versions": told.unbooked_note(connection),
            }
    elif version is not None:
        found = plain(told.standing(engine, version))
    else:
        found = [plain(one) for one in told.standings(engine)]
    result(found, as_json=as_json)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter("must be ISO 8601", param_hint="--at") from None
    if moment.tzinfo is None:
        raise click.BadParameter("must have an offset, such as +00:00", param_hint="--at")
    return moment


COMMANDS = (consent, backup, restore, lineage)
