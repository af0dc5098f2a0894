"""``smartmatch ...``: every ad hoc action.

Exit codes: 0 done; 1 it failed, and the reason is the last line; 2 the command was wrong;
75 try again later (a store is not ready, or another run of the same flow is at work).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from console import result, say, steps, working

EXIT_FAILED, EXIT_TRY_AGAIN = 1, 75

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Write the result as JSON.")
SUBJECT = click.option("--user-id", required=True, help="The person, as the platform names them.")


class _Guarded(click.Group):
    """Turn every error of ours into one line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        from schemas.errors import NotReady, SmartMatchError
        from warehouse.leases import LeaseHeld

        try:
            return super().invoke(ctx)
        except SmartMatchError as error:
            say(f"smartmatch: {error}")
            again = isinstance(error, NotReady | LeaseHeld)
            sys.exit(EXIT_TRY_AGAIN if again else EXIT_FAILED)


@click.group(cls=_Guarded, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="smartmatch")
def main() -> None:
    """Learn from what people do with the matches you propose, within what they allow.

    State lies under SMARTMATCH_HOME (data/ and mlruns/ in the checkout by default). All settings
    are in .env.example.
    """


def _settings() -> Any:
    from schemas.settings import Settings  # pydantic costs more than --help may take

    return Settings()


def _engine() -> Any:
    from warehouse.engine import check_ready, connect

    engine = connect(_settings().url)
    check_ready(engine)
    return engine


def _registry() -> Any:
    from matching.registry import Registry

    settings = _settings()
    return Registry(settings.tracking_uri, str(settings.artifacts), settings.model_name)


@main.command()
def init() -> None:
    """Create the database, the keys and the first champion; what exists stays."""
    from installation import set_up_database, set_up_model

    settings = _settings()
    set_up_database(settings)
    with working("registering the first champion"):
        version = set_up_model(settings)
    say(f"Ready under {settings.home}; the champion is version {version}.")


@main.command()
@click.option("--host", help="Address to listen on; HOST by default.")
@click.option("--port", type=click.IntRange(0, 65_535), help="Port; PORT or 8001 by default.")
def serve(host: str | None, port: int | None) -> None:
    """Serve the HTTP API until it is stopped."""
    from ingest_api import serve as serve_api

    given = {"host": host, "port": port}
    serve_api(_settings().model_copy(update={k: v for k, v in given.items() if v is not None}))


@main.command()
@AS_JSON
def process(*, as_json: bool) -> None:
    """Validate, anonymise and count the events that wait in staging."""
    from flows.process_events import process_events
    from warehouse.batches import count_staged

    engine = _engine()
    with working("processing events", lambda: count_staged(engine)):
        counts = process_events()
    result(_plain(counts), as_json=as_json)


@main.command()
@AS_JSON
def aggregate(*, as_json: bool) -> None:
    """Seal finished days for publication and check the sums against a recount."""
    from flows.aggregate_metrics import aggregate_metrics

    _engine()
    with working("sealing and recounting"):
        report = aggregate_metrics()
    result(_plain(report), as_json=as_json)


@main.command()
@click.option("--dry-run", is_flag=True, help="Count what would go, and delete nothing.")
@AS_JSON
def purge(*, dry_run: bool, as_json: bool) -> None:
    """Delete what is past its retention, and keep the evidence."""
    from flows.purge_expired import purge_expired

    _engine()
    with working("purging"):
        purged = purge_expired(dry_run=dry_run)
    result(_plain(purged), as_json=as_json)


@main.command()
@AS_JSON
def retrain(*, as_json: bool) -> None:
    """Learn from the decisions so far; promote a candidate only if it is shown to be better."""
    from flows.retrain_model import retrain_model

    _engine()
    with working("retraining"):
        retrained = retrain_model()
    result(_plain(retrained), as_json=as_json)


