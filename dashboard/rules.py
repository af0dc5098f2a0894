"""Rules in French: a field keeps its name, and ``rules.toml`` holds the words that follow it."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path

_NUMBER = re.compile(r"(?<![\w-])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")


def french(rule: str) -> str:
    """Return a rule as French writes it; one that has no words there stays as it is.

    Args:
        rule: Field and rule in words, as ``field: must be ...``.
    """
    field, colon, words = rule.rpartition(": ")
    told = _words().get(_NUMBER.sub("{}", words))
    if not colon or told is None:
        return rule
    field = field.replace(": names", "\u00a0: noms")
    numbers = (number.replace(".", ",") for number in _NUMBER.findall(words))
    return f"{field}\u00a0: {told.format(*numbers)}"


@cache
def _words() -> dict[str, str]:
    return tomllib.loads(Path(__file__).with_name("rules.toml").read_text(encoding="utf-8"))
