"""Steps of an erasure. The request's number stands for the person, who is never named."""

from __future__ import annotations

from pydantic import SecretStr

from schemas.clock import moment
from schemas.errors import NotReady
from tasks.policies import io_task
from warehouse import erasure, retention
from warehouse.engine import connect
from warehouse.leases import Lease


@io_task
def delete(url: SecretStr, request: str, lease: Lease) -> None:
    """Delete everything about the person and take it out of the sums."""
    erasure.delete_subject(connect(url), request, lease)


@io_task
def forget(url: SecretStr, request: str) -> None:
    """Overwrite the deleted bytes; tried again while a reader keeps the log open."""
    engine = connect(url)
    if not retention.forget_bytes(engine):
        raise NotReady("a reader keeps the write-ahead log open")
    erasure.mark_forgotten(engine, request)


@io_task
def finish(url: SecretStr, request: str, now: int) -> erasure.Erasure:
    """Queue the retrain where one is due, and close the request."""
    return erasure.finish_erasure(connect(url), request, moment(now))
