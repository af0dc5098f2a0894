"""Steps of the check of the ledgers."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from schemas.clock import moment
from tasks.opening import opened
from tasks.policies import io_task
from warehouse import ledgers, tombstones
from warehouse.consents import Head
from warehouse.erasure_requests import close_left_cases
from warehouse.ledgers import Checked


@io_task
def verify(url: SecretStr, keys: Path) -> Checked:
    """Check the consent ledger and the witness against each other."""
    with opened(url) as engine:
        return ledgers.verify_ledgers(engine, keys)


@io_task
def note_head(url: SecretStr, keys: Path, now: int) -> Head | None:
    """Let the witness know the newest entry of the consent ledger."""
    with opened(url) as engine:
        return tombstones.note_head(engine, keys, moment(now))


@io_task
def close_cases(url: SecretStr, keys: Path) -> int:
    """Close what killed erasures left beside the keys."""
    with opened(url) as engine:
        return close_left_cases(engine, keys)