@main.command()
@click.argument(
    "which",
    type=click.Choice(["acceptance", "satisfaction", "constraints", "funnel", "models"]),
    default="acceptance",
)
@click.option("--days", type=click.IntRange(1, 3_660), default=30, show_default=True)
@click.option("--published", is_flag=True, help="Only what may be published: sealed blocks.")
@AS_JSON
def metrics(which: str, days: int, *, published: bool, as_json: bool) -> None:
    """Show a metric of the last days."""
    from datetime import UTC, datetime

    import warehouse.metrics

    read = getattr(warehouse.metrics, which)
    result(read(_engine(), days, datetime.now(UTC), published=published), as_json=as_json)


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--url", help="A running server; the embedded database by default.")
def replay(file: Path, url: str | None) -> None:
    """Send the decisions of FILE as events: consents, proposals, decisions, ratings.

    FILE is a CSV with the columns wave, iid, pid, gender, round, order, attr, sinc, intel, fun,
    amb, shar, dec, like. An evening becomes a day, the last one yesterday. Sent twice, nothing is
    stored twice.
    """
    from datetime import UTC, datetime

    from replay import replay_decisions

    with steps("replaying") as progress:
        today = datetime.now(UTC).date()
        counts = replay_decisions(file, url=url, today=today, progress=progress)
    result(_plain(counts), as_json=False)


@main.command()
@click.option(
    "--data",
    help="CSV of real decisions, or `openml` to fetch SpeedDating; a simulated market by default.",
)
@click.option(
    "--turns", type=click.IntRange(2, 60), help="Turns of the loop; 8 simulated, all real."
)
@click.option("--seed", type=click.IntRange(0), default=7, show_default=True)
def demo(data: str | None, turns: int | None, seed: int) -> None:
    """Watch proposals become a better model: the whole loop over HTTP, in a database of its own."""
    from demo.run import run_demo

    run_demo(_settings(), data=data, turns=turns, seed=seed)


@main.group()
def rejected() -> None:
    """Look at events that broke an expectation, and send them through again after a fix."""


@rejected.command("list")
@AS_JSON
def rejected_list(*, as_json: bool) -> None:
    """List rejected events with their reasons; no value of theirs is shown."""
    from warehouse.rejections import list_rejected

    result(_plain(list_rejected(_engine())), as_json=as_json)


@rejected.command("replay")
@click.argument("seqs", nargs=-1, type=int)
@click.option("--all", "every", is_flag=True, help="All of them.")
def rejected_replay(seqs: tuple[int, ...], *, every: bool) -> None:
    """Move rejected events back to staging, by number or all."""
    from warehouse.rejections import replay_rejected

    if every == bool(seqs):
        raise click.UsageError("give numbers, or --all")
    say(
        f"{replay_rejected(_engine(), None if every else list(seqs))} events wait in staging again."
    )


@main.command()
@click.option("--event-ids", is_flag=True, help="Print the id of every stored event, one a line.")
@AS_JSON
def audit(*, event_ids: bool, as_json: bool) -> None:
    """Balance the books: what was received, and what became of it. Exit code 1 if they differ."""
    from warehouse.audit import balance, stored_event_ids

    engine = _engine()
    if event_ids:
        for event_id in stored_event_ids(engine):
            click.echo(event_id)
        return
    books = balance(engine)
    result(_plain(books), as_json=as_json)
    if not books.agrees:
        sys.exit(EXIT_FAILED)


@main.group()
def consent() -> None:
    """Look after the consent ledger."""


@consent.command("verify")
def consent_verify() -> None:
    """Check the ledger's chain of hashes. Exit code 1 if it is broken."""
    from warehouse.consents import verify

    say(f"{verify(_engine())} entries, unbroken.")


