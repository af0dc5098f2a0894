"""Run a flow that was asked for over HTTP where no Prefect server is configured."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from schemas.errors import LeaseLost, SmartMatchError
from warehouse import runs
from warehouse.engine import connect
from warehouse.leases import LeaseHeld

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemas.settings import Settings


def run_in_background(settings: Settings, flow: str, run: str) -> None:
    """Run a flow and note how it ended.

    The number of an erasure is its request's, and after a restart of the server a process of before
    may be at work on the same one. So an erasure that finds another at work notes no end: that one
    does, or this one is taken up again.

    Args:
        settings: Say where the database is.
        flow: Name of the flow.
        run: Number that it was asked for under; of an erasure also the request's.

    Raises:
        LeaseHeld: Another erasure is at work, or has taken over.
        SmartMatchError: What the flow raised otherwise; it is noted as failed.
    """
    engine = connect(settings.url)
    runs.start(engine, run)
    try:
        ended = _flow(flow)(run)
    except SmartMatchError as error:
        if flow == "erase_subject" and isinstance(error, LeaseHeld | LeaseLost):
            raise LeaseHeld("another erasure is at work") from None
        runs.finish(engine, run, runs.FAILED, datetime.now(UTC), type(error).__name__)
        raise
    runs.finish(engine, run, runs.COMPLETED, datetime.now(UTC), str(ended))


def _flow(name: str) -> Callable[[str], object]:
    if name == "retrain_model":
        from flows.retrain_model import retrain_model

        return lambda _run: retrain_model().sentence
    if name == "purge_expired":
        from flows.purge_expired import purge_expired

        return lambda _run: purge_expired().deleted
    from flows.erase_subject import erase_subject

    return lambda run: erase_subject(run).state
