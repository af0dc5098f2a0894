"""Move the rows of a partition of staging inside the database: to events, to rejected, and away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from warehouse import bulk, packed
from warehouse.engine import is_postgres
from warehouse.purposes import Ground, on_ground

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from sqlalchemy import Connection

    from warehouse.batch_frame import Batch, Partition

UNKNOWN_SUBJECT = "subject: must exist"
_PIECE = 5_000
COPIED = "seq, event_id, kind, subject, match_key, session_key, occurred_at, received_at, payload"


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


@on_ground(Ground.JUDGING)
def move_events(
    connection: Connection,
    batch: Batch,
    accepted: NDArray[np.bool_],
    gone: NDArray[np.bool_],
    texts: Mapping[int, str],
) -> None:
    """Copy the accepted events inside the database with their redacted texts, and clear staging.

    Piece by piece on SQLite: what is stored takes the pages that a piece before it left, and the
    log of the transaction holds 40 % fewer. All but what is gone leaves staging.
    """
    seq, occurred_at = batch.seq, batch.columns["occurred_at"]
    whole = batch.partition
    for piece in [whole] if is_postgres(connection) else packed.cut(connection, whole, _PIECE):
        condition, parameters = _chosen(connection, piece, seq, accepted)
        bulk.run(
            connection,
            f"INSERT INTO events ({COPIED}) SELECT {COPIED} FROM staged WHERE {condition}",
            parameters,
        )
        condition, parameters = _chosen(connection, piece, seq, ~gone)
        bulk.run(connection, f"DELETE FROM staged WHERE {condition}", parameters)
    told = accepted & np.isin(seq, np.fromiter(texts, np.int64, len(texts)))
    kept = zip(seq[told].tolist(), occurred_at[told].tolist(), strict=True)
    bulk.run_many(
        connection,
        # With the time, which names the partition.
        "UPDATE events SET texts = :texts WHERE seq = :seq AND occurred_at = :at",
        [{"seq": one, "at": at, "texts": texts[one]} for one, at in kept],
    )


def _chosen(
    connection: Connection,
    piece: Partition,
    seq: NDArray[np.int64],
    chosen: NDArray[np.bool_],
) -> tuple[str, dict[str, Any]]:
    """Return the condition that picks the chosen events of a piece of a partition.

    On PostgreSQL a row may appear inside the stretch while it is processed, so the chosen are
    named. On SQLite none can, and naming the few others is cheaper.
    """
    bounds = {"first": piece.first, "last": piece.last}
    inside = (seq >= piece.first) & (seq <= piece.last)
    if is_postgres(connection):
        named = {"named": bulk.numbers(connection, seq[inside & chosen])}
        among = bulk.among(connection, "seq", "named")
    else:
        named = {"named": bulk.numbers(connection, seq[inside & ~chosen])}
        among = f"NOT ({bulk.among(connection, 'seq', 'named')})"
    return f"seq BETWEEN :first AND :last AND {among}", bounds | named
