"""Numbers that name a person or an account: IBAN, RIB, card, NIR, SIREN, SIRET, telephone.

Every function reads the text of a ``normalisation.View`` and yields spans of it. Check
digits decide wherever there are any; the writing decides elsewhere.
"""

import re
from collections.abc import Iterator

import phonenumbers
from stdnum import iban, luhn
from stdnum.fr import nir, siren, siret, tva
from stdnum.iso7064 import mod_97_10

from privacy.lexicon import listed
from privacy.spans import Span

_S = r"(?:[ \t]{0,2}[-._/]?[ \t]{0,2}|[ \t]*\r?\n[ \t]*)"
"""What may stand between two digits: spaces, one sign, or one line break."""


def _digits(*parts: str) -> str:
    return _S.join(parts)


_IBAN_START = re.compile(rf"(?<![A-Za-z0-9])(?:IBAN{_S}:?{_S})?([A-Za-z]{_S}[A-Za-z]{_S}\d{_S}\d)")
_IBAN_STEP = re.compile(rf"{_S}([A-Za-z0-9])")
_IBAN_CUE = re.compile(r"\b(?:iban|rib)\b", re.IGNORECASE)
_IBAN_LENGTHS = range(15, 35)
_IBAN_UNREGISTERED = listed(
    "AO BF BJ CF CG CI CM CV DZ GA GN GQ GW HN IR KM MA MG ML MZ NE NI SN TD TG"
)

_RIB_NAMED = (
    r"\W{1,3}(?i:(?:code|n(?:um[ée]ro|°|o)?)\W{1,2})?"
    r"(?i:(?:de\s)?(?:guichet|agence|compte)|cl[ée](?:\srib)?)"
)
_RIB_GAP = rf"(?:{_RIB_NAMED})?[\s:.,;|/_-]{{0,3}}"
_RIB = re.compile(
    r"(?<![A-Za-z0-9])"
    + _RIB_GAP.join([r"(\d{5})", r"(\d{5})", r"([A-Za-z0-9]{11})", r"(\d\d)"])
    + r"(?![A-Za-z0-9])"
)
_RIB_LETTERS = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "12345678912345678923456789")

_NIR = re.compile(
    r"(?<!\d)(?=("
    + _digits(r"[1-478]", *[r"\d"] * 5, r"[\dABab]", *[r"\d"] * 6)
    + rf"(?:{_S}(?P<open>\()?(?:cl[ée]{_S}:?{_S})?(?P<key>\d{_S}\d)(?(open)\)))?(?!\d)))"
)
_NIR_GROUPED = re.compile(
    r"\d(?P<gap>[ .-])\d\d(?P=gap)\d\d(?P=gap)\d[\dABab](?P=gap)\d{3}(?P=gap)\d{3}"
    r"(?:\D{1,9}\d\d\)?)?"
)
_NIR_CUE = re.compile(
    r"s[ée]cu|\bnir\b|\binsee\b|\bnss\b|assur[ée]|carte\svitale|\bn?°?\s?ss\b", re.IGNORECASE
)

_GROUP = re.compile(r"\d+")
_GROUP_GAP = re.compile(_S)
_CARD_GROUPINGS = frozenset(
    {
        *((4,) * n + (tail,) for n in (3, 4) for tail in (1, 2, 3, 4)),
        (4, 6, 5),
        (4, 6, 4),
        (6, 13),
        (8, 8),
    }
)
_CARD_CUE = re.compile(
    r"\b(?:carte|card|cb|visa|master\s?card|amex|american express)\b", re.IGNORECASE
)
_MONEY = re.compile(r"\s?(?:€|euros?\b|eur\b|k€|\$|habitants|km\b)", re.IGNORECASE)
_COMPANY_GROUPINGS = frozenset(
    {(9,), (3, 3, 3), (14,), (3, 3, 3, 5), (9, 5), (3, 3, 3, 3, 2), (3, 3, 3, 2, 3)}
)
_TVA = re.compile(rf"\bFR{_S}" + _digits(*[r"[0-9A-HJ-NP-Z]"] * 2, *[r"\d"] * 9) + r"(?!\d)")

