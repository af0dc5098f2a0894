"""What the registry says of its versions; apart from it, so that reading this loads no MLflow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


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
        sentence: Why, or why not.
        run_id: MLflow run with the evidence.
        created_at: When it was registered.
    """

    version: str
    aliases: tuple[str, ...]
    digest: str
    promoted: bool
    sentence: str
    run_id: str
    created_at: datetime
