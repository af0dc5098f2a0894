"""What the pipeline is held against: the limits of writing and of reading, and what it replaces."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

PARTITION = 100_000


def bare_insert(url: str, events: int) -> dict[str, Any]:
    """Write the same rows into one table without an index: the limit for writing."""
    from pydantic import SecretStr

    from benchmarks.pipeline_market import NAMES
    from warehouse import bulk
    from warehouse.engine import connect, writing

    engine = connect(SecretStr(url))
    with writing(engine) as connection:
        rows = bulk.fetch(connection, f"SELECT {', '.join(NAMES)} FROM staged")
        connection.exec_driver_sql("CREATE TABLE bare AS SELECT * FROM staged LIMIT 0")
    begun = time.perf_counter()
    for first in range(0, events, PARTITION):
        with writing(engine) as connection:
            bulk.append_rows(connection, "bare", NAMES, rows[first : first + PARTITION])
    return {"seconds": time.perf_counter() - begun}


def duckdb_sums(url: str, events: int) -> dict[str, Any]:
    """Let DuckDB make the same sums of the same rows from a Parquet file: the limit for reading.

    It keeps no match state and writes nothing.
    """
    import duckdb

    with tempfile.TemporaryDirectory() as directory:
        path = _parquet(url, events, Path(directory))
        begun = time.perf_counter()
        with duckdb.connect() as database:
            _view(database, path)
            database.execute(f"CREATE VIEW m AS {_MATCHES.format(more='')}")
            database.execute(_SUMS).fetchall()
        return {"seconds": time.perf_counter() - begun}


def duckdb_stored(url: str, events: int) -> dict[str, Any]:
    """Let DuckDB do the same work over Parquet: store the events, their matches and the sums.

    It starts from nothing: without consent, judgement, earlier matches, indices or a transaction.
    """
    import duckdb

    with tempfile.TemporaryDirectory() as directory:
        path = _parquet(url, events, Path(directory))
        begun = time.perf_counter()
        with duckdb.connect() as database:
            _view(database, path)
            database.execute(f"CREATE TABLE m AS {_MATCHES.format(more=_STATE)}")
            for table, query in (
                ("events", "SELECT * FROM s"),
                ("matches", "FROM m"),
                ("sums", _SUMS),
            ):
                database.execute(f"COPY ({query}) TO '{directory}/{table}.parquet'")
        return {"seconds": time.perf_counter() - begun}


def _parquet(url: str, events: int, directory: Path) -> Path:
    """Write what is staged into a Parquet file and return its path."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pydantic import SecretStr

    from benchmarks.pipeline_market import NAMES
    from warehouse import bulk
    from warehouse.engine import connect, reading

    with reading(connect(SecretStr(url))) as connection:
        rows = bulk.fetch(connection, f"SELECT {', '.join(NAMES)} FROM staged")
    assert len(rows) == events
    path = directory / "staged.parquet"
    pq.write_table(pa.table(dict(zip(NAMES, zip(*rows, strict=True), strict=True))), path)
    return path


def _view(database: DuckDBPyConnection, path: Path) -> None:
    database.execute("SET threads = 2")
    database.execute(f"CREATE VIEW s AS FROM read_parquet('{path}')")


_MATCHES = """
SELECT match_key, subject,
    min(occurred_at) FILTER (kind = 'match_proposed') // 86400000000 AS day,
    arg_max(p, occurred_at) FILTER (kind = 'match_proposed') AS proposal,
    count(*) FILTER (kind = 'match_viewed') AS views,
    arg_max(kind, occurred_at) FILTER (kind IN ('match_accepted', 'match_rejected')) AS decided,
    arg_max((p->>'rating')::INT, occurred_at) FILTER (kind = 'match_feedback') AS rating{more}
FROM (SELECT *, decode(payload)::JSON AS p FROM s) GROUP BY match_key, subject
"""
_STATE = """,
    min(occurred_at) AS first_at, max(occurred_at) AS last_at,
    max(occurred_at) FILTER (kind = 'match_proposed') AS proposed_at,
    arg_max(event_id, occurred_at) FILTER (kind = 'match_proposed') AS proposed_event,
    sum((p->>'view_duration_seconds')::DOUBLE) FILTER (kind = 'match_viewed') AS view_seconds,
    max(occurred_at) FILTER (kind IN ('match_accepted', 'match_rejected')) AS decided_at,
    arg_max(event_id, occurred_at) FILTER (kind IN ('match_accepted', 'match_rejected'))
        AS decided_event,
    arg_max((p->>'decision_time_seconds')::DOUBLE, occurred_at)
        FILTER (kind IN ('match_accepted', 'match_rejected')) AS decision_seconds,
    max(occurred_at) FILTER (kind = 'match_feedback') AS rated_at,
    arg_max(event_id, occurred_at) FILTER (kind = 'match_feedback') AS rated_event,
    arg_max(kind, occurred_at) FILTER (kind IN ('match_completed', 'match_abandoned')) AS completed,
    max(occurred_at) FILTER (kind IN ('match_completed', 'match_abandoned')) AS completed_at,
    arg_max(event_id, occurred_at) FILTER (kind IN ('match_completed', 'match_abandoned'))
        AS completed_event,
    arg_max(p, occurred_at) FILTER (kind IN ('match_completed', 'match_abandoned')) AS outcome
"""
_SUMS = """
WITH c AS (
    SELECT day, unnest(json_keys(proposal->'constraint_satisfaction')) AS name, proposal, decided
    FROM m
), v AS (
    SELECT day, name, decided = 'match_accepted' AS accepted,
        round((proposal->'constraint_satisfaction'->>name)::DOUBLE * 10000)::BIGINT AS v FROM c
)
SELECT 'whole', day, count(*), count(decided), sum((decided = 'match_accepted')::INT), sum(views),
    count(rating), sum(rating) FROM m GROUP BY day
UNION ALL
SELECT name, day, count(*), sum(v), sum(v * v), sum(accepted::INT), sum(v * accepted::INT), 0
FROM v GROUP BY name, day
"""


def plain_pandas(url: str, events: int) -> dict[str, Any]:
    """Do it as one would write it first: row by row, to_sql, recount of everything.

    It keeps no consent, match state, reasons or transaction, and so does less.
    """
    import hashlib

    import pandas as pd
    from pydantic import SecretStr

    from warehouse.engine import connect

    engine = connect(SecretStr(url))
    begun = time.perf_counter()
    frame = pd.read_sql("SELECT * FROM staged", engine)
    frame["payload"] = frame["payload"].apply(lambda payload: json.loads(bytes(payload)))
    frame["match_score"] = frame["payload"].apply(lambda payload: payload.get("match_score"))
    frame["rating"] = frame["payload"].apply(lambda payload: payload.get("rating"))
    frame["user"] = frame["subject"].apply(
        lambda subject: hashlib.sha256(f"salt{subject}".encode()).hexdigest()
    )
    good = frame[(frame["rating"].isna()) | frame["rating"].between(1, 5)].copy()
    good["payload"] = good["payload"].apply(json.dumps)
    good["day"] = pd.to_datetime(good["occurred_at"], unit="us").dt.date
    good.drop(columns=["sealed", "event_id"]).to_sql(
        "plain_events", engine, if_exists="append", index=False, chunksize=10_000
    )
    stored = pd.read_sql("SELECT * FROM plain_events", engine)
    counts = stored.groupby(["day", "kind"]).size()
    ratings = stored.groupby("day")["rating"].agg(["count", "mean"])
    assert counts.sum() == events
    assert len(ratings)
    return {"seconds": time.perf_counter() - begun}
