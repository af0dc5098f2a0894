"""Read and write match rows as columns, and the sums that they add to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import text

from schemas.tables import metric_sums
from warehouse import bulk
from warehouse.contributions import KEYS
from warehouse.engine import add_to, is_postgres
from warehouse.matches import ABSENT, DEFAULTS, UNKNOWN, Columns, split_id, take
from warehouse.purposes import consented_sql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray
    from sqlalchemy import Connection

    from schemas.purposes import Purpose

_NO_EVENT = bytes(16)
_STRETCH = 10_000
_SUMS_LOCK = 0x5341_4D31
_FACETS = ("proposed", "decided", "rated", "completed")


def _truth(column: str) -> str:
    return f"CASE WHEN {column} IS NULL THEN {UNKNOWN} WHEN {column} THEN 1 ELSE 0 END"


_READ: dict[str, str] = {
    "match_key": "m.match_key",
    "subject": "m.subject",
    "day": "m.day",
    "first_at": "m.first_at",
    "last_at": "m.last_at",
    **{f"{facet}_at": f"COALESCE(m.{facet}_at, :absent)" for facet in _FACETS},
    **{f"{facet}_event": f"COALESCE(m.{facet}_event, :no_event)" for facet in _FACETS},
    "match_score": "m.match_score",
    "alternatives_count": f"COALESCE(m.alternatives_count, {UNKNOWN})",
    "propensity": "m.propensity",
    "model_version": "m.model_version",
    "parameters": "m.parameters",
    "constraints": "m.constraints",
    "views": "m.views",
    "view_ms": "m.view_ms",
    "viewed_whole": _truth("m.viewed_whole"),
    "accepted": _truth("m.accepted"),
    "decision_ms": f"COALESCE(m.decision_ms, {UNKNOWN})",
    "rating": "COALESCE(m.rating, 0)",
    "completed": _truth("m.completed"),
    "duration_days": "m.duration_days",
    "completion_rate": "m.completion_rate",
    "counted": "CASE WHEN s.counted THEN 1 ELSE 0 END",
}
_FROM = " FROM matches m LEFT JOIN subjects s ON s.subject = m.subject"
_DTYPES = {name: kind for name, (kind, _) in DEFAULTS.items()}


def read_matches(
    connection: Connection, purpose: Purpose, condition: str, parameters: Mapping[str, Any]
) -> Columns:
    """Read match rows of subjects who allow a purpose now, and of those whom the sums include.

    Who withdraws is in the sums until that is settled, and has to be read once more to be taken
    out; afterwards their rows are read no more.

    Args:
        connection: The transaction.
        purpose: What they are read for.
        condition: SQL condition on ``m`` (matches); parameters written ``:name``.
        parameters: Their values.

    Returns:
        Columns of ``matches.empty_states``, and ``counted``: whether the sums include the
        row's subject; and ``allowed``: whether they allow the purpose.
    """
    allowed = f"CASE WHEN {consented_sql(purpose, 's')} THEN 1 ELSE 0 END"
    # A number, so that the engine looks for the match first and not for everybody who allows it.
    readable = f"{_READ['counted']} + {allowed} > 0"
    read = _READ | {"allowed": allowed}
    stretches = bulk.columns(
        connection,
        f"SELECT {', '.join(read.values())}{_FROM} WHERE ({condition}) AND {readable}",
        {**parameters, "absent": ABSENT, "no_event": _NO_EVENT},
        len(read),
    )
    parts = [_arrays(dict(zip(read, values, strict=True))) for values in stretches]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _arrays(values: dict[str, tuple[Any, ...]]) -> Columns:
    arrays: Columns = {}
    for name, column in values.items():
        facet, _, is_event = name.partition("_event")
        if name.endswith("_event") and not is_event:
            high, low = split_id(b"".join(column))
            arrays[f"{facet}_high"], arrays[f"{facet}_low"] = high, low
        else:
            arrays[name] = np.array(column, dtype=_DTYPES.get(name, np.dtype(np.int64)))
    return arrays | {name: arrays[name].astype(bool) for name in ("counted", "allowed")}


def _plain(rows: Columns, name: str) -> list[Any]:
    return list(rows[name].tolist())


def _given(absent: int) -> Callable[[Columns, str], list[Any]]:
    def column(rows: Columns, name: str) -> list[Any]:
        values = rows[name]
        given = values.astype(object)
        given[values == absent] = None
        return list(given.tolist())

    return column


def _number(rows: Columns, name: str) -> list[Any]:
    values = rows[name]
    given = values.astype(object)
    given[np.isnan(values)] = None
    return list(given.tolist())


def _event_id(rows: Columns, name: str) -> list[Any]:
    facet = name.removesuffix("_event")
    at = rows[f"{facet}_at"]
    halves = np.empty((len(at), 2), dtype=">u8")
    halves[:, 0], halves[:, 1] = rows[f"{facet}_high"], rows[f"{facet}_low"]
    given = np.fromiter(_cut(halves.tobytes()), object, len(at))
    given[at == ABSENT] = None
    return list(given.tolist())


def _cut(joined: bytes) -> Iterator[bytes]:
    return (joined[start : start + 16] for start in range(0, len(joined), 16))


_WRITE: dict[str, Callable[[Columns, str], list[Any]]] = {
    **dict.fromkeys(("match_key", "subject", "day", "first_at", "last_at"), _plain),
    **{f"{facet}_at": _given(ABSENT) for facet in _FACETS},
    **{f"{facet}_event": _event_id for facet in _FACETS},
    **dict.fromkeys(("match_score", "propensity", "duration_days", "completion_rate"), _number),
    **dict.fromkeys(("model_version", "parameters", "constraints"), _plain),
    **dict.fromkeys(("views", "view_ms", "viewed_whole"), _plain),
    **dict.fromkeys(
        ("alternatives_count", "accepted", "completed", "decision_ms"), _given(UNKNOWN)
    ),
    "rating": _given(0),
}


def write_matches(connection: Connection, rows: Columns) -> None:
    """Insert match rows, or replace those of the same (match_key, subject).

    On PostgreSQL a row lies in the month of its day, and no index spans the months: a row whose
    day has changed is taken out where it was stored. On SQLite a column that is written has its
    indices written, changed or not: the day of most rows is left alone. Whoever writes holds
    ``lock_sums`` and has read the rows under it, so nobody else can have stored one meanwhile.

    Args:
        connection: The transaction; it holds ``lock_sums``.
        rows: Rows as ``matches.merge`` returns them.
    """
    names, keys = list(_WRITE), ["match_key", "subject"]
    fresh, moved = rows["stored_day"] == ABSENT, _moved(rows)
    bulk.append_rows(connection, "matches", names, _lines(take(rows, fresh)))
    if is_postgres(connection):
        _take_out(connection, take(rows, moved))
        _replace(connection, [*keys, "day"], take(rows, ~fresh))
    else:
        _replace(connection, keys, take(rows, moved))
        _replace(connection, keys, take(rows, ~fresh & ~moved), kept=("day",))


def _replace(
    connection: Connection, keys: list[str], rows: Columns, kept: Sequence[str] = ()
) -> None:
    if len(rows["subject"]):
        bulk.replace_rows(connection, "matches", list(_WRITE), keys, _lines(rows), kept=kept)


def _lines(rows: Columns) -> Iterator[tuple[Any, ...]]:
    """Yield rows as they are stored; their objects are made a stretch at a time."""
    for first in range(0, len(rows["subject"]), _STRETCH):
        stretch = {name: values[first : first + _STRETCH] for name, values in rows.items()}
        yield from zip(*(column(stretch, name) for name, column in _WRITE.items()), strict=True)


def _moved(rows: Columns) -> NDArray[np.bool_]:
    stored = rows["stored_day"]
    return np.asarray((stored != ABSENT) & (stored != rows["day"]))


def _take_out(connection: Connection, rows: Columns) -> None:
    """Delete rows where they are stored; PostgreSQL only."""
    if not len(rows["subject"]):
        return
    names = ("match_key", "subject", "stored_day")
    bulk.run(
        connection,
        "DELETE FROM matches USING unnest(:match_key, :subject, :stored_day)"
        " AS was (match_key, subject, day) WHERE matches.match_key = was.match_key"
        " AND matches.subject = was.subject AND matches.day = was.day",
        {name: bulk.numbers(connection, rows[name]) for name in names},
    )


def lock_sums(connection: Connection) -> None:
    """Be the only transaction that changes matches and sums until its end.

    What one match adds depends on all its rows, so two transactions must not each change one
    of them. On SQLite there is one writer anyway.
    """
    if is_postgres(connection):
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_SUMS_LOCK})"))


def add_to_sums(connection: Connection, change: pd.DataFrame) -> None:
    """Add a change of contributions to the running sums; a sum of 0 has no row.

    Neither has one below 0: where sums are kept for less long than matches, those of old days are
    gone, and nothing is left there to take away from.
    """
    if change.empty:
        return
    rows: Sequence[dict[str, Any]] = change[[*KEYS, "value"]].to_dict("records")  # type: ignore[assignment]
    connection.execute(add_to(connection, metric_sums, KEYS), rows)
    if (change["value"] < 0).any():
        touched = (metric_sums.c.day >= int(change["day"].min())) & (
            metric_sums.c.day <= int(change["day"].max())
        )
        connection.execute(metric_sums.delete().where(metric_sums.c.value <= 0, touched))
