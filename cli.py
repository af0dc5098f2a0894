"""``smartmatch ...``: every ad hoc action.

Exit codes: 0 done; 1 it failed, and the reason is the last line; 2 the command was wrong;
75 try again later (a store is not ready, or another run of the same flow is at work).
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from uuid import UUID

import click

from commands import db, events, keys, ledgers, model, operation, people, release, report
from commands.shared import AS_JSON, plain, read_settings, ready_engine
from commands.usage import Guarded
from console import result, say, steps, working


@click.group(cls=Guarded, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="smartmatch")
def main() -> None:
    """Learn from what people do with the matches you propose, within what they allow.

    State lies under SMARTMATCH_HOME (data/ and mlruns/ in the checkout by default). All settings
    are in .env.example.
    """


@main.command()
def init() -> None:
    """Create the database, the keys and the first champion; what exists stays."""
    from installation import set_up_database, set_up_model

    settings = read_settings()
    set_up_database(settings)
    with working("registering the first champion"):
        version = set_up_model(settings)
    say(f"Ready under {settings.home}; the champion is version {version}.")


@main.command()
@click.option("--host", help="Address to listen on; HOST by default.")
@click.option("--port", type=click.IntRange(0, 65_535), help="Port; PORT or 8001 by default.")
def serve(host: str | None, port: int | None) -> None:
    """Serve the HTTP API until it is stopped; an empty home gets its database first."""
    from ingest_api import serve as serve_api
    from warehouse.setup import set_up_database

    given = {"host": host, "port": port}
    set_up_database(read_settings())
    settings = read_settings().model_copy(update={k: v for k, v in given.items() if v is not None})
    with suppress(KeyboardInterrupt):  # raised again once all is written
        serve_api(settings)


@main.command()
@AS_JSON
def process(*, as_json: bool) -> None:
    """Validate, anonymise and count the events that wait in staging."""
    from flows.process_events import process_events
    from warehouse.batches import count_staged

    engine = ready_engine()
    with working("processing events", lambda: count_staged(engine)):
        counts = process_events()
    result(plain(counts), as_json=as_json)


@main.command()
@AS_JSON
def aggregate(*, as_json: bool) -> None:
    """Seal finished days for publication and check the sums against a recount."""
    from flows.aggregate_metrics import aggregate_metrics

    ready_engine()
    with working("sealing and recounting"):
        report = aggregate_metrics()
    result(plain(report), as_json=as_json)


@main.command()
@click.option("--dry-run", is_flag=True, help="Count what would go, and delete nothing.")
@click.option("--as-of", help="Tell age by this time, as a dry run gave it.")
@click.option("--clock-is-right", is_flag=True, help="Believe a clock far ahead of the last purge.")
@AS_JSON
def purge(*, dry_run: bool, as_of: str | None, clock_is_right: bool, as_json: bool) -> None:
    """Delete what is past its retention, and keep the evidence."""
    from datetime import datetime

    from flows.purge_expired import purge_expired
    from schemas.errors import InvalidInput

    try:
        by = datetime.fromisoformat(as_of) if as_of else None
    except ValueError:
        raise InvalidInput("as_of", "must be a time as a dry run gave it") from None
    ready_engine()
    with working("purging"):
        purged = purge_expired(dry_run=dry_run, as_of=by, clock_is_right=clock_is_right)
    result(plain(purged), as_json=as_json)


@main.command()
@AS_JSON
def retrain(*, as_json: bool) -> None:
    """Learn from the decisions so far; promote a candidate only if it is shown to be better."""
    from flows.retrain_model import retrain_model

    ready_engine()
    with working("retraining"):
        retrained = retrain_model()
    result(plain(retrained), as_json=as_json)


@main.command()
@click.argument(
    "which",
    type=click.Choice(
        ["acceptance", "satisfaction", "constraints", "funnel", "trend", "models", "drift"]
    ),
    default="acceptance",
)
@click.option("--days", type=click.IntRange(1, 3_660), default=30, show_default=True)
@click.option("--published", is_flag=True, help="Only what may be published: sealed blocks.")
@AS_JSON
def metrics(which: str, days: int, *, published: bool, as_json: bool) -> None:
    """Show a metric of the last days."""
    from datetime import UTC, datetime

    import warehouse.metrics
    from warehouse.drift_days import drift

    read = drift if which == "drift" else getattr(warehouse.metrics, which)
    found = read(ready_engine(), days, datetime.now(UTC), published=published)
    masked = published and found["window"]["since"] is not None
    result(found, as_json=as_json, absent="masked" if masked else "none")


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--url", help="A running server; the embedded database by default.")
def replay(file: Path, url: str | None) -> None:
    """Send the decisions of FILE as events: consents, proposals, decisions, ratings.

    FILE is a CSV with the columns wave, iid, pid, gender, round, order, attr, sinc, intel, fun,
    amb, shar, dec, like; docs/learning.md says what each means. An evening becomes a day, the last
    one yesterday. Sent twice, nothing is stored twice.
    """
    from datetime import UTC, datetime

    from replay import replay_decisions

    with steps("replaying") as progress:
        today = datetime.now(UTC).date()
        counts = replay_decisions(file, url=url, today=today, progress=progress)
    result(plain(counts), as_json=False)


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
    """Watch proposals become a better model: the whole loop over HTTP, in a database of its own.

    Real decisions are a CSV with the columns wave, iid, pid, gender, round, order, attr, sinc,
    intel, fun, amb, shar, dec, like, a row per person and partner; docs/learning.md says what
    each means.
    """
    from demo.run import run_demo

    run_demo(read_settings(), data=data, turns=turns, seed=seed)


def _run_number(_context: click.Context, _option: click.Parameter, value: str) -> str:
    """Refuse what is no number of a run before Prefect keeps it as a flow's parameter."""
    try:
        return str(UUID(value))
    except ValueError:
        raise click.BadParameter("must be the number of a run, a UUID") from None


@main.command(hidden=True)
@click.argument("flow", type=click.Choice(["retrain_model", "purge_expired", "erase_subject"]))
@click.option("--run", "run_id", required=True, callback=_run_number)
def run(flow: str, run_id: str) -> None:
    """Run a flow that was asked for over HTTP, and note how it ended."""
    from background import run_in_background

    run_in_background(read_settings(), flow, run_id)


for command in (
    *db.COMMANDS,
    *events.COMMANDS,
    *keys.COMMANDS,
    *ledgers.COMMANDS,
    *model.COMMANDS,
    *operation.COMMANDS,
    *people.COMMANDS,
    *release.COMMANDS,
    *report.COMMANDS,
):
    main.add_command(command)


if __name__ == "__main__":
    main()
