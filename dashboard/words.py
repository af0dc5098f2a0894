"""What the page says; ``words.toml`` holds every phrase in both languages."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path

_BEFORE_MARK = re.compile(r" (?=[:;?!»])|(?<=«) ")
"""Where French has a space that is no place for the end of a line."""


@cache
def phrases() -> dict[str, dict[str, str]]:
    """Return every phrase by name and language."""
    found = tomllib.loads(Path(__file__).with_name("words.toml").read_text(encoding="utf-8"))
    for phrase in found.values():
        phrase["fr"] = _BEFORE_MARK.sub("\u00a0", phrase["fr"])
    return found
