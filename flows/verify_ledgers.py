"""Check the consent ledger once a day, and note its head where the database cannot reach it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.logging import get_run_logger

from schemas.clock import micros
from schemas.settings import Settings
from tasks import ledgers, opening
from warehouse.consents import LedgerBroken
from warehouse.engine import connect
from warehouse.leases import lease


@dataclass(frozen=True)
class Verified:
    """What was checked, and what was noted.

    Attributes:
        entries: Entries of the consent ledger, unbroken.
        heads: Earlier heads that it still holds.
        reports: Reports of erasures that are the signed ones.
        seq: Number of the newest entry; 0 while there is none.
        entry_hash: Its hash, hexadecimal.
    """

    entries: int
    heads: int
    reports: int
    seq: int
    entry_hash: str


@flow(name="verify-ledgers")
def verify_ledgers() -> Verified:
    """Check the ledger and the witness, and note the ledger's head.

    The head goes into the witness beside the keys, into the run's log as one JSON line, and into
    an artifact: whoever cuts the ledger's tail would have to cut all three. Case files of erasures
    that are over are closed.

    Returns:
        What was checked, and the head.

    Raises:
        LedgerBroken: The consent ledger was changed, or is shorter than was noted; or the database
            does not refuse every change any more.
        WitnessBroken: The witness was changed, or is shorter than the database knows.
        LeaseHeld: Another check is at work.
        KeyMissing: There is no key file.
    """
    settings = Settings()
    now = datetime.now(UTC)
    opening.follow_witness(settings.url, settings.keys)

    engine = connect(settings.url)
    with lease(engine, "verify_ledgers", settings.lease_seconds):
        checked = ledgers.verify(settings.url, settings.keys)
        head = ledgers.note_head(settings.url, settings.keys, micros(now))
        ledgers.close_cases(settings.url, settings.keys)
    engine.dispose()

    seq, digest = (head.seq, head.entry_hash.hex()) if head else (0, "")
    noted = {"ledger": "consents", "seq": seq, "hash": digest, "at": now.isoformat()}
    # As a warning, because that is what is kept of a run's log by default.
    get_run_logger().warning(msgspec.json.encode(noted).decode())
    create_table_artifact(
        key="ledger-head",
        table=[noted],
        description="Newest entry of the consent ledger: everything up to it was found unchanged",
    )
    if checked.unguarded:
        raise LedgerBroken(checked.unguarded)
    return Verified(checked.entries, checked.heads, checked.reports, seq, digest)


if __name__ == "__main__":
    verify_ledgers()