_PHONE_FR = re.compile(
    r"(?<![\d€])(?<!\d[,.])(?:"
    rf"[(\[]?(?:\+|00){_S}\(?33\)?{_S}(?:\({_S}0{_S}\)|0)?{_S}|[(\[]?0\)?{_S}"
    rf"|(?:(?<![\w.])|\()33\)?{_S}(?:\(0\)|0)?{_S}"
    r"|(?<![A-Za-z0-9])[Oo](?=[ .-]?[67]))"
    rf"[1-9][)\]]?{_S}" + _digits(*[r"\d"] * 8) + r"(?!\d|[A-Za-z]+\d|\.\d\d(?!\d)|/20\b)"
)
_PHONE_ONE_SIGN = re.compile(
    r"(?<![\w:,])0[1-9](?P<sign>[^\w\n]{1,5})\d\d(?:(?P=sign)\d\d){3}(?!\d|(?P=sign)(?:\d\w|\w\d)(?!\w))"
)
"""Pairs of digits joined by one sign, whichever (``06*12*34*56*78``); six pairs are no number."""
_PHONE_SHORN = re.compile(r"(?<![\w,.])(?<!\d )[67](?:[ .-]\d\d){4}(?!\d)")
_PHONE_NATIONAL = re.compile(
    r"(?<![\w.])(?:(?:\+?1[-. ]?)?(?:\([2-9]\d\d\)[-. ]?|[2-9]\d\d[-. ])[2-9]\d\d[-. ]\d{4}"
    r"|0[1-9]\d{9}|\(?0[1-9]\d{1,3}\)?(?:(?=[ ./-])(?P<gap>\D)|(?<=\)))"
    r"(?=(?:\D?\d){6,8}(?!\D?\d))\d{2,7}(?:(?P=gap)\d{2,4}){0,3})(?!\d)"
)
"""North American numbers, and those of nine to eleven digits that begin with a 0."""
_PHONE_CUED = re.compile(
    r"\b(?:t[ée]l(?:[ée]phone)?|portable|mobile|phone|cell|gsm|fixe|fax|whatsapp|call(?:\sme)?|text(?:\sme)?"
    r"|(?:mon|son|my|his|her|their)\s(?:num[ée]ro|number))"
    r"\b[\s:.,=]{1,3}(?:(?:num[ée]ro|number|est|is|le|au|on|at|n°|no|perso(?:nnel)?|pro)\b[\s:.]{1,3}){0,2}"
    rf"(\(?\d(?:{_S}\d){{7,12}})(?!\d)",
    re.IGNORECASE,
)
_PHONE_ABROAD = re.compile(
    r"(?<![\w+])[(\[]?(?:\+|(?<!\d[.,])00)[)\s]{0,2}[1-9](?:[\s().\[\]/*:|~_-]{0,4}\d){4,17}"
)
_EXTENSION = re.compile(r"\s?,?\s?(?:x|ext\.?|extension|poste)\s?\d{1,6}\b", re.IGNORECASE)
_DATED = re.compile(r"\b[0-3]?\d[/.-][01]?\d[/.-](?:19|20)\d\d\b|\b(?:19|20)\d\d-[01]\d-[0-3]\d\b")
_UNCHECKED_ABROAD = 9
"""Digits, the country's code among them, from which a length that exists there is enough."""

_WORD_1_9 = r"(?:un|une|deux|trois|quatre|cinq|six|sept|huit|neuf)"
_NUMBER_WORD = (
    rf"(?:z[ée]ro|{_WORD_1_9}|dix|onze|douze|treize|quatorze|quinze|seize|vingts?|trente|quarante"
    r"|cinquante|soixante|septante|huitante|octante|nonante|et(?=[\s,.-]{1,3}(?:une?|onze)\b))"
)
_SPOKEN_SIGN = r"[\s,.-]{1,3}"
_SPOKEN_GAP = (
    rf"{_SPOKEN_SIGN}(?:(?:et|puis|ensuite|enfin|alors|espace|tiret|point|slash|then|dash|dot|space)"
    rf"{_SPOKEN_SIGN}){{0,2}}"
)
"""What may stand between pairs of digits that are told one after the other."""
_PHONE_SPOKEN = re.compile(
    rf"\b(?:(?:z[ée]ro|0){_SPOKEN_GAP}(?:{_WORD_1_9}|[1-9])|0[1-9])\b"
    rf"(?:{_SPOKEN_GAP}(?:{_NUMBER_WORD}|\d{{1,2}})\b){{4,16}}"
    r"(?!\s(?:janv|f[ée]v|mars|avr|mai|juin|juil|ao[uû]t|sept|oct|nov|d[ée]c))",
    re.IGNORECASE,
)


