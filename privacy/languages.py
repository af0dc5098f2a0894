"""In which language a text is written, with a bias towards the platform's own."""

import re
from collections.abc import Callable, Collection
from functools import cache

from lingua import Language, LanguageDetector, LanguageDetectorBuilder

from privacy.cues import ACRONYMS
from privacy.spans import PLACEHOLDER

UNDETERMINED = "und"
_CANDIDATES = (
    Language.ARABIC,
    Language.CHINESE,
    Language.DUTCH,
    Language.ENGLISH,
    Language.FRENCH,
    Language.GERMAN,
    Language.ITALIAN,
    Language.POLISH,
    Language.PORTUGUESE,
    Language.ROMANIAN,
    Language.RUSSIAN,
    Language.SPANISH,
    Language.TURKISH,
    Language.UKRAINIAN,
)
_WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")
_ELISION = re.compile(r"(?:[cdjlmnst]|qu|jusqu|lorsqu|puisqu|quoiqu)'(?=\w)|(?<=\w)-\w+$")
_ADDRESS_LIKE = re.compile(r"\S*[@\d/\\_]\S*|\S+\.\S{2,}")
_SHORT_WORDS = 4
_FOREIGN_ODDS = 3.0
_SHORT_CERTAINTY = 0.25
_LONGEST_CODE = 4


def detect(text: str, own: Collection[str], is_own_word: Callable[[str], bool]) -> str:
    """Name the language of a text by its ISO 639-1 code.

    People write short reasons ("trop loin", "salaire trop bas", "bof") on which no
    detector is sure of anything. They are the platform's signal, and its own language is
    by far the likeliest. So a text is foreign only on evidence: a word that the own dictionary
    does not know, another language at least three times as likely as the own ones and, in up
    to four words, a quarter of all likelihood. The error this leaves is
    harmless to privacy: what is wrongly taken for an own text is still redacted, by every
    rule and by the name recogniser.

    Names, codes, addresses and placeholders say nothing about the language and are not
    looked at, so that redacting a text hardly changes its language.

    Args:
        text: As written, in any spelling.
        own: Codes of the platform's languages, the first taken in doubt.
        is_own_word: Tells whether a lower-case word is in the dictionary of these.

    Returns:
        A code of two letters, or ``und`` where no language is own and none is likely.
    """
    words = _words(text)
    first = next(iter(own), UNDETERMINED)
    known = all(is_own_word(_ELISION.sub("", word.lower())) for word in words)
    if not words or (known and (len(words) <= _SHORT_WORDS or len(own) == 1)):
        return first
    likelihood = {
        value.language.iso_code_639_1.name.lower(): value.value
        for value in _detector().compute_language_confidence_values(" ".join(words))
    }
    best = max(likelihood, key=lambda code: likelihood[code])
    ours = max((likelihood.get(code, 0.0) for code in own), default=0.0)
    unsure = known or (len(words) <= _SHORT_WORDS and likelihood[best] < _SHORT_CERTAINTY)
    if unsure or likelihood[best] <= ours * _FOREIGN_ODDS:
        return max(own, key=lambda code: likelihood.get(code, 0.0))
    return best if likelihood[best] > 0 else first


def supported() -> frozenset[str]:
    """Return the codes that ``detect`` can tell apart."""
    return frozenset(language.iso_code_639_1.name.lower() for language in _CANDIDATES)


def _words(text: str) -> list[str]:
    """Keep the words that carry the language: no address, no placeholder, no likely name."""
    plain = _ADDRESS_LIKE.sub(" ", PLACEHOLDER.sub(" ", text))
    coded = any(letter.isdigit() for letter in text)
    words = [
        (found.start(), found.group())
        for found in _WORD.finditer(plain)
        if found.group().lower() not in ACRONYMS
        and not (found.group().isupper() and len(found.group()) <= _LONGEST_CODE and coded)
    ]
    lower = [word for start, word in words if word.islower() or not _follows(plain, start)]
    return lower if len(lower) > 1 else [word for _, word in words]


def _follows(text: str, start: int) -> bool:
    """Tell whether a word stands within a sentence, where a capital marks a name."""
    before = text[:start].rstrip()
    return bool(before) and before[-1] not in ".!?\n"


@cache
def _detector() -> LanguageDetector:
    """Build the detector once; it reads the statistics that its package carries."""
    return LanguageDetectorBuilder.from_languages(*_CANDIDATES).build()
