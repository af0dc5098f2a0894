"""A person's own history, for those who allow that it shapes their features.

Read for the purpose ``preferences`` and for nobody else: who has not granted it, has withdrawn
it or is being erased has no history here, and the model sees it as missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sqlalchemy import Integer, cast, func, select

from schemas.clock import MICROS_PER_DAY, micros
from schemas.purposes import Purpose
from schemas.tables import matches, subjects
from warehouse.purposes import consented

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

ACCEPTED = "parameter:history.accepted"
"""Share of their earlier proposals that the person accepted, drawn towards one half."""
PRIOR_DECISIONS = 2.0
"""Decisions, half of them acceptances, that everybody starts from."""

_CHUNK_ROWS = 20_000


def with_history(connection: Connection, frame: pd.DataFrame, *, as_of: datetime) -> pd.DataFrame:
    """Add how easily each person has accepted so far, to proposals read for another purpose.

    A proposal sees only what its subject had decided before its day. What a matcher sent as
    ``history.accepted`` is kept, for it is what the scorer saw.

    Args:
        connection: The transaction that the proposals were read in.
        frame: Proposals; rows whose subject has no history that may be read stay missing.
        as_of: Decisions after it are not there yet.

    Returns:
        The frame; with a column ``parameter:history.accepted`` where anybody has a history.
    """
    days = _decided(connection, as_of)
    if days.empty or frame.empty:
        return frame
    proposed = pd.DataFrame(
        {
            "subject": frame["subject"],
            "day": frame["occurred_at"].dt.as_unit("us").astype("int64") // MICROS_PER_DAY,
            "row": np.arange(len(frame)),
        }
    )
    known = pd.merge_asof(
        proposed.sort_values("day", kind="stable"), days,
        on="day", by="subject", allow_exact_matches=False,
    ).sort_values("row")  # fmt: skip
    share = (
        (known["accepted"] + PRIOR_DECISIONS / 2) / (known["decided"] + PRIOR_DECISIONS)
    ).to_numpy()
    if ACCEPTED in frame.columns:
        sent = frame[ACCEPTED].to_numpy(dtype="float64")
        share = np.where(np.isnan(sent), share, sent)
    return frame if np.isnan(share).all() else frame.assign(**{ACCEPTED: share})


def _decided(connection: Connection, as_of: datetime) -> pd.DataFrame:
    """Count what each person who allows it had decided by the end of each of their days."""
    day = (matches.c.decided_at // MICROS_PER_DAY).label("day")
    rows = connection.execute(
        select(
            matches.c.subject,
            day,
            func.count().label("decided"),
            func.sum(cast(matches.c.accepted, Integer)).label("accepted"),
        )
        .join(subjects, subjects.c.subject == matches.c.subject)
        .where(
            consented(Purpose.PREFERENCES),
            matches.c.decided_at.is_not(None),
            matches.c.decided_at <= micros(as_of),
        )
        .group_by(matches.c.subject, day),
        execution_options={"yield_per": _CHUNK_ROWS},
    )
    # As objects the rows would take several times the table.
    chunks = [np.empty((0, 4), dtype="int64")]
    chunks += [np.array([tuple(row) for row in part], dtype="int64") for part in rows.partitions()]
    names = ["subject", "day", "decided", "accepted"]
    table = pd.DataFrame(np.concatenate(chunks), columns=names)
    table = table.sort_values(["day", "subject"], ignore_index=True)
    running = table.groupby("subject")[["decided", "accepted"]].cumsum()
    return table.assign(decided=running["decided"], accepted=running["accepted"])
