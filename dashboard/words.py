"""What the page says; ``words.toml`` holds every phrase in both languages."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path


@cache
def phrases() -> dict[str, dict[str, str]]:
    """Return every phrase by name and language."""
    return tomllib.loads(Path(__file__).with_name("words.toml").read_text(encoding="utf-8"))
