"""What the registry says of its versions; apart from it, so that reading this loads no MLflow."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


@dataclass(frozen=True)
class Recorded:
    """What became of a retraining: its version and run, and who is champion now."""

    version: str
    run_id: str
    promoted: bool
    champion_version: str


@dataclass(frozen=True)
class Version:
    """A registered version.

    Attributes:
        version: Its number.
        aliases: Names it goes by now.
        digest: SHA-256 of its JSON.
        promoted: Whether the gate let it through when it was registered.
        learned: Whether it learned from people; the first one did not.
        sentence: Why, or why not.
        run_id: MLflow run with the evidence.
        created_at: When it was registered.
    """

    version: str
    aliases: tuple[str, ...]
    digest: str
    promoted: bool
    learned: bool
    sentence: str
    run_id: str
    created_at: datetime


def listed(entry: ModelVersion, aliases: list[str]) -> Version:
    """Return what the registry's own entry says, and the names that it goes by."""
    return Version(
        version=str(entry.version),
        aliases=tuple(sorted(aliases)),
        digest=str(entry.tags.get("model_digest", "")),
        promoted=entry.tags.get("promoted") == "true",
        learned="training_digest" in entry.tags,
        sentence=str(entry.tags.get("sentence") or entry.description or ""),
        run_id=str(entry.run_id),
        created_at=datetime.fromtimestamp(entry.creation_timestamp / 1000, UTC),
    )
