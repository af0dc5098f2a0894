"""Read a stretch of staging as a few long values instead of many rows.

The database lays the numbers of a column into one value and the bytes of a column end to end. So
it works for a stretch at once, while other threads of the process compute, and no number is an
object of Python's on its way into an array.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from warehouse import bulk
from warehouse.batch_frame import Partition
from warehouse.engine import is_postgres
from warehouse.matches import CODES, UNKNOWN
from warehouse.purposes import Ground, on_ground

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from sqlalchemy import Connection

EVENT_ID_BYTES = 16

MOST = 20_000
"""Most rows in a stretch: neither engine makes a value of more than a gigabyte, and a payload of
as many and as long names as a request may have takes tens of kilobytes."""

_WHOLE = ("subject", "match_key", "occurred_at", "received_at")
_KINDS = " ".join(f"WHEN '{name}' THEN {code}" for name, code in CODES.items())
_NUMBERS = {"seq": "seq", "kind": f"CASE kind {_KINDS} ELSE {UNKNOWN} END"}
_ID_FITS = f"length(event_id) = {EVENT_ID_BYTES}"


@dataclass(frozen=True)
class Packed:
    """Rows of staging in order of ``seq``.

    Attributes:
        numbers: ``seq``; ``kind`` as in ``matches.CODES``, or ``UNKNOWN``; ``subject``,
            ``match_key``, ``occurred_at`` and ``received_at``, 0 where it is no whole number.
        typed: Which rows have the types of their table; SQLite stores what it is given.
        event_ids: Of type ``S16``; what is no such id has one that is like no other.
        payloads: As stored.
    """

    numbers: dict[str, NDArray[np.int64]]
    typed: NDArray[np.bool_]
    event_ids: NDArray[np.bytes_]
    payloads: list[bytes]


@on_ground(Ground.COUNTING)
def cut(connection: Connection, whole: Partition, size: int) -> Iterator[Partition]:
    """Cut a stretch of staging into such with at least one row and at most so many.

    By their numbers, not by counting: each step looks at one row, however long the stretch is.
    """
    first = whole.first
    while True:
        rows = bulk.fetch(
            connection,
            "SELECT MIN(seq) FROM staged WHERE seq BETWEEN :first AND :last",
            {"first": first, "last": whole.last},
        )
        if rows[0][0] is None:
            return
        last = min(rows[0][0] + size - 1, whole.last)
        yield Partition(rows[0][0], last)
        if last == whole.last:
            return
        first = last + 1


@on_ground(Ground.JUDGING)
def read_stretch(connection: Connection, stretch: Partition) -> Packed:
    """Read a stretch of staging of at most ``MOST`` rows."""
    numbers, joined = _POSTGRES if is_postgres(connection) else _SQLITE
    arrays, (event_ids, payloads) = bulk.fetch_packed(
        connection,
        list(numbers.values()),
        list(joined.values()),
        # SQLite goes through a stretch of its rows' numbers in their order.
        "(SELECT * FROM staged WHERE seq BETWEEN :first AND :last"
        f"{' ORDER BY seq' if is_postgres(connection) else ''})",
        {"first": stretch.first, "last": stretch.last},
    )
    found = dict(zip(numbers, arrays, strict=True))
    ends = np.cumsum(found.pop("length")).tolist()
    return Packed(
        event_ids=np.frombuffer(event_ids, f"S{EVENT_ID_BYTES}"),
        payloads=[payloads[start:end] for start, end in pairwise([0, *ends])],
        typed=found.pop("typed").astype(bool),
        numbers=found,
    )


def _sqlite() -> tuple[dict[str, str], dict[str, str]]:
    # In the engine's order numbers come first, then texts, then bytes; comparing costs a third of
    # asking for the type.
    whole = {name: f"{name} IS CAST({name} AS INTEGER)" for name in (*_WHOLE, "session_key")}
    id_fits = f"event_id >= x'' AND {_ID_FITS}"
    other_id = f"CAST(printf('%0{EVENT_ID_BYTES}d', seq) AS BLOB)"
    payload = "CAST(payload AS BLOB)"
    return {
        **_NUMBERS,
        **{name: f"CASE WHEN {whole[name]} THEN {name} ELSE 0 END" for name in _WHOLE},
        "typed": " AND ".join([*whole.values(), id_fits, "payload >= x''"]),
        "length": f"length({payload})",
    }, {
        "event_id": f"CASE WHEN {id_fits} THEN event_id ELSE {other_id} END",
        "payload": payload,
    }


def _postgres() -> tuple[dict[str, str], dict[str, str]]:
    other_id = f"convert_to(lpad(seq::text, {EVENT_ID_BYTES}, '0'), 'UTF8')"
    return {
        **_NUMBERS,
        **dict(zip(_WHOLE, _WHOLE, strict=True)),
        "typed": f"CASE WHEN {_ID_FITS} THEN 1 ELSE 0 END",
        "length": "length(payload)",
    }, {
        "event_id": f"CASE WHEN {_ID_FITS} THEN event_id ELSE {other_id} END",
        "payload": "payload",
    }


_SQLITE, _POSTGRES = _sqlite(), _postgres()
