"""Spans of personal data in a text, and how overlapping ones are settled."""

import re
from bisect import bisect, insort
from collections.abc import Iterable
from dataclasses import dataclass

RANKS = {
    "EMAIL": 0,
    "URL": 1,
    "IP_ADDRESS": 2,
    "IBAN": 3,
    "NIR": 4,
    "CARD": 5,
    "ADDRESS": 6,
    "DATE_OF_BIRTH": 7,
    "SIRET": 8,
    "PHONE": 9,
    "SIREN": 10,
    "HANDLE": 11,
    "PERSON": 12,
}
"""Every type that is found, the one that wins where two overlap first."""

PLACEHOLDER = re.compile(rf"<(?:{'|'.join(RANKS)}|DROPPED language=(?:[a-z]{{2}}|und) length=\d+)>")
"""What redaction leaves behind: never found, changed or counted as a word again."""


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A stretch ``[start, end)`` of a text, in characters, and the type of what it holds."""

    start: int
    end: int
    type: str


def settle(text: str, spans: Iterable[Span], kept: Iterable[tuple[int, int]] = ()) -> list[Span]:
    """Make spans disjoint, so that nothing that any of them covers is left over.

    The higher rank wins, then the longer, then the earlier. A loser is cut, not
    discarded: what stays of it is kept where it still holds a letter or a digit.

    Args:
        text: What the spans point into.
        spans: In any order, overlapping or not.
        kept: Stretches that no span may touch (placeholders of an earlier pass).

    Returns:
        Disjoint spans, sorted by position.
    """
    settled: list[Span] = []
    taken = sorted(kept)
    order = sorted(set(spans), key=lambda s: (RANKS[s.type], s.start - s.end, s.start))
    for span in order:
        for start, end in _outside(span.start, span.end, taken):
            piece = _trim(text, Span(start, end, span.type))
            if piece is not None:
                settled.append(piece)
                insort(taken, (piece.start, piece.end))
    return sorted(settled)


def replace(text: str, spans: Iterable[Span]) -> str:
    """Write ``<TYPE>`` in the place of each of some disjoint, sorted spans."""
    parts, position = [], 0
    for span in spans:
        parts += [text[position : span.start], f"<{span.type}>"]
        position = span.end
    return "".join([*parts, text[position:]])


def _outside(start: int, end: int, taken: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return what of a stretch lies outside of disjoint, sorted ones; looks at few of many."""
    free, position = [], start
    for place in range(max(0, bisect(taken, (start, start)) - 1), len(taken)):
        low, high = taken[place]
        if low >= end:
            break
        if position < low:
            free.append((position, low))
        position = max(position, high)
    return [*free, (position, end)] if position < end else free


def _trim(text: str, span: Span) -> Span | None:
    solid = [i for i in range(span.start, span.end) if text[i].isalnum()]
    if not solid:
        return None
    if solid[0] == span.start and solid[-1] == span.end - 1:
        return span
    # A bracket or a sign at the edge belongs to a number or an address, a space to nobody.
    start, end = span.start, span.end
    while text[start].isspace():
        start += 1
    while text[end - 1].isspace():
        end -= 1
    return Span(start, end, span.type)
