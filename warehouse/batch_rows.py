"""Move the rows of a partition of staging inside the database: to events, to rejected, and away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from warehouse import bulk
from warehouse.engine import is_postgres
from warehouse.purposes import Ground, on_ground

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray
    from sqlalchemy import Connection

    from warehouse.batch_frame import Batch, Partition

UNKNOWN_SUBJECT = "subject: must exist"
COPIED = "seq, event_id, kind, subject, match_key, session_key, occurred_at, received_at, payload"


@on_ground(Ground.JUDGING)
def store_events(
    connection: Connection,
    batch: Batch,
    accepted: NDArray[np.bool_],
    texts: Mapping[int, str],
) -> None:
    """Copy the accepted events inside the database, and put their redacted texts beside them."""
    seq, occurred_at = batch.seq, batch.columns["occurred_at"]
    condition, parameters = _chosen(connection, batch.partition, seq[accepted], seq[~accepted])
    bulk.run(
        connection,
        f"INSERT INTO events ({COPIED}) SELECT {COPIED} FROM staged WHERE {condition}",
        parameters,
    )
    kept = zip(seq[accepted].tolist(), occurred_at[accepted].tolist(), strict=True)
    bulk.run_many(
        connection,
        # With the time, which names the partition.
        "UPDATE events SET texts = :texts WHERE seq = :seq AND occurred_at = :at",
        [{"seq": one, "at": at, "texts": texts[one]} for one, at in kept if one in texts],
    )


@on_ground(Ground.JUDGING)
def store_rejected(connection: Connection, rejected: Mapping[int, list[str]], as_of: int) -> None:
    """Keep rejected events sealed as they were; without the text where nobody could be asked."""
    rows = [
        {
            "seq": seq,
            "reasons": msgspec.json.encode(rules).decode(),
            "at": as_of,
            "stranger": UNKNOWN_SUBJECT in rules,
        }
        for seq, rules in rejected.items()
    ]
    bulk.run_many(
        connection,
        f"INSERT INTO rejected ({COPIED}, sealed, sealed_day, reasons, rejected_at)"
        f" SELECT {COPIED}, CASE WHEN :stranger THEN NULL ELSE sealed END,"
        " CASE WHEN :stranger THEN NULL ELSE sealed_day END, :reasons, :at"
        " FROM staged WHERE seq = :seq",
        rows,
    )


def clear(
    connection: Connection,
    partition: Partition,
    settled: NDArray[np.int64],
    gone: NDArray[np.int64],
) -> None:
    """Take the settled events of a partition out of staging."""
    condition, parameters = _chosen(connection, partition, settled, gone)
    bulk.run(connection, f"DELETE FROM staged WHERE {condition}", parameters)


def _chosen(
    connection: Connection,
    partition: Partition,
    chosen: NDArray[np.int64],
    others: NDArray[np.int64],
) -> tuple[str, dict[str, Any]]:
    """Return the condition that picks events of a partition.

    On PostgreSQL a row may appear inside the stretch while it is processed, so the chosen are
    named. On SQLite none can, and naming the few others is cheaper.
    """
    if is_postgres(connection):
        return f"seq BETWEEN :first AND :last AND {bulk.among(connection, 'seq', 'chosen')}", {
            "first": partition.first,
            "last": partition.last,
            "chosen": bulk.numbers(connection, chosen),
        }
    return (
        f"seq BETWEEN :first AND :last AND NOT ({bulk.among(connection, 'seq', 'others')})",
        {
            "first": partition.first,
            "last": partition.last,
            "others": bulk.numbers(connection, others),
        },
    )
