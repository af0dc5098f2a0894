"""Read what the model may learn from, and keep the books of what it learned from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sqlalchemy import func, select

from schemas.clock import micros
from schemas.purposes import Purpose
from schemas.tables import consents, matches, published_weights, subjects, training_sets
from warehouse.engine import reading, writing
from warehouse.history import with_history
from warehouse.proposals import select_proposals
from warehouse.purposes import consented

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection, Engine


@dataclass(frozen=True)
class TrainingSet:
    """Proposals to learn from, and what identifies them.

    Attributes:
        frame: One row a proposal; columns as in ``docs/data-dictionary.md``, "Proposals frame".
        digest: SHA-256 of the rows, the same for the same rows whatever their subjects' numbers.
        consent_digest: SHA-256 of the ledger entries that allow the use of these rows.
        as_of: Moment at which consent was read.
    """

    frame: pd.DataFrame
    digest: str
    consent_digest: str
    as_of: datetime

    @property
    def decided(self) -> int:
        """Number of rows with a decision."""
        return int(self.frame["accepted"].notna().sum())


def read_training(engine: Engine, *, since_day: int, as_of: datetime) -> TrainingSet:
    """Read the proposals of subjects who allow improvement at this moment.

    Args:
        engine: The database.
        since_day: First day of proposals, days since 1970.
        as_of: The moment of the read.

    Returns:
        The rows in an order that does not depend on subjects' numbers, and their digests.
    """
    with reading(engine) as connection:
        proposed = select_proposals(
            connection,
            Purpose.IMPROVEMENT,
            # A clock that runs ahead must not let a row in before its time.
            matches.c.proposed_at <= micros(as_of),
            matches.c.day >= since_day,
        )
        frame = _in_order(with_history(connection, proposed, as_of=as_of))
        consent_digest = _consent_digest(connection, set(frame["subject"].tolist()))
    return TrainingSet(frame, digest_of(frame), consent_digest, as_of)


def digest_of(frame: pd.DataFrame) -> str:
    """Return the SHA-256 of a training frame: of its figures, not of its subjects' numbers.

    Matches are told apart by their pseudonym; the two parties of one by their figures.
    """
    digest = hashlib.sha256("\0".join(_figures(frame)).encode())
    digest.update(np.sort(_hashes(frame).to_numpy()).tobytes())
    return digest.hexdigest()


def _figures(frame: pd.DataFrame) -> list[str]:
    return sorted(set(frame.columns) - {"subject"})


def _hashes(frame: pd.DataFrame) -> pd.Series[Any]:
    """Hash each row's figures, 64 bits."""
    if frame.empty:
        return pd.Series([], index=frame.index, dtype="uint64")
    return pd.util.hash_pandas_object(frame[_figures(frame)], index=False)


def record_training(
    engine: Engine, version: str, training: TrainingSet, *, outcome: str, reason: str
) -> None:
    """Keep what a registered version learned from.

    Args:
        engine: The database.
        version: The registry's version.
        training: What it learned from.
        outcome: ``promoted`` or ``refused``.
        reason: The gate's sentence.
    """
    with writing(engine) as connection:
        connection.execute(
            training_sets.insert().values(
                version=version,
                rows=len(training.frame),
                subjects=int(training.frame["subject"].nunique()),
                digest=training.digest,
                consent_digest=training.consent_digest,
                as_of=micros(training.as_of),
                outcome=outcome,
                reason=reason,
            )
        )


def publish_weights(engine: Engine, version: str, document: str, *, at: datetime) -> None:
    """Publish the champion's weights, JSON, for the API to hand back."""
    with writing(engine) as connection:
        connection.execute(
            published_weights.insert().values(
                version=version, published_at=micros(at), document=document
            )
        )


def _in_order(frame: pd.DataFrame) -> pd.DataFrame:
    """Sort by time and match; parties that were proposed to at once by what is known of each.

    A subject's number must not tell: it is random, and sums of floats depend on their order.
    """
    own = _hashes(frame)
    whole = own.groupby(frame["subject"]).transform("sum")
    order = np.lexsort((whole, own, frame["match_key"], frame["occurred_at"]))
    return frame.iloc[order].reset_index(drop=True)


def _consent_digest(connection: Connection, of_subjects: set[int]) -> str:
    """Hash the newest ledger entry of each subject, in the ledger's order."""
    newest = (
        select(subjects.c.subject, func.max(consents.c.seq).label("seq"))
        .join(consents, consents.c.ledger_id == subjects.c.ledger_id)
        .where(consented(Purpose.IMPROVEMENT))
        .group_by(subjects.c.subject)
        .subquery()
    )
    entries = connection.execute(
        select(newest.c.subject, consents.c.entry_hash)
        .join(consents, consents.c.seq == newest.c.seq)
        .order_by(consents.c.seq)
    )
    digest = hashlib.sha256()
    for subject, entry_hash in entries:
        if subject in of_subjects:
            digest.update(entry_hash)
    return digest.hexdigest()
