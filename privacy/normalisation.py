"""One spelling for what people and machines write in many: full width, zero width, odd spaces."""

import re
import unicodedata
from dataclasses import dataclass

from privacy.spans import PLACEHOLDER, Span

_ALIKE = {
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
    **dict.fromkeys("\u2018\u2019\u02bc\u00b4\u2032`", "'"),
    **dict.fromkeys("\u00b7\u2022\u2219\u22c5\u3002\u30fb", "."),
    **dict.fromkeys("\u2028\u2029\u0085\u000b\u000c", "\n"),
}

_PASSED_OVER = re.compile(
    rf"(?P<placeholder>{PLACEHOLDER.pattern})"
    r"|</?(?i:b|big|code|em|font|i|ins|mark|s|small|span|strong|sub|sup|tt|u|wbr)\s{0,9}/?>"
    r"|<!--\s{0,9}-->"
)
"""Placeholders, and markup inside lines that says nothing: a tag with attributes may hold data."""


@dataclass(frozen=True, slots=True)
class View:
    """A text in one spelling, and where each of its characters was in the original.

    Attributes:
        text: What the recognisers read.
        starts: Offset in the original where each character of ``text`` begins.
        ends: Offset in the original where it ends; a zero-width run belongs to its left.
        kept: Stretches of ``text`` that are placeholders of an earlier redaction.
    """

    text: str
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    kept: tuple[tuple[int, int], ...]

    def original(self, span: Span) -> Span:
        """Carry a span of ``text`` back to the original text."""
        return Span(self.starts[span.start], self.ends[span.end - 1], span.type)


def view(text: str) -> View:
    """Spell a text in NFKC, without invisible characters, with plain dashes, dots and spaces.

    Compatibility forms are folded cluster by cluster (a letter with its accents), so that
    every offset can be carried back. Digits of other scripts become ASCII digits, and marks
    that are part of no letter (strokes, underlines, variation selectors) are left out.
    Placeholders pass unchanged; tags that only set off letters (``<b>``) are left out as well.
    """
    spelling = _Spelling()
    kept: list[tuple[int, int]] = []
    position = 0
    for found in _PASSED_OVER.finditer(text):
        spelling.add(text, position, found.start())
        if found["placeholder"]:
            kept.append((len(spelling.letters), len(spelling.letters) + len(found.group())))
            spelling.add_unchanged(text, found.start(), found.end())
        position = found.end()
    spelling.add(text, position, len(text))
    return View(
        "".join(spelling.letters), tuple(spelling.starts), tuple(spelling.ends), tuple(kept)
    )


class _Spelling:
    """The letters of a view, and their offsets, while it is being built."""

    def __init__(self) -> None:
        self.letters: list[str] = []
        self.starts: list[int] = []
        self.ends: list[int] = []

    def add_unchanged(self, text: str, start: int, end: int) -> None:
        self.letters += text[start:end]
        self.starts += range(start, end)
        self.ends += range(start + 1, end + 1)

    def add(self, text: str, start: int, end: int) -> None:
        """Append the plain spelling of ``text[start:end]``, cluster by cluster."""
        stretch = text[start:end]
        if stretch.isascii() and "`" not in stretch:
            self.add_unchanged(text, start, end)
            return
        position = start
        while position < end:
            after = position + 1
            while after < end and _is_mark(text[after]):
                after += 1
            for letter in _plain(text[position:after]):
                self.letters.append(letter)
                self.starts.append(position)
                self.ends.append(after)
            position = after


def _plain(cluster: str) -> str:
    if cluster.isascii():
        return cluster
    category = unicodedata.category(cluster[0])
    if category == "Cf":
        return ""
    if category == "Cs":  # half a character: no recogniser could encode it
        return "\ufffd"
    # The acute accent as an apostrophe is looked up first: NFKC makes it a space.
    folded = _ALIKE.get(cluster) or unicodedata.normalize("NFKC", cluster)
    return "".join(_ALIKE.get(letter, _digit(letter)) for letter in folded if not _is_mark(letter))


def _is_mark(letter: str) -> bool:
    return unicodedata.category(letter) in {"Mn", "Me"}


def _digit(letter: str) -> str:
    if letter.isascii():
        return letter
    if letter.isspace():
        return " "
    value = unicodedata.decimal(letter, None)
    return letter if value is None else str(value)
