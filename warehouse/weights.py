"""Read the champion's weights as they were last published."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from schemas.clock import moment
from schemas.tables import published_weights
from warehouse.engine import reading

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Engine


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
