"""Read proposals as the frame that learns and scores: a row a match and subject."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pandas as pd
from sqlalchemy import select

from schemas.clock import iso_day
from schemas.errors import SmartMatchError
from schemas.purposes import Purpose
from schemas.tables import matches, subjects
from warehouse.engine import reading
from warehouse.purposes import consented

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Connection, Engine, Row

_CHUNK_ROWS = 20_000
_MAPS = msgspec.json.Decoder(list[dict[str, float]])
_COLUMNS = (
    matches.c.match_key,
    matches.c.subject,
    matches.c.day,
    matches.c.proposed_at,
    matches.c.match_score,
    matches.c.alternatives_count,
    matches.c.propensity,
    matches.c.model_version,
    matches.c.parameters,
    matches.c.constraints,
    matches.c.accepted,
    matches.c.rating,
    subjects.c.preferences,
)


class NoSuchProposal(SmartMatchError):
    """There is no proposal of this match that may be read."""


def select_proposals(
    connection: Connection, purpose: Purpose, *where: ColumnElement[bool]
) -> pd.DataFrame:
    """Read the proposals of subjects who allow a purpose at this moment.

    Args:
        connection: The transaction.
        purpose: What they are read for.
        where: Conditions on ``matches``.

    Returns:
        Columns as in ``docs/data-dictionary.md``, "Proposals frame"; rows in no order.
    """
    # Rows become columns chunk by chunk: as objects they would take several times the frame.
    found = connection.execute(
        select(*_COLUMNS)
        .join(subjects, subjects.c.subject == matches.c.subject)
        .where(matches.c.proposed_at.is_not(None), consented(purpose), *where),
        execution_options={"yield_per": _CHUNK_ROWS},
    )
    chunks = [_frame(rows) for rows in found.partitions()] or [_frame([])]
    if len(chunks) == 1:
        return chunks[0]
    frame = pd.concat(chunks, ignore_index=True)
    # A chunk has the names that its rows have, so the whole has them in order of appearance.
    names = [name for name in frame.columns if ":" in name]
    return frame[[*frame.columns.drop(names), *sorted(names)]]


def read_match(
    engine: Engine, match_key: int, *, purpose: Purpose, whole_day: bool = False
) -> pd.DataFrame:
    """Read the proposals of a match.

    Args:
        engine: The database.
        match_key: Pseudonym of the match.
        purpose: What it is read for; rows without consent to it are left out.
        whole_day: Read all proposals of its day (of both days, where the parties were
            proposed to on two), beside which it is to be seen.

    Raises:
        NoSuchProposal: There is no proposal of the match that may be read.
    """
    wanted = matches.c.match_key == match_key
    if whole_day:
        wanted = matches.c.day.in_(select(matches.c.day).where(wanted))
    with reading(engine) as connection:
        frame = select_proposals(connection, purpose, wanted)
    if not (frame["match_key"] == match_key).any():
        raise NoSuchProposal("no proposal of this match is there, or nobody allows to read it")
    return frame.sort_values(["occurred_at", "match_key", "subject"], ignore_index=True)


def _frame(rows: Sequence[Row[Any]]) -> pd.DataFrame:
    names = [column.name for column in _COLUMNS]
    raw = pd.DataFrame.from_records([tuple(row) for row in rows], columns=names)
    frame = pd.DataFrame(
        {
            "match_key": raw["match_key"].astype("int64"),
            "subject": raw["subject"].astype("int64"),
            "group": raw["day"].map(iso_day).astype("str"),
            "occurred_at": pd.to_datetime(raw["proposed_at"].astype("int64"), unit="us", utc=True),
            "match_score": raw["match_score"].astype("float64"),
            "alternatives_count": raw["alternatives_count"].astype("float64"),
            "propensity": raw["propensity"].astype("float64"),
            "model_version": raw["model_version"].astype("str"),
            "preferences": raw["preferences"].astype("bool"),
            "accepted": raw["accepted"].astype("float64"),
            "rating": raw["rating"].astype("float64"),
        }
    )
    maps = [_spread(raw["constraints"], "constraint"), _spread(raw["parameters"], "parameter")]
    return pd.concat([frame, *maps], axis=1)


def _spread(texts: pd.Series, prefix: str) -> pd.DataFrame:
    """Spread a column of JSON maps over one column a name; a name that is absent is NaN."""
    decoded = _MAPS.decode(f"[{','.join(texts)}]")
    spread = pd.DataFrame.from_records(decoded, index=texts.index) if decoded else pd.DataFrame()
    spread = spread.reindex(columns=sorted(spread.columns)).astype("float64")
    return spread.rename(columns=lambda name: f"{prefix}:{name}")