@main.command()
@SUBJECT
@AS_JSON
def erase(user_id: str, *, as_json: bool) -> None:
    """Erase a person: their events, their part in the metrics; name the models that saw them."""
    from datetime import UTC, datetime

    from flows.erase_subject import erase_subject
    from warehouse.erasure_requests import begin

    engine = _engine()
    request = begin(engine, _subject(engine, user_id), datetime.now(UTC))
    with working("erasing"):
        done = erase_subject(request)
    result(_plain(done), as_json=as_json)


@main.command()
@SUBJECT
def export(user_id: str) -> None:
    """Write everything that is held about a person, as JSON."""
    from warehouse.access import export as read_export

    engine = _engine()
    result(read_export(engine, _subject(engine, user_id)), as_json=True)


@main.group()
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

    key, text = create(_engine(), name, [Scope(scope) for scope in scopes], datetime.now(UTC))
    say(f"Key {key.key_id}; it is shown this once:")
    click.echo(text)


@keys.command("list")
@AS_JSON
def keys_list(*, as_json: bool) -> None:
    """List the keys, without themselves."""
    from warehouse.api_keys import read_keys

    result([_plain(key) for key in read_keys(_engine())], as_json=as_json)


@keys.command("revoke")
@click.argument("key_id")
def keys_revoke(key_id: str) -> None:
    """Revoke a key; servers refuse it within a second."""
    from datetime import UTC, datetime

    from warehouse.api_keys import revoke

    revoke(_engine(), key_id, datetime.now(UTC))
    say(f"Key {key_id} is revoked.")


@keys.command("rotate")
@click.argument("key_id")
def keys_rotate(key_id: str) -> None:
    """Make another key of the same name and scopes, and print it; the old one stays valid."""
    from datetime import UTC, datetime

    from warehouse.api_keys import rotate

    key, text = rotate(_engine(), key_id, datetime.now(UTC))
    say(f"Key {key.key_id} beside {key_id}; revoke that one when callers have changed over:")
    click.echo(text)


@main.command()
@click.option(
    "--json", "as_json", is_flag=True, help="Write the spans found, a JSON object a line."
)
def redact(*, as_json: bool) -> None:
    """Read lines, write them with personal data replaced by its type."""
    from privacy.redaction import redact_lines

    for line in redact_lines(sys.stdin, as_json=as_json):
        click.echo(line)


@main.command()
@AS_JSON
def weights(*, as_json: bool) -> None:
    """Show the champion's weights for a weighted-sum cost matrix, with intervals."""
    import msgspec

    from matching.handback import weights_document

    document = msgspec.json.decode(weights_document(*_registry().champion()))
    result(document, as_json=as_json)


@main.command()
@AS_JSON
def versions(*, as_json: bool) -> None:
    """List the model's versions, newest first, and why each was promoted or not."""
    result([_plain(version) for version in _registry().versions()], as_json=as_json)


@main.command()
def rollback() -> None:
    """Make the previous champion champion again, exactly."""
    from installation import publish_champion

    version = _registry().rollback()
    publish_champion(_settings())
    say(f"The champion is version {version}.")


@main.command()
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


@main.command(hidden=True)
@click.argument("flow", type=click.Choice(["retrain_model", "purge_expired", "erase_subject"]))
@click.option("--run", "run_id", required=True)
def run(flow: str, run_id: str) -> None:
    """Run a flow that was asked for over HTTP, and note how it ended."""
    from background import run_in_background

    run_in_background(_settings(), flow, run_id)


def _subject(engine: Any, user_id: str) -> int:
    from privacy.pseudonyms import subject_pseudonym
    from warehouse.consents import find_subject
    from warehouse.keyfile import read_ring

    ring = read_ring(_settings().keys)
    pseudonyms = [subject_pseudonym(key.secret, user_id) for key in ring.pseudonym_keys]
    return find_subject(engine, pseudonyms)


def _plain(value: Any) -> dict[str, Any]:
    """Return a frozen dataclass as a mapping."""
    from dataclasses import asdict

    return asdict(value)


if __name__ == "__main__":
    main()
