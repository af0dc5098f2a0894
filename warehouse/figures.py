"""Every figure of the dashboard at one moment: the metrics of the API and the overview."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from warehouse import drift_days, metrics, overview, weights

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Engine

    from schemas.settings import Settings

_METRICS = {
    "acceptance": metrics.acceptance,
    "trend": metrics.trend,
    "models": metrics.models,
    "funnel": metrics.funnel,
    "satisfaction": metrics.satisfaction,
    "constraints": metrics.constraints,
    "drift": drift_days.drift,
}


def read_figures(
    engine: Engine, settings: Settings, days: int, as_of: datetime, *, published: bool
) -> dict[str, Any]:
    """Read every figure of a window that ends now.

    Args:
        engine: The database.
        settings: Of the installation.
        days: Length of the window, days.
        as_of: Now, aware.
        published: Read what may be published and nothing else.

    Returns:
        Ready for JSON: the metrics by name as the API gives them, ``quality``, ``privacy``,
        ``loop``, ``weights`` as last published (None before), and what they stand on.
    """
    smallest = settings.smallest_group
    found = {
        name: read(engine, days, as_of, published=published) for name, read in _METRICS.items()
    }
    newest = weights.newest(engine)
    return {
        **found,
        "quality": overview.quality(engine, smallest=smallest, published=published),
        "privacy": overview.privacy(engine, settings, days, as_of, published=published),
        "loop": overview.loop(engine, as_of, smallest=smallest, published=published),
        "weights": msgspec.json.decode(newest.document) if newest else None,
        "published": published,
        "k": smallest,
        "days": days,
        "as_of": as_of.isoformat(),
        "last_day": _last_day(found["acceptance"]["window"]),
    }


def _last_day(window: dict[str, Any]) -> str | None:
    if window["until"] is None:
        return None
    return (date.fromisoformat(window["until"]) - timedelta(days=1)).isoformat()
