"""Read which versions are in use: the champion's weights are the ones that were last published."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from schemas.clock import moment
from schemas.tables import published_weights, training_sets
from warehouse.engine import reading

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection, Engine


@dataclass(frozen=True)
class Published:
    """A publication: the version, when, and the document as JSON."""

    version: str
    published_at: datetime
    document: str


def newest(engine: Engine) -> Published | None:
    """Read the newest publication, or None while there is none."""
    columns = (
        published_weights.c.version,
        published_weights.c.published_at,
        published_weights.c.document,
    )
    with reading(engine) as connection:
        row = connection.execute(
            select(*columns).order_by(published_weights.c.seq.desc()).limit(1)
        ).first()
    return Published(row.version, moment(row.published_at), row.document) if row else None


def published(connection: Connection) -> list[str]:
    """List the versions that may be in use, each once, the one that is in use first.

    Only what is published may be: a version whose artefacts are about to be deleted gives up its
    weights before (``training.condemn``).
    """
    last = func.max(published_weights.c.seq)
    return list(
        connection.execute(
            select(published_weights.c.version)
            .group_by(published_weights.c.version)
            .order_by(last.desc())
        ).scalars()
    )


def aliases(engine: Engine) -> dict[str, str]:
    """Tell which versions are to go by which names in the registry.

    The champion is the version that was published last, the previous one the version that was
    published before it and that nobody has left, the challenger the newest one if the gate did
    not let it through.
    """
    kept = training_sets.c.marked_at.is_(None) & training_sets.c.deleted_at.is_(None)
    with reading(engine) as connection:
        versions = published(connection)
        books = select(training_sets.c.version).where(~kept)
        left = set(connection.execute(books).scalars())
        newest = connection.execute(
            select(training_sets.c.version, training_sets.c.outcome)
            .where(kept)
            .order_by(training_sets.c.as_of.desc())
            .limit(1)
        ).first()
    named = dict(zip(["champion"], versions, strict=False))
    before = [version for version in versions[1:] if version not in left]
    named |= dict(zip(["previous"], before, strict=False))
    if newest is not None and newest.outcome == "refused" and newest.version not in versions:
        named["challenger"] = newest.version
    return named
