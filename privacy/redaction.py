"""Redaction of free text: personal data is replaced by its type, or the text is dropped.

A text in a language whose names can be recognised (French) is kept with every span
replaced: ``<PERSON>``, ``<PHONE>``. Of any other language patterns and announced names are
found too, to be shown, but names would slip through: of such a text only the language and
the length are kept.
"""

import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING

from privacy import languages
from privacy.normalisation import view
from privacy.spans import Span, replace, settle
from schemas.errors import InvalidInput

if TYPE_CHECKING:
    from privacy.recognisers import Recognisers

NAME_RECOGNISERS = frozenset({"fr"})
"""Languages in which names are recognised; spaCy's English models are in no registry we use."""

LONGEST = 20_000
"""Characters; a longer text is dropped unread, so that nobody buys hours with one upload."""

LONGEST_WORD = 1_000
"""Characters without a space; a text with more is dropped likewise: a word is read as often as it
has parts."""

_LINES = 256
_MOST_LOOKS = 12
_ONE_AT_A_TIME = threading.RLock()


@dataclass(frozen=True, slots=True)
class Redacted:
    """What is left of one text.

    Attributes:
        text: The text with every span replaced by its type; None when it was dropped.
        language: ISO 639-1 code, or ``und``.
        length: Characters of the original.
        spans: What was found, by position in the original, disjoint and sorted.
    """

    text: str | None
    language: str
    length: int
    spans: tuple[Span, ...]


def redact(texts: Sequence[str], *, own_languages: Sequence[str] = ("fr",)) -> list[Redacted]:
    """Redact texts, many at once.

    What redaction leaves is looked at again until nothing is found in it. So redacting a
    second time changes nothing, and a name that hid behind another is found as well. Most
    texts take one or two looks; one that does not come to rest in a dozen is dropped.

    Args:
        texts: As people wrote them.
        own_languages: Codes of the languages the platform speaks, the first taken where a
            text is too short to tell. Only those with a name recogniser are kept.

    Returns:
        One result a text, in order; a function of the arguments alone.

    Raises:
        InvalidInput: A code that the detector does not know.
    """
    if not set(own_languages) <= languages.supported():
        raise InvalidInput("own_languages", "must be among " + _listed())
    with _ONE_AT_A_TIME:
        spoken = [_language(text, own_languages) for text in texts]
        found, restless = _find_all(texts, spoken)
        return [
            _result(text, spoken[i], found[i], own_languages, keep=i not in restless)
            for i, text in enumerate(texts)
        ]


def redact_lines(
    lines: Iterable[str], *, as_json: bool = False, own_languages: Sequence[str] = ("fr",)
) -> Iterator[str]:
    r"""Redact lines as they come, in batches, and yield one line for each.

    Args:
        lines: Texts, with or without their line end.
        as_json: Yield ``{"text", "language", "length", "spans": [{"type", "start", "end"}]}``
            instead of the text.
        own_languages: As in ``redact``.

    Yields:
        Lines without a line end. A dropped text reads ``<DROPPED language=en length=57>``.
    """
    rest = (line.rstrip("\r\n") for line in lines)
    while batch := list(islice(rest, _LINES)):
        for result in redact(batch, own_languages=own_languages):
            yield _as_json(result) if as_json else _as_text(result)


def _as_text(result: Redacted) -> str:
    if result.text is None:
        return f"<DROPPED language={result.language} length={result.length}>"
    return result.text


def _as_json(result: Redacted) -> str:
    spans = [{"type": s.type, "start": s.start, "end": s.end} for s in result.spans]
    content = {
        "text": result.text,
        "language": result.language,
        "length": result.length,
        "spans": spans,
    }
    return json.dumps(content, ensure_ascii=False)


def _language(text: str, own_languages: Sequence[str]) -> str:
    if not _is_read(text):
        return languages.UNDETERMINED
    return languages.detect(view(text).text, own_languages, _recognisers().vocabulary.is_word)


def _is_read(text: str) -> bool:
    return len(text) <= LONGEST and all(len(word) <= LONGEST_WORD for word in text.split())


def _result(
    text: str, language: str, spans: list[Span], own_languages: Sequence[str], *, keep: bool
) -> Redacted:
    """Keep a text whose language can be redacted, before and after, and drop any other."""
    redacted: str | None = replace(text, spans)
    after = _language(redacted or "", own_languages)
    if not keep or {language, after} - NAME_RECOGNISERS:
        redacted, language = None, after if language in NAME_RECOGNISERS else language
    return Redacted(redacted, language, len(text), tuple(spans))


def _find_all(
    texts: Sequence[str], spoken: Sequence[str]
) -> tuple[list[list[Span]], frozenset[int]]:
    """Find the spans of each text, looking again at what the last look left.

    Returns:
        The spans of each text, and the indices of those that did not come to rest.
    """
    found: list[list[Span]] = [[] for _ in texts]
    unsettled = [i for i, text in enumerate(texts) if _is_read(text)]
    for _ in range(_MOST_LOOKS):
        left = [replace(texts[i], found[i]) for i in unsettled]
        more = _find(left, [spoken[i] for i in unsettled])
        for i, new in zip(unsettled, more, strict=True):
            found[i] = sorted([*found[i], *(_carry_back(span, found[i]) for span in new)])
        unsettled = [i for i, new in zip(unsettled, more, strict=True) if new]
    return found, frozenset(unsettled)


def _find(texts: Sequence[str], spoken: Sequence[str]) -> list[list[Span]]:
    """Find disjoint spans of each text, by position in it."""
    views = [view(text) for text in texts]
    found: list[list[Span]] = [[] for _ in texts]
    for language in sorted(set(spoken)):
        members = [i for i, code in enumerate(spoken) if code == language and texts[i].strip()]
        spans = _recognisers().find([views[i].text for i in members], language)
        for i, raw in zip(members, spans, strict=True):
            settled = settle(views[i].text, raw, views[i].kept)
            found[i] = [views[i].original(span) for span in settled]
    return found


def _carry_back(span: Span, earlier: Sequence[Span]) -> Span:
    """Move a span of a redacted text back to where it is in the original."""
    shift = 0
    for before in earlier:
        if before.start + len(f"<{before.type}>") > span.start + shift:
            break
        shift += (before.end - before.start) - len(f"<{before.type}>")
    return Span(span.start + shift, span.end + shift, span.type)


def _listed() -> str:
    return ", ".join(sorted(languages.supported()))


@cache
def _recognisers() -> "Recognisers":
    """Load spaCy, Presidio and the French model once, when the first text comes.

    They are imported here because that takes some seconds, which a command line that
    redacts nothing should not wait for.
    """
    from privacy.recognisers import Recognisers

    return Recognisers()
