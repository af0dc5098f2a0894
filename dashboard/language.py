"""French and English: which one a browser asks for, and how each writes numbers and dates."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime

from dashboard.rules import french
from dashboard.words import phrases

LANGUAGES = ("en", "fr")

_FORMS = re.compile(r"\[([^|\]]*)\|([^|\]]*)\]")
_NARROW_SPACE = "\u202f"
_RANGE = re.compile(r"\s*([a-zA-Z-]{1,16}|\*)\s*(?:;\s*q=([01](?:\.\d{0,3})?))?\s*\Z")
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_MOST_RANGES = 20


def choose(accepted: str, asked: str | None = None) -> str:
    """Choose the language of a page.

    Args:
        accepted: The browser's ``Accept-Language``.
        asked: What the address asks for, which wins.

    Returns:
        ``en`` or ``fr``; English where neither is asked for.
    """
    if asked in LANGUAGES:
        return asked
    weights = dict.fromkeys(LANGUAGES, 0.0)
    for part in accepted.split(",")[:_MOST_RANGES]:
        found = _RANGE.match(part)
        if found:
            name = found[1].lower().partition("-")[0]
            weight = float(found[2] or 1)
            if name in weights:
                weights[name] = max(weights[name], weight)
    return max(LANGUAGES, key=lambda name: weights[name])


@dataclass(frozen=True)
class Language:
    """How a language says and writes things; ``code`` is ``en`` or ``fr``."""

    code: str

    def say(self, phrase: str, *, number: int | None = None, **values: object) -> str:
        """Return a phrase of ``dashboard/words.toml`` with its values filled in.

        Args:
            phrase: Its name.
            number: Chooses between forms for one and for several, where it has them.
            values: What is filled in, by name.
        """
        said = phrases()[phrase][self.code]
        if number is not None:
            said = _FORMS.sub(r"\1" if self._is_one(number) else r"\2", said)
        return said.format(**values)

    def _is_one(self, number: int) -> bool:
        """Tell whether a number takes the singular; in French 0 does as well."""
        return number in ((0, 1) if self.code == "fr" else (1,))

    def rule(self, rule: str) -> str:
        """Write the rule of a field, which is given in English."""
        return french(rule) if self.code == "fr" else rule

    def number(self, value: float, digits: int = 0) -> str:
        """Write a number with its groups of thousands."""
        text = f"{value:,.{digits}f}".replace("-", "\u2212")
        if self.code == "fr":
            return text.replace(",", _NARROW_SPACE).replace(".", ",")
        return text

    def count(self, value: int | None) -> str:
        """Write a count, or that it is masked: None is what no published block tells."""
        return self.say("masked") if value is None else self.number(value)

    def signed(self, value: float, digits: int = 2) -> str:
        """Write a number with its sign."""
        text = self.number(value, digits)
        return text if value < 0 else f"+{text}"

    def percent(self, share: float, digits: int = 1) -> str:
        """Write a share of 1 as a percentage."""
        text = self.number(share * 100, digits)
        return f"{text}{_NARROW_SPACE}%" if self.code == "fr" else f"{text}%"

    def span(self, lower: str, upper: str) -> str:
        """Write an interval of two figures that are written already."""
        return self.say("span", lower=lower, upper=upper)

    def day(self, iso: str, *, year: bool = True) -> str:
        """Write an ISO date."""
        return self._date(date.fromisoformat(iso), year=year)

    def moment(self, iso: str) -> str:
        """Write an ISO time, which is UTC."""
        at = datetime.fromisoformat(iso)
        return f"{self._date(at.date(), year=True)}, {at:%H:%M} UTC"

    def duration(self, seconds: float) -> str:
        """Write a time span in its largest unit, of which none is smaller than a minute.

        Seconds would tell when a single event came.
        """
        if seconds < _MINUTE:
            return self.say("less_than_a_minute")
        if seconds < _HOUR:
            return self.say("minutes", count=self.number(seconds // _MINUTE))
        if seconds < 2 * _DAY:
            return self.say("hours", count=self.number(seconds // _HOUR))
        return self.days(int(seconds // _DAY))

    def days(self, count: int) -> str:
        """Write a number of days."""
        return self.say("day" if abs(count) == 1 else "days", count=self.number(count))

    def _date(self, at: date, *, year: bool) -> str:
        first = "1er" if self.code == "fr" and at.day == 1 else str(at.day)
        months = self.say("months").split()
        text = f"{first} {months[at.month - 1]}"
        return f"{text} {at.year}" if year else text
