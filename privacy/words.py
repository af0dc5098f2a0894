"""The words of a text, what is known of each, and what stands beside it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from privacy import cues
from privacy.addresses import places
from privacy.given_names import GIVEN_NAMES
from privacy.lexicon import FAMILY_NAMES, ORGANISATIONS, PLACES, fold

_WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")
_ELISION = re.compile(r"(?:[cdjlmnst]|qu|jusqu|lorsqu|puisqu|quoiqu)'", re.IGNORECASE)
_BREAK = re.compile(r"[.!?:;\n\"«»(•*…-]\s*$|^\s*$")
_GAP = re.compile(r"[ \t]{1,2}|-")
_LONGEST_SHORTENED = 4
_INITIAL_GAP = re.compile(r"\.?[ \t-]{0,2}")


NAME_BEHIND_CUE = 0.3
"""Nameness above which a dictionary word behind a cue is taken for the name it also is."""

_NAME_IN_SPITE_OF_DICTIONARY = 0.7
"""Nameness from which a dictionary word without a vector of its own is the name it also is."""


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


@dataclass(frozen=True)
class Word:
    """A word, where it stands, and what the lists say of it."""

    start: int
    end: int
    text: str
    opens: bool
    """Stands at the beginning of a sentence, where any word has a capital."""

    @cached_property
    def lower(self) -> str:
        """In lower case, accents kept."""
        return self.text.lower()

    @cached_property
    def parts(self) -> list[str]:
        """What hyphens and apostrophes join, folded."""
        return [part for part in re.split(r"[-']", fold(self.text)) if part]

    @cached_property
    def given(self) -> bool:
        """Is a listed given name, or joins one to another word (``Thi-Mai``, ``Anne-Lise``)."""
        if len(self.parts) > 1 and "-" in self.text:
            last = self.parts[-1]
            return self.parts[0] in GIVEN_NAMES and (last in GIVEN_NAMES or last not in PLACES)
        return "".join(self.parts) in GIVEN_NAMES

    @cached_property
    def family(self) -> bool:
        """Is a listed family name, or has a part that is."""
        return any(p in FAMILY_NAMES for p in (*self.parts, fold(self.text)))

    @cached_property
    def elsewhere(self) -> bool:
        """Names a place or an organisation."""
        whole = fold(self.text)
        known = whole in PLACES or whole in ORGANISATIONS or self.parts[0] in PLACES
        return known or (len(self.parts) > 1 and self.parts[0] in {"saint", "sainte", "st", "mont"})

    @property
    def capital(self) -> bool:
        """Begins with a capital."""
        return self.text[0].isupper()

    @property
    def upper(self) -> bool:
        """Is all capitals."""
        return len(self.text) > 1 and self.text.isupper()


class Reading:
    """The words of one text, and what speaks for each."""

    def __init__(
        self, text: str, vocabulary: Vocabulary, entities: Sequence[Entity], *, general: bool
    ) -> None:
        self.text = text
        self.vocabulary = vocabulary
        self.entities = entities
        self.general = general
        self.words = [self._word(found) for found in _WORD.finditer(text)]
        self.places = list(places(text))
        letters = [letter for letter in text if letter.isalpha()]
        capitals = sum(letter.isupper() for letter in letters)
        self.shouting = len(self.words) > 3 and capitals > 0.7 * len(letters)  # noqa: PLR2004

    def _word(self, found: re.Match[str]) -> Word:
        """Cut an elided article off (``d'Antoine``), but not a name's own (``N'Diaye``)."""
        start, written = found.start(), found.group()
        elided = _ELISION.match(written)
        if elided and elided.end() < len(written):
            rest = written[elided.end() :]
            if written[0].islower() or rest[0].islower():
                start, written = start + elided.end(), rest
        opens = bool(_BREAK.search(self.text[max(0, found.start() - 4) : found.start()]))
        return Word(start, found.end(), written, opens and start == found.start())

    def is_word(self, word: Word) -> bool:
        """Tell whether all parts of a word are in the dictionary (``appelez-moi``).

        One that is met with a capital only, as a name, is none (``Marisa``, a form of a verb).
        """
        if word.lower in cues.STOP or cues.TRADE.fullmatch(word.lower):
            return True
        if self.vocabulary.is_word(word.lower):
            near = self.vocabulary.nameness(word.text.capitalize())
            rare = word.capital and self.vocabulary.nameness(word.lower) is None
            return not rare or (near or 0.0) < _NAME_IN_SPITE_OF_DICTIONARY
        pieces = word.lower.split("-")
        return len(pieces) > 1 and all(
            piece in cues.STOP or self.vocabulary.is_word(piece) for piece in pieces
        )

    def label(self, word: Word) -> str | None:
        """Return what the recogniser called a word, if anything."""
        for entity in self.entities:
            if entity.start < word.end and word.start < entity.end:
                return entity.label
        return None

    def in_code(self, word: Word) -> bool:
        """Tell whether a digit touches the word, as in a reference or an account number."""
        around = self.text[max(0, word.start - 1) : word.start] + self.text[word.end : word.end + 1]
        return any(letter.isdigit() for letter in around)

    def joined(self, left: Word, right: Word) -> bool:
        """Tell whether nothing but what joins the parts of a name stands between two words."""
        gap = self.text[left.end : right.start]
        if gap in {"'", " '"} or right.start == left.end:
            return True
        pattern = _INITIAL_GAP if len(left.text) == 1 and left.capital else _GAP
        elided = gap[:-2] if gap[-1:] == "'" else gap
        return pattern.fullmatch(gap) is not None or pattern.fullmatch(elided) is not None

    def behind_civility(self, i: int) -> bool:
        """Tell whether a civility stands right before a word."""
        if i == 0:
            return False
        civility = fold(self.words[i - 1].text)
        gap = self.text[self.words[i - 1].end : self.words[i].start]
        shortened = len(civility) <= _LONGEST_SHORTENED and gap in {".", ". "}
        return civility in cues.CIVILITIES and (shortened or _GAP.fullmatch(gap) is not None)

    def is_role(self, i: int) -> bool:
        """Tell whether a word is an office behind a civility and an article (``M. le maire``)."""
        return (
            i > 1
            and fold(self.words[i].text) in cues.ROLES
            and self.words[i - 1].lower in {"le", "la", "les"}
            and self.behind_civility(i - 1)
        )

    def follows_on(self, i: int) -> Word | None:
        """Return the word that goes on with the word ``i``, if one does."""
        if i + 1 < len(self.words) and self.joined(self.words[i], self.words[i + 1]):
            return self.words[i + 1]
        return None

    def in_place(self, words: Sequence[Word]) -> bool:
        """Tell whether words are in the name of a street or a place, and not who has it."""
        named = any((word.given or word.family) and not word.elsewhere for word in words)
        given = any(word.given and not word.elsewhere for word in words)
        return any(
            place.start < words[-1].end
            and words[0].start < place.end
            and not (place.of and (named if place.ordinary else given))
            for place in self.places
        )

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
