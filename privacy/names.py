"""Names of people: what a recogniser says, what the words are, and what stands beside them.

A statistical recogniser alone takes first names it never met for towns, and greetings for
people. So every capitalised word gets a standing from the name lists, a dictionary, word
vectors and the recogniser's label, and a stretch of such words is a name when something
vouches for it. Lower-case names need a listed given name or a cue.
"""

import re
from collections.abc import Iterator, Sequence
from enum import IntEnum

from privacy import cues
from privacy.lexicon import fold
from privacy.lower_case_names import find_lower_case_names
from privacy.spans import Span
from privacy.words import NAME_BEHIND_CUE, Entity, Reading, Vocabulary, Word

_LONGEST_ACRONYM = 4
_NAME_AT_START = 0.3
"""Nameness above which a word that opens a sentence is the given name it also is."""
_NAME_BY_FORM = -0.5
"""Nameness above which a word of no dictionary that is written as a name is one."""
_BEFORE = re.compile(r"(?<!\w)[^\W\d_]\.-?$")
_AFTER = re.compile(r"\.-?[^\W\d_]\.")


class Standing(IntEnum):
    """How far a word goes by itself."""

    NONE = 0
    POSSIBLE = 1
    SURE = 2


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
    reader = _Capitalised(text, vocabulary, entities, general=general)
    for run in reader.runs():
        yield from reader.names_in(run)
    yield from find_lower_case_names(reader)


