"""Names of people: what a recogniser says, what the words are, and what stands beside them.

A statistical recogniser alone takes first names it never met for towns, and greetings for
people. So every capitalised word gets a standing from the name lists, a dictionary, word
vectors and the recogniser's label, and a stretch of such words is a name when something
vouches for it. Lower-case names need a listed given name or a cue.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Protocol

from privacy import cues
from privacy.addresses import streets
from privacy.lexicon import FAMILY_NAMES, GIVEN_NAMES, ORGANISATIONS, PLACES, fold
from privacy.spans import Span

_WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")
_ELISION = re.compile(r"(?:[cdjlmnst]|qu|jusqu|lorsqu|puisqu|quoiqu)'", re.IGNORECASE)
_BREAK = re.compile(r"[.!?:;\n\"«»(•*…-]\s*$|^\s*$")
_GAP = re.compile(r"[ \t]{1,2}|-")
_INITIAL_GAP = re.compile(r"\.?[ \t-]{0,2}")
_LONGEST_ACRONYM = 4


class Vocabulary(Protocol):
    """What is known of the words of one language."""

    def is_word(self, word: str) -> bool:
        """Tell whether a lower-case word is in the dictionary."""

    def nameness(self, word: str) -> float | None:
        """Tell how close a word, as written, is to names: about 1 a name, -1 none, None unknown."""


class NoVocabulary:
    """Nothing is known: lists and cues alone decide."""

    def is_word(self, word: str) -> bool:
        """Know no word."""
        return word in cues.STOP

    def nameness(self, word: str) -> float | None:  # noqa: ARG002
        """Know nothing of any word."""
        return None


@dataclass(frozen=True, slots=True)
class Entity:
    """A stretch that the recogniser labelled PER, LOC, ORG or MISC."""

    start: int
    end: int
    label: str


class Standing(IntEnum):
    """How far a word goes by itself."""

    NONE = 0
    POSSIBLE = 1
    SURE = 2


@dataclass(frozen=True)
class _Word:
    start: int
    end: int
    text: str
    opens: bool
    """Stands at the beginning of a sentence, where any word has a capital."""

    @cached_property
    def lower(self) -> str:
        return self.text.lower()

    @cached_property
    def parts(self) -> list[str]:
        return [part for part in re.split(r"[-']", fold(self.text)) if part]

    @cached_property
    def given(self) -> bool:
        return all(p in GIVEN_NAMES or p in cues.PARTICLES for p in self.parts) and any(
            p in GIVEN_NAMES for p in self.parts
        )

    @cached_property
    def family(self) -> bool:
        return any(p in FAMILY_NAMES for p in (*self.parts, fold(self.text)))

    @cached_property
    def elsewhere(self) -> bool:
        """Names a place or an organisation."""
        whole = fold(self.text)
        known = whole in PLACES or whole in ORGANISATIONS or self.parts[0] in PLACES
        return known or (len(self.parts) > 1 and self.parts[0] in {"saint", "sainte", "st", "mont"})

    @property
    def capital(self) -> bool:
        return self.text[0].isupper()

    @property
    def upper(self) -> bool:
        return len(self.text) > 1 and self.text.isupper()


def find_names(
    text: str, vocabulary: Vocabulary, entities: Sequence[Entity] = (), *, general: bool = True
) -> Iterator[Span]:
    """Find names of people in a text.

    Args:
        text: The text of a ``normalisation.View``.
        vocabulary: Dictionary and word vectors of the text's language.
        entities: What the recogniser of that language found.
        general: Whether words outside the lists may be names without a strong cue; only
            safe where ``vocabulary`` knows the language.

    Yields:
        Spans of type PERSON, civilities left out.
    """
    reader = _Reader(text, vocabulary, entities, general)
    for run in reader.runs():
        yield from reader.names_in(run)
    yield from reader.lower_case_names()


class _Reader:
    """The words of one text, and what speaks for each."""

    def __init__(
        self,
        text: str,
        vocabulary: Vocabulary,
        entities: Sequence[Entity],
        general: bool,  # noqa: FBT001
    ) -> None:
        self.text = text
        self.vocabulary = vocabulary
        self.entities = entities
        self.general = general
        self.words = [self._word(found) for found in _WORD.finditer(text)]
        self.streets = list(streets(text))
        letters = [letter for letter in text if letter.isalpha()]
        capitals = sum(letter.isupper() for letter in letters)
        self.shouting = len(self.words) > 3 and capitals > 0.7 * len(letters)  # noqa: PLR2004

    def _word(self, found: re.Match[str]) -> _Word:
        """Cut an elided article off (``d'Antoine``), but not a name's own (``N'Diaye``)."""
        start, written = found.start(), found.group()
        elided = _ELISION.match(written)
        if elided and elided.end() < len(written):
            rest = written[elided.end() :]
            if written[0].islower() or rest[0].islower():
                start, written = start + elided.end(), rest
        opens = bool(_BREAK.search(self.text[max(0, found.start() - 4) : found.start()]))
        return _Word(start, found.end(), written, opens and start == found.start())

    def is_word(self, word: _Word) -> bool:
        """Tell whether all parts of a word are in the dictionary (``appelez-moi``)."""
        if word.lower in cues.STOP or self.vocabulary.is_word(word.lower):
            return True
        pieces = word.lower.split("-")
        return len(pieces) > 1 and all(
            piece in cues.STOP or self.vocabulary.is_word(piece) for piece in pieces
        )

    def label(self, word: _Word) -> str | None:
        """Return what the recogniser called a word, if anything."""
        for entity in self.entities:
            if entity.start < word.end and word.start < entity.end:
                return entity.label
        return None

    def runs(self) -> Iterator[list[int]]:
        """Yield stretches of capitalised words and initials, with the particles between them."""
        run: list[int] = []
        for i, word in enumerate(self.words):
            if run and not self._joined(self.words[run[-1]], word):
                yield run
                run = []
            capital = word.capital and not self.shouting
            if capital or (fold(word.text) in cues.PARTICLES and (run or self._leads(i))):
                run.append(i)
            elif run:
                yield run
                run = []
        if run:
            yield run

    def _joined(self, left: _Word, right: _Word) -> bool:
        gap = self.text[left.end : right.start]
        if gap in {"'", " '"} or right.start == left.end:
            return True
        pattern = _INITIAL_GAP if len(left.text) == 1 and left.capital else _GAP
        elided = gap[:-2] if gap[-1:] == "'" else gap
        return pattern.fullmatch(gap) is not None or pattern.fullmatch(elided) is not None

    def names_in(self, run: list[int]) -> Iterator[Span]:
        """Yield the parts of a run that something vouches for."""
        stretch: list[int] = []
        for i in run:
            particle = fold(self.words[i].text) in cues.PARTICLES
            if self.standing(i, stretch) is not Standing.NONE or (
                particle and (stretch or self._leads(i))
            ):
                stretch.append(i)
                continue
            yield from self._name(stretch)
            stretch = []
        yield from self._name(stretch)

    def _leads(self, i: int) -> bool:
        """Tell whether a particle opens a name (``M. Le Goff``) and is no article."""
        words = self.words[i : i + 4]
        heads = [word for word in words if fold(word.text) not in cues.PARTICLES]
        if not heads or not heads[0].capital:
            return False
        if words[0].upper and heads[0].upper and fold(heads[0].text) not in cues.ACRONYMS:
            surname = heads[0].family or not (self.is_word(heads[0]) or heads[0].elsewhere)
            return surname or self.strong_cue(words[0].start)
        return self.strong_cue(words[0].start) and not self.is_word(heads[0])

    def standing(self, i: int, stretch: list[int]) -> Standing:
        """Tell how far a capitalised word goes as a name, behind the words of ``stretch``."""
        word = self.words[i]
        single = len(word.text) == 1
        if not word.capital or fold(word.text) in cues.CIVILITIES:
            return Standing.NONE
        if word.lower in cues.STOP and not single:
            return Standing.NONE
        if self.text[word.end : word.end + 1].isdigit() or self._after_digit(word):
            return Standing.NONE
        if single:
            return Standing.POSSIBLE if stretch or self._initial(word) else Standing.NONE
        if word.upper and fold(word.text) in cues.ACRONYMS:
            return Standing.NONE
        if word.given or word.family:
            return self._listed(i, stretch)
        return self._unlisted(word, stretch)

    def _after_digit(self, word: _Word) -> bool:
        return word.start > 0 and self.text[word.start - 1].isdigit()

    def _initial(self, word: _Word) -> bool:
        return self.text[word.end : word.end + 1] == "."

    def _continues(self, stretch: list[int], *, firmly: bool = False) -> bool:
        """Tell whether a given name (or, less firmly, any name) stands before."""
        return any(
            self.words[i].given
            or len(self.words[i].text) == 1
            or (self.words[i].capital and fold(self.words[i].text) in cues.PARTICLES)
            or (not firmly and (self.words[i].family or not self.is_word(self.words[i])))
            for i in stretch
        )

    def _listed(self, i: int, stretch: list[int]) -> Standing:
        """Judge a word of the lists, which may be an ordinary word or a place as well."""
        word = self.words[i]
        if self._continues(stretch, firmly=True) or self.strong_cue(word.start):
            return Standing.SURE
        if word.given and self._likely_name(i):
            return Standing.SURE
        label = self.label(word)
        plain = not self.is_word(word) and not word.elsewhere
        ahead = self.elsewhere_ahead(word.start)
        sure = (plain and (word.given or not word.opens or label == "PER")) or (
            label == "PER" and not (word.elsewhere and ahead)
        )
        return Standing.SURE if sure else Standing.POSSIBLE

    def _likely_name(self, i: int) -> bool:
        """Tell whether a capitalised given name is meant as one, and not as a word or a place."""
        word = self.words[i]
        if word.elsewhere:
            return False
        if word.opens:
            as_name = self.vocabulary.nameness(word.text.capitalize()) or 0.0
            return as_name > _NAME_AT_START or bool(cues.ACTS.match(self.text, word.end))
        determined = i > 0 and self.words[i - 1].lower in cues.DETERMINERS
        return not (determined and self.is_word(word))

    def _unlisted(self, word: _Word, stretch: list[int]) -> Standing:
        """Judge a word that is in no list: by what announces it, its vector and its label."""
        cued = self.strong_cue(word.start)
        ordinary = self.is_word(word)
        near = self.vocabulary.nameness(word.text.capitalize() if word.upper else word.text)
        if ordinary and not word.opens and (near or 0.0) > _NAME_BEHIND_CUE:
            ordinary = not self.weak_cue(word.start)
        if cued or self._continues(stretch, firmly=ordinary):
            return Standing.NONE if word.elsewhere and not cued else Standing.POSSIBLE
        if ordinary or word.elsewhere or not self.general:
            return Standing.NONE
        label = self.label(word)
        if word.upper and len(word.text) <= _LONGEST_ACRONYM and label != "PER":
            return Standing.NONE
        if near is None:
            near = _UNKNOWN[label] - 0.3 * word.opens
        sure, possible = _BOUNDS[label]
        if self.elsewhere_ahead(word.start):
            sure, possible = sure + 0.4, possible + 0.3
        if word.opens and label is None:
            sure, possible = sure + 0.2, possible + 0.3
        return Standing((near > sure) + (near > possible))

    def _name(self, stretch: list[int]) -> Iterator[Span]:
        """Yield a stretch as one name if it is vouched for, particles at its edges cut off."""
        words = [self.words[i] for i in stretch]
        while words and fold(words[-1].text) in cues.PARTICLES and not words[-1].capital:
            words.pop()
        if not words or all(len(word.text) == 1 for word in words):
            return
        start, end = words[0].start, words[-1].end
        if self.text[start - 2 : start].lower() == "d'" and self.strong_cue(start - 2):
            start -= 2
        start = self._with_article(stretch[0], start)
        if not self._excluded(words) and self._vouched(stretch[: len(words)]):
            yield Span(start, end, "PERSON")

    def _with_article(self, first: int, start: int) -> int:
        """Begin a family name at its own article (``Le Bihan``), which has a capital."""
        if first == 0 or self.words[first].given:
            return start
        article = self.words[first - 1]
        own = article.capital and fold(article.text) in cues.PARTICLES
        joined = self._joined(article, self.words[first])
        return article.start if own and joined and len(article.text) > 1 else start

    def _vouched(self, stretch: list[int]) -> bool:
        start = self.words[stretch[0]].start
        standings = [self.standing(i, stretch[:n]) for n, i in enumerate(stretch)]
        if self.strong_cue(start) or Standing.SURE in standings:
            return True
        listed = any(self.words[i].given or self.words[i].family for i in stretch)
        if listed and (len(stretch) > 1 or self.weak_cue(start)):
            return True
        labelled = any(self.label(self.words[i]) == "PER" for i in stretch)
        cued = self.weak_cue(start) and not self.elsewhere_ahead(start)
        return self.general and (labelled or cued)

    def _excluded(self, words: list[_Word]) -> bool:
        """Tell whether a stretch is a street, a school or a company that carries a name."""
        start, end = words[0].start, words[-1].end
        if self.strong_cue(start):
            return False
        folded = " ".join(" ".join(word.parts) for word in words)
        if folded in cues.NAMED_AFTER_PEOPLE:
            return True
        if len(words) == 1 and words[0].elsewhere and not words[0].given:
            return True
        if not words[0].capital and not words[0].given:
            return True
        return any(low < end and start < high for low, high in self.streets)

    def strong_cue(self, start: int) -> bool:
        """Tell whether what stands before ``start`` announces a name."""
        before = self.text[max(0, start - 40) : start].removesuffix("d'")
        return cues.STRONG_CUE.search(before) is not None

    def weak_cue(self, start: int) -> bool:
        """Tell whether what stands before ``start`` often precedes a name."""
        return cues.WEAK_CUE.search(self.text[max(0, start - 40) : start]) is not None

    def elsewhere_ahead(self, start: int) -> bool:
        """Tell whether a place or an organisation is to be expected at ``start``."""
        before = self.text[max(0, start - 30) : start]
        return bool(cues.ORGANISATION_CUE.search(before) or cues.PLACE_CUE.search(before))

    def lower_case_names(self) -> Iterator[Span]:
        """Yield names without capitals: a listed given name, or any word behind a strong cue."""
        end = 0
        for i, word in enumerate(self.words):
            if word.start < end or (word.capital and not self.shouting):
                continue
            if self._begins_lower_case_name(i):
                last = self._extend_lower_case(i)
                end = self.words[last].end
                yield Span(word.start, end, "PERSON")

    def _begins_lower_case_name(self, i: int) -> bool:
        word = self.words[i]
        if fold(word.text) in cues.PARTICLES and self.strong_cue(word.start):
            return self._surname_follows(i)
        if word.lower in cues.STOP or fold(word.text) in cues.CIVILITIES or len(word.text) == 1:
            return False
        if any(low < word.end and word.start < high for low, high in self.streets):
            return False
        ordinary = self.is_word(word) and not (len(word.parts) > 1 and word.given)
        if self.strong_cue(word.start):
            return word.given or word.family or not (ordinary or word.elsewhere)
        if not self.general or word.elsewhere:
            return False
        return self._ordinary_given(i) if ordinary else self._lower_unknown(i)

    def _ordinary_given(self, i: int) -> bool:
        """Judge a word that is both a given name and in the dictionary (``marie``, ``pierre``)."""
        word = self.words[i]
        if not word.given:
            return False
        as_name = self.vocabulary.nameness(word.text.capitalize()) or 0.0
        as_word = self.vocabulary.nameness(word.lower) or 0.0
        return (
            (self.label(word) == "PER" and as_name > 0)
            or self._surname_follows(i)
            or (as_name > _NAME_IN_LOWER_CASE and as_word > _WORD_IN_LOWER_CASE)
            or (as_name > _NAME_BEHIND_CUE and self.weak_cue(word.start))
        )

    def _surname_follows(self, i: int) -> bool:
        """Tell whether behind a word, and particles, comes what may well be a family name."""
        last = self._extend_lower_case(i)
        word = self.words[last]
        near = self.vocabulary.nameness(word.text.capitalize()) or 0.0
        return last > i and (word.family or word.given or near > -0.3)

    def _lower_unknown(self, i: int) -> bool:
        """Judge a lower-case word that no dictionary holds."""
        word = self.words[i]
        cued = self.weak_cue(word.start)
        if word.given and (cued or fold(word.text) not in cues.ALSO_SHORT_FORMS):
            return True
        if word.family and self._surname_follows(i):
            return True
        near = self.vocabulary.nameness(word.text.capitalize())
        return (cued or self.label(word) == "PER") and (word.family or (near or 0) > 0)

    def _extend_lower_case(self, i: int) -> int:
        """Follow a name to its last word: particles, listed names, words of no dictionary."""
        last = i
        for j in range(i + 1, min(i + 5, len(self.words))):
            word = self.words[j]
            if not self._joined(self.words[j - 1], word) or fold(word.text) in cues.CIVILITIES:
                break
            if fold(word.text) in cues.PARTICLES:
                continue
            known = self.is_word(word) and not word.family
            if word.lower in cues.STOP or known or (word.elsewhere and not word.family):
                break
            last = j
        return last


_NAME_IN_LOWER_CASE = 0.65
_WORD_IN_LOWER_CASE = -0.7
_NAME_BEHIND_CUE = 0.3
_NAME_AT_START = 0.55
"""Nameness above which a dictionary word is taken for the given name it also is: of its
capitalised and of its lower-case form, of the first behind a cue or opening a sentence."""

_BOUNDS: dict[str | None, tuple[float, float]] = {
    "PER": (-0.6, -0.9),
    None: (0.25, -0.2),
    "MISC": (0.35, -0.1),
    "LOC": (0.6, 0.1),
    "ORG": (0.6, 0.1),
}
"""By the recogniser's label: above which nameness an unlisted word is sure, or possible."""

_UNKNOWN: dict[str | None, float] = {"PER": 0.0, None: 0.0, "MISC": 0.0, "LOC": -1.0, "ORG": -1.0}
"""The nameness of a word that has no vector."""
