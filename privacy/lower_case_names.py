"""Names without capitals, as people type them, or in texts that are all capitals."""

from collections.abc import Iterator

from privacy import cues
from privacy.lexicon import fold
from privacy.spans import Span
from privacy.words import NAME_BEHIND_CUE, Reading, Word

_NAME_IN_LOWER_CASE = 0.65
_WORD_IN_LOWER_CASE = -0.7
"""Nameness above which a dictionary word in lower case is taken for the given name it also is:
of its capitalised and of its lower-case form."""

_NAME_WITHOUT_CUE = 0.7
"""Nameness above which a word of no list and no dictionary is a name without a cue."""

_SURNAME = -0.3
"""Nameness above which a word of no dictionary behind a given name is the family name."""


def find_lower_case_names(reading: Reading) -> Iterator[Span]:
    """Yield names without capitals: a listed given name, or any word behind a strong cue."""
    end = 0
    for i, word in enumerate(reading.words):
        if word.start < end or (word.capital and not reading.shouting) or reading.in_code(word):
            continue
        if _begins_lower_case_name(reading, i):
            last = _extend_lower_case(reading, i)
            end = reading.words[last].end
            yield Span(word.start, end, "PERSON")


def _begins_lower_case_name(reading: Reading, i: int) -> bool:
    """Tell whether a name begins at a word that has no capital of its own."""
    word = reading.words[i]
    if fold(word.text) in cues.PARTICLES and reading.strong_cue(word.start):
        office = i + 1 < len(reading.words) and reading.is_role(i + 1)
        return not office and _surname_follows(reading, i)
    if _is_never_a_name(word) or reading.in_place([word]):
        return False
    ordinary = reading.is_word(word) and not (len(word.parts) > 1 and word.given)
    if reading.strong_cue(word.start):
        return word.given or word.family or not (ordinary or word.elsewhere)
    if not reading.general or word.elsewhere:
        return False
    return _ordinary_given(reading, i) if ordinary else _lower_unknown(reading, i)


def _is_never_a_name(word: Word) -> bool:
    """Tell whether a word is a word whatever stands beside it."""
    acronym = word.upper and fold(word.text) in cues.ACRONYMS
    common = word.lower in cues.STOP or word.lower in cues.MONTHS
    return common or acronym or fold(word.text) in cues.CIVILITIES or len(word.text) == 1


def _ordinary_given(reading: Reading, i: int) -> bool:
    """Judge a word that is both a given name and in the dictionary (``marie``, ``pierre``)."""
    word = reading.words[i]
    if not word.given:
        return False
    if i > 0 and reading.words[i - 1].lower in cues.DETERMINERS:
        return _surname_follows(reading, i)
    as_name = reading.vocabulary.nameness(word.text.capitalize()) or 0.0
    as_word = reading.vocabulary.nameness(word.lower) or 0.0
    return (
        (reading.label(word) == "PER" and as_name > 0)
        or _surname_follows(reading, i)
        or (as_name > _NAME_IN_LOWER_CASE and as_word > _WORD_IN_LOWER_CASE)
        or (as_name > NAME_BEHIND_CUE and reading.weak_cue(word.start))
    )


def _surname_follows(reading: Reading, i: int) -> bool:
    """Tell whether behind a word, and particles, comes what may well be a family name."""
    last = _extend_lower_case(reading, i)
    word = reading.words[last]
    near = reading.vocabulary.nameness(word.text.capitalize()) or 0.0
    led = fold(reading.words[last - 1].text) in cues.FOREIGN_PARTICLES
    return last > i and (word.family or word.given or led or near > _SURNAME)


def _lower_unknown(reading: Reading, i: int) -> bool:
    """Judge a lower-case word that no dictionary holds."""
    word = reading.words[i]
    cued = reading.weak_cue(word.start)
    if word.given and (cued or fold(word.text) not in cues.ALSO_SHORT_FORMS):
        return True
    if word.family and _surname_follows(reading, i):
        return True
    near = reading.vocabulary.nameness(word.text.capitalize()) or 0.0
    vouched = cued or reading.label(word) == "PER"
    return near > _NAME_WITHOUT_CUE or (vouched and (word.family or near > 0))


def _is_surname(reading: Reading, word: Word) -> bool:
    """Tell whether a dictionary word in a text all in capitals is the family name it also is."""
    near = reading.vocabulary.nameness(word.text.capitalize())
    return word.upper and (near or 0.0) > NAME_BEHIND_CUE


def _extend_lower_case(reading: Reading, i: int) -> int:
    """Follow a name to its last word: particles, listed names, words of no dictionary."""
    last = i
    for j in range(i + 1, min(i + 5, len(reading.words))):
        word = reading.words[j]
        if not reading.joined(reading.words[j - 1], word) or fold(word.text) in cues.CIVILITIES:
            break
        if word.lower in cues.PARTICLES:
            continue
        led = fold(reading.words[j - 1].text) in cues.FOREIGN_PARTICLES
        known = reading.is_word(word) and not (led or word.family or _is_surname(reading, word))
        if word.lower in cues.STOP or known or (word.elsewhere and not word.family):
            break
        last = j
    return last