class _Capitalised(Reading):
    """Names that are written as names: stretches of words with capitals."""

    def runs(self) -> Iterator[list[int]]:
        """Yield stretches of capitalised words and initials, with the particles between them."""
        run: list[int] = []
        for i, word in enumerate(self.words):
            if run and not self.joined(self.words[run[-1]], word):
                yield run
                run = []
            particle = fold(word.text) in cues.PARTICLES
            if not self.shouting and (word.capital or (particle and (run or self._leads(i)))):
                run.append(i)
            elif run:
                yield run
                run = []
        if run:
            yield run

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
            return words[0].capital and len(words[0].text) > 1 and self.behind_civility(i)
        if words[0].upper and heads[0].upper and fold(heads[0].text) not in cues.ACRONYMS:
            surname = heads[0].family or not (self.is_word(heads[0]) or heads[0].elsewhere)
            return surname or self.strong_cue(words[0].start)
        if self.behind_civility(i):
            return not self.is_role(i + 1)
        return self.strong_cue(words[0].start) and not self.is_word(heads[0])

    def _is_led(self, stretch: list[int]) -> bool:
        """Tell whether a stretch is nothing yet but particles that open a name."""
        particles = all(fold(self.words[i].text) in cues.PARTICLES for i in stretch)
        return bool(stretch) and particles and self._leads(stretch[0])

    def standing(self, i: int, stretch: list[int]) -> Standing:
        """Tell how far a capitalised word goes as a name, behind the words of ``stretch``."""
        word = self.words[i]
        civility = fold(word.text) in cues.CIVILITIES and not self._is_initial(word)
        plain = civility or cues.PLAIN_PHRASE.match(self.text, word.start) is not None
        if not word.capital or plain or self.in_code(word) or self.is_role(i):
            return Standing.NONE
        if len(word.text) == 1:
            initial = bool(stretch) or self.text[word.end : word.end + 1] == "."
            return Standing.POSSIBLE if initial else Standing.NONE
        acronym = word.upper and fold(word.text) in cues.ACRONYMS
        if acronym or (word.lower in cues.STOP and not self._is_led(stretch)):
            return Standing.NONE
        if word.lower in cues.MONTHS and not stretch:
            return Standing.POSSIBLE if self._is_surnamed(i) else Standing.NONE
        if word.given or word.family:
            return self._listed(i, stretch)
        return self._unlisted(i, stretch)

    def _is_initial(self, word: Word) -> bool:
        """Tell whether a letter is one of several initials, as ``M`` in ``M.-L. Durand``."""
        beside = self.text[max(0, word.start - 3) : word.start], self.text[word.end : word.end + 4]
        return len(word.text) == 1 and bool(_BEFORE.search(beside[0]) or _AFTER.match(beside[1]))

    def _is_surnamed(self, i: int) -> bool:
        """Tell whether a family name goes on behind a word (``Mai Nguyen``), or a cue before."""
        after = self.follows_on(i)
        named = after is not None and after.capital and (after.family or after.given)
        return named or self.strong_cue(self.words[i].start)

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

    def _unlisted(self, i: int, stretch: list[int]) -> Standing:
        """Judge a word that is in no list: by what announces it, its vector and its label."""
        word = self.words[i]
        cued = self.strong_cue(word.start) or self._is_led(stretch)
        ordinary = self.is_word(word)
        near = self.vocabulary.nameness(word.text.capitalize() if word.upper else word.text)
        if ordinary and not word.opens and (near or 0.0) > NAME_BEHIND_CUE:
            ordinary = not self.weak_cue(word.start) or self._is_said_of_oneself(word)
        if self._is_written_as_name(i, stretch):
            return Standing.SURE
        if ordinary and (near or 0.0) < NAME_BEHIND_CUE and self._fills_a_form(word):
            return Standing.NONE
        if cued or self._continues(stretch, firmly=ordinary):
            surname = cued or (stretch and self.words[stretch[-1]].given)
            return Standing.NONE if word.elsewhere and not surname else Standing.POSSIBLE
        if ordinary or word.elsewhere or not self.general:
            return Standing.NONE
        label = self.label(word)
        if word.upper and len(word.text) <= _LONGEST_ACRONYM and label != "PER":
            return Standing.NONE
        if near is None:
            near = _UNKNOWN[label] - 0.3 * word.opens
        sure, possible = self._bounds(word, label)
        return Standing((near > sure) + (near > possible))

    def _is_said_of_oneself(self, word: Word) -> bool:
        """Tell whether a trade is as likely as a name (``je suis Menuisier``)."""
        return self.text[: word.start].rstrip().lower().endswith("suis")

    def _fills_a_form(self, word: Word) -> bool:
        """Tell whether a word stands behind a label (``Nom : confidentiel``)."""
        return self.text[: word.start].rstrip().endswith(":")

    def _is_written_as_name(self, i: int, stretch: list[int]) -> bool:
        """Tell whether a word of no dictionary is written as only names are.

        Behind an initial (``B. Durand``), or one of two of which one is in capitals, as French
        forms ask for (``DURAND Alix``, ``Alix DURAND``).
        """
        word = self.words[i]
        if not self._may_be_name(word):
            return False
        if stretch and len(self.words[stretch[-1]].text) == 1:
            return True
        before = self.words[i - 1] if i > 0 and self.joined(self.words[i - 1], word) else None
        return any(
            other is not None
            and other.upper != word.upper
            and not self._may_be_acronym(word if word.upper else other)
            and (other.given or self._may_be_name(other))
            for other in (before, self.follows_on(i))
        )

    def _may_be_acronym(self, word: Word) -> bool:
        near = self.vocabulary.nameness(word.text.capitalize())
        return len(word.text) <= _LONGEST_ACRONYM and (near or 0.0) <= 0

    def _may_be_name(self, word: Word) -> bool:
        """Tell whether nothing but its form is needed for a word of no list to be a name."""
        if not (self.general and word.capital and len(word.text) > 1):
            return False
        near = self.vocabulary.nameness(word.text.capitalize())
        if self.is_word(word):
            return word.upper and (near or 0.0) > 0
        known = word.elsewhere or fold(word.text) in cues.ACRONYMS
        return not known and (near is None or near > _NAME_BY_FORM)

    def _bounds(self, word: Word, label: str | None) -> tuple[float, float]:
        """Return the nameness above which an unlisted word is sure, or possible, here."""
        sure, possible = _BOUNDS[label]
        if self.elsewhere_ahead(word.start):
            return sure + 0.4, possible + 0.3
        if self.weak_cue(word.start):
            return sure - 0.3, possible - 1.0
        if word.opens and cues.ACTS.match(self.text, word.end):
            return sure - 0.2, possible
        if word.opens and label is None:
            return sure + 0.2, possible + 0.3
        return sure, possible

    def _name(self, stretch: list[int]) -> Iterator[Span]:
        """Yield a stretch as one name if it is vouched for, particles at its edges cut off."""
        words = [self.words[i] for i in stretch]
        while words and fold(words[-1].text) in cues.PARTICLES and not words[-1].capital:
            words.pop()
        if not words or all(len(word.text) == 1 for word in words):
            return
        start, end = words[0].start, words[-1].end
        if self.text[max(0, start - 2) : start].lower() == "d'" and self.strong_cue(start - 2):
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
        joined = self.joined(article, self.words[first])
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

    def _excluded(self, words: list[Word]) -> bool:
        """Tell whether a stretch is a street, a school or a company that carries a name."""
        if self.strong_cue(words[0].start):
            return False
        folded = " ".join(" ".join(word.parts) for word in words)
        if folded in cues.NAMED_AFTER_PEOPLE:
            return True
        if len(words) == 1 and words[0].elsewhere and not words[0].given:
            return True
        if not words[0].capital and not words[0].given:
            return True
        return self.in_place(words)


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