def find_ibans(text: str) -> Iterator[Span]:
    """Find account numbers of ISO 13616, spaced or not, in either case, by their checksum.

    Some countries, many of them French-speaking, use the form without being in the register:
    of theirs the longest is taken that passes modulo 97 and ends where a word with a digit does.
    One that is called an IBAN may hold a mistake, and is somebody's all the same.
    """
    done = 0
    for found in _IBAN_START.finditer(text):
        if found.start(1) < done:
            continue
        letters, ends = _collect(text, found.start(1))
        called = _IBAN_CUE.search(text, max(0, found.start() - 30), found.start(1))
        written = {
            n: text[found.start(1) : ends[n - 1]]
            for n in _IBAN_LENGTHS
            if n <= len(letters) and _is_no_prose(text[found.start(1) : ends[n - 1]])
        }
        right = [n for n in written if mod_97_10.is_valid(letters[4:n] + letters[:4])]
        whole = [n for n in (written if called else right) if _has_form_of_country(letters[:n])]
        if letters[:2] in _IBAN_UNREGISTERED:
            ended = {n for n, one in written.items() if _ends_a_word(one, text[ends[n - 1] :])}
            whole = _longest(written, ended, right, called)
        for length in whole[:1]:
            done = ends[length - 1]
            yield Span(found.start(1), done, "IBAN")


def _collect(text: str, start: int) -> tuple[str, list[int]]:
    """Read letters and digits across separators, at most the longest IBAN."""
    letters, ends, position = text[start].upper(), [start + 1], start + 1
    while len(letters) < _IBAN_LENGTHS[-1] and (step := _IBAN_STEP.match(text, position)):
        letters += step.group(1).upper()
        position = step.end()
        ends.append(position)
    return letters, ends


def _is_no_prose(written: str) -> bool:
    """Tell whether it is mostly digits, or in one piece or in fours, as words are not."""
    if not written.isascii():
        return False
    return _is_grouped(written) or sum(map(str.isdigit, written)) >= 10  # noqa: PLR2004


def _is_grouped(written: str) -> bool:
    """Tell whether it is written in one piece or in fours."""
    groups = re.split(r"[^A-Za-z0-9]+", written)
    fours = all(len(group) == 4 for group in groups[:-1]) and len(groups[-1]) <= 4  # noqa: PLR2004
    return len(groups) == 1 or fours


def _longest(
    written: dict[int, str], ended: set[int], right: list[int], called: object
) -> list[int]:
    """Choose a length where the country tells none: by its check digits, or as one may be called.

    A number of these lengths has a right beginning by chance one time in thirty: what goes on
    like an account is no end of one that is called so.
    """
    likely = ended.intersection(right)
    if called:
        likely = {n for n in ended if n in right or _is_grouped(written[n])} or ended
    return sorted(likely, reverse=True)


def _ends_a_word(written: str, behind: str) -> bool:
    """Tell whether a number ends where a word with a digit does."""
    last = re.split(r"[^A-Za-z0-9]+", written)[-1]
    return not behind[:1].isalnum() and any(map(str.isdigit, last))


def _has_form_of_country(number: str) -> bool:
    """Tell whether a compact number is as long, and has letters where, its country says."""
    right = number[:2] + iban.calc_check_digits(number) + number[4:]
    return bool(iban.is_valid(right, check_country=False))


def find_ribs(text: str) -> Iterator[Span]:
    """Find French account numbers in their national form, by their key.

    Bank, branch, account and key, in one piece, apart, or each behind its name. An IBAN holds the
    same and four characters that follow from it.
    """
    for found in _RIB.finditer(text):
        account = found.group(3).upper().translate(_RIB_LETTERS)
        if int(found.group(1) + found.group(2) + account + found.group(4)) % 97 == 0:
            yield Span(found.start(), found.end(), "IBAN")


def find_nirs(text: str) -> Iterator[Span]:
    """Find social security numbers (NIR), by their key; without one where named or written as such.

    Sex 1 to 4, 7 or 8; the month may be one of those given to people whose birth date
    is incomplete; Corsica is 2A or 2B.
    """
    for found in _NIR.finditer(text):
        written, key = found.group(1), found["key"]
        number = re.sub(r"[^0-9ABab]", "", re.sub(r"cl[ée]", "", written))
        cued = _NIR_CUE.search(text, max(0, found.start(1) - 60), found.end(1) + 40)
        grouped = _NIR_GROUPED.fullmatch(text, found.start(1), found.end(1))
        if _has_birth_month(number) and (cued or grouped or (key and _is_nir(number))):
            yield Span(found.start(1), found.end(1), "NIR")


def _is_nir(number: str) -> bool:
    """Tell whether the key is right, and it is not a card of 15 digits that has it by chance."""
    card = number[0] == "3" and number.isdigit() and luhn.is_valid(number)
    return nir.is_valid(number) and not card


def _has_birth_month(number: str) -> bool:
    month = int(number[3:5])
    return 1 <= month <= 12 or 20 <= month <= 42 or month >= 50  # noqa: PLR2004


