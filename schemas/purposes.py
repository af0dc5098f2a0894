"""What a person may allow, and what every read of personal rows has to name."""

from __future__ import annotations

from enum import StrEnum


class Purpose(StrEnum):
    """A purpose of processing; refused until granted."""

    ANALYTICS = "analytics"
    """Events are collected and measured."""

    IMPROVEMENT = "improvement"
    """Events may train the model."""

    PREFERENCES = "preferences"
    """A person's own history may shape their own features."""