def find_accounts_in_runs(text: str) -> Iterator[Span]:
    """Find cards, SIREN and SIRET in runs of digits, by Luhn and by how they are grouped.

    A number of fifteen digits or more that is called a card may hold a mistake.

    A window of a longer run counts only when it is grouped as such numbers are, so that
    two telephone numbers in a row are no card.
    """
    for run in _runs(text):
        for i in range(len(run)):
            for j in range(i + 1, min(len(run), i + 20) + 1):
                kind = _kind(text, run, i, j)
                if kind is not None:
                    yield Span(run[i].start(), run[j - 1].end(), kind)


def _runs(text: str) -> Iterator[list[re.Match[str]]]:
    run: list[re.Match[str]] = []
    for group in _GROUP.finditer(text):
        if run and _GROUP_GAP.fullmatch(text, run[-1].end(), group.start()) is None:
            yield run
            run = []
        run.append(group)
    if run:
        yield run


def _kind(text: str, run: list[re.Match[str]], i: int, j: int) -> str | None:
    """Name what the groups ``i`` to ``j`` of a run make together, if anything."""
    grouping = tuple(len(group.group()) for group in run[i:j])
    total = sum(grouping)
    whole = j - i == len(run)
    if total not in range(9, 20):
        return None
    number = "".join(group.group() for group in run[i:j])
    start, end = run[i].start(), run[j - 1].end()
    if _touches_letters(text, start, end) or text[max(0, start - 1) : start] == "+":
        return None
    if grouping in _COMPANY_GROUPINGS or whole:
        if total == 14 and siret.is_valid(number) and grouping != (4, 6, 4):  # noqa: PLR2004
            return "SIRET"
        if total == 9 and grouping in _COMPANY_GROUPINGS and siren.is_valid(number):  # noqa: PLR2004
            return None if _MONEY.match(text, end) or number[0] == "0" else "SIREN"
    called = total >= 15 and _CARD_CUE.search(text, max(0, start - 30), start)  # noqa: PLR2004
    if total >= 12 and number[0] in "23456" and (called or luhn.is_valid(number)):  # noqa: PLR2004
        compact = len(grouping) == 1 and total != 12  # noqa: PLR2004
        return "CARD" if compact or whole or grouping in _CARD_GROUPINGS else None
    return None


def _touches_letters(text: str, start: int, end: int) -> bool:
    """Tell whether digits are part of a code: letters on the right, or glued on the left."""
    right = re.compile(r"[A-Za-z]+\d").match(text, end)
    left = re.compile(r"\d[A-Za-z]+$").search(text[max(0, start - 6) : start])
    return bool(right or left)


def find_vat_numbers(text: str) -> Iterator[Span]:
    """Find French VAT numbers, which hold the SIREN of a company or of a person alone."""
    for found in _TVA.finditer(text):
        if tva.is_valid(re.sub(r"[^0-9A-Z]", "", found.group())):
            yield Span(found.start(), found.end(), "SIREN")


def find_phones(text: str) -> Iterator[Span]:
    """Find telephone numbers: French in all usual writings, international ones by their prefix.

    Numbers said in words count (``zéro six douze...``). Dates that happen to hold ten
    digits do not.
    """
    for start, end in _phones(text):
        extension = _EXTENSION.match(text, end)
        yield Span(start, extension.end() if extension else end, "PHONE")


def _phones(text: str) -> Iterator[tuple[int, int]]:
    for pattern in (_PHONE_FR, _PHONE_ONE_SIGN, _PHONE_SHORN, _PHONE_NATIONAL):
        for found in pattern.finditer(text):
            if not _DATED.search(found.group()):
                yield found.span()
    for found in _PHONE_CUED.finditer(text):
        yield found.span(1)
    for found in _PHONE_SPOKEN.finditer(text):
        if any(letter.isalpha() for letter in found.group()):
            yield found.span()
    for found in _PHONE_ABROAD.finditer(text):
        end = _end_of_dialled(found.group())
        if end and not _MONEY.match(text, found.start() + end):
            yield found.start(), found.start() + end


def _end_of_dialled(written: str) -> int:
    """Return where the longest number ends that its country could have given; 0 for none.

    A short one has to be of a range in use, so that ``+20 000`` is none.
    """
    for group in reversed(list(_GROUP.finditer(written))):
        digits = re.sub(r"\D", "", written[: group.end()]).removeprefix("00")
        try:
            number = phonenumbers.parse(f"+{digits}")
        except phonenumbers.NumberParseException:
            continue
        long = len(digits) >= _UNCHECKED_ABROAD
        if phonenumbers.is_valid_number(number) or (
            long and phonenumbers.is_possible_number(number)
        ):
            return group.end()
    return 0
