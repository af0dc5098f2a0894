"""Postal addresses, French first: number and street, postcode and town.

Reads the text of a ``normalisation.View``. Presidio has no recogniser for them.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from privacy.lexicon import listed
from privacy.spans import Span

_STREET = (
    r"(?:rue|avenue|av\.?|ave\.?|boulevard|boul\.?|bd\.?|bld\.?|blvd\.?|place|pl\.|chemin|chem\.|che?\.|ch\."
    r"|all[ée]es?|all\.|impasse|imp\.|route|rte\.?|quai|cours|square|sq\.|passage|pass\.|sentier|sente"
    r"|ruelle|villa|cit[ée]|r[ée]sidence|r[ée]s\.|lotissement|lot\.|hameau|lieu-?\s?dit|faubourg|fbg\.?"
    r"|fg\.?|esplanade|promenade|voie|venelle|traverse|mont[ée]e|c[ôo]te|rond-point|parvis|mail|clos"
    r"|domaine|cour|galerie|porte|pont|chauss[ée]e|digue|lev[ée]e|zone|z\.?a\.?c?\.?|z\.?i\.?|rampe"
    r"|carrefour|coteau|drève|corniche|parc|terrasse|quartier|ham\.)"
)
_SHORT_STREET = (
    r"(?:r|all|ave|car|ch|che|chem|chs|cor|crs|dom|esp|fbg|gal|ham|imp|ld|lot|mt[ée]e?|pas|pass|pl|pro[mn]?"
    r"|qu|qua|quart?|res|rés|rle|rpt|sen|sent|sq|tra|trav|tsse|vla)\.?"
)
"""Kinds of streets as the post office shortens them (NF Z 10-011); many are other words, too."""
_NUMBER = (
    r"(?<![\d.,])(?:n\s?°\s?|num[ée]ro\s)?\d{1,4}(?:\s?(?:bis|ter|quater|quinquies|[a-hqtA-HQT])(?![\w']))?"
    r"(?:\s?[-/,&]\s?\d{1,4}(?:\s?(?:bis|ter))?)?"
)
# Where a street's name ends in running text: what goes on with the sentence.
_STOP = (
    r"(?:à|a|au|aux|et|est|ou|où|mais|car|pour|par|chez|qui|que|dans|depuis|avec|sans|c'|j'|je|tu|il"
    r"|elle|on|nous|vous|ils|elles|trop|très|tel|tél|téléphone|mail|email|e-mail|merci|près|pas|ne|n'"
    r"|mon|ma|mes|son|sa|ses|ce|cette|y|qu'|quand|si|donc|puis|était|sera|code|digicode|interphone"
    r"|bât|bâtiment|apt|appt|appartement|étage|escalier|cp|ville|né|née|joignable|tous|pendant|demain"
    r"|hier|aujourd'hui|soir|matin|midi|week-end|j'ai|j'habite|habite|to|and|is|at|because|please)"
)
_LINK = r"(?:de la|de l'|de|du|des|d'|la|le|les|l'|aux?|à|sur|sous|en|lès?|et|the|of)"
_WORD = rf"(?!(?:{_STOP}|{_LINK})(?![\w'-]))[^\W\d_][\w'.-]{{0,40}}"
_CAPITAL = r"(?-i:[A-ZÀ-ÖØ-Þ])[\w'-]{0,40}"
_STREET_NAME = (
    # Linked words first (de la République), then up to four more, then a date (du 8 mai 1945).
    rf"(?:\s(?:{_LINK}\s?){{0,2}}(?:\d{{1,2}}(?:er)?\s[^\W\d_]+(?:\s\d{{4}})?|{_WORD}))"
    rf"(?:\s(?:{_LINK}\s){{0,2}}{_WORD}){{0,4}}"
)
_DEPARTMENT = r"(?:0[1-9]|[1-8]\d|9[0-578])"
_POSTCODE = rf"(?:F-?\s?)?{_DEPARTMENT}\s?\d{{3}}"
_TOWN_WORD = r"(?!cedex\b)(?-i:[A-ZÀ-ÖØ-Þ])[^\W\d_]{0,40}(?:'[^\W\d_]{1,40})?"
_TOWN = (
    rf"(?:{_TOWN_WORD})(?:[\s-](?:(?:sur|sous|en|la|le|les|lès|de|du|des|à|au|aux|et|d'|l')[\s-])?"
    rf"(?:{_TOWN_WORD}))"
    r"{0,6}(?:\s(?:cedex|CEDEX|Cedex)(?:\s\d{1,2})?|\s\d{1,2}(?:e|er|ème)(?:\sarr\w*)?)?"
)
_LOWER_TOWN = rf"(?!(?:euros?|eur|km|k|habitants|personnes)\b){_WORD}"
_COMPLEMENT = (
    r"(?:\s?,?\s?(?:b[âa]t(?:iment|\.)?|appt?\.?|appartement|esc(?:alier|\.)?|[ée]tage|r[ée]sidence"
    r"|bp|cs|b\.p\.)\s(?:n°\s?)?[A-Z]?\d{0,5}\b)*"
)
_TOWN_LINE = rf"(?:\s?[,;-]?\s*{_POSTCODE}\s(?:{_TOWN}|{_LOWER_TOWN}))"
_NUMBERED = re.compile(
    rf"{_NUMBER}\s?,?\s(?:(?:{_STREET}|r\.)(?![\w-]){_STREET_NAME}"
    rf"|{_SHORT_STREET}(?=\s(?:(?:{_LINK}\s?)?(?-i:[A-ZÀ-ÖØ-Þ])|{_LINK}\s\d)){_STREET_NAME}"
    rf"|{_SHORT_STREET}{_STREET_NAME}(?={_COMPLEMENT}{_TOWN_LINE})"
    rf"|(?:grande?|petite?|vieille|vieux|ancienne?|haute|basse)[\s-]{_STREET}(?![\w-])(?:{_STREET_NAME})?)"
    rf"{_COMPLEMENT}{_TOWN_LINE}?",
    re.IGNORECASE,
)
_LIVES = (
    r"(?:habit\w+|demeur\w+|domicili\w+|r[ée]sid\w+|log\w+|adresse|vis|vit|d[ée]m[ée]nag\w+)"
    r"(?:\s(?:au|à|est|:|dans|sur|la|le|postale|personnelle|perso))*[\s:,]{1,3}"
)
_UNNUMBERED = re.compile(
    rf"\b{_LIVES}((?:la\s|le\s|l')?{_STREET}(?![\w-]){_STREET_NAME}{_TOWN_LINE}?)"
    rf"|\b({_STREET}(?![\w-]){_STREET_NAME}{_TOWN_LINE})",
    re.IGNORECASE,
)
_POSTCODE_TOWN = re.compile(rf"(?<![\d.,/-])(?<!\d\s){_POSTCODE}[\s,-]{{1,2}}({_TOWN})")
_TOWN_POSTCODE = re.compile(
    rf"(?<![\w-])({_TOWN_WORD}(?:[\s-](?:(?:sur|en|la|le|les|de)[\s-])?{_TOWN_WORD}){{0,4}})\s?"
    rf"\(?{_DEPARTMENT}\d{{3}}\)?"
    r"(?!\d|\s?(?:€|euros?|km|k€|\d))"
)
_LOWER_POSTCODE_TOWN = re.compile(
    rf"(?:{_LIVES}|\bà\s|\bsur\s|code postal\s:?\s?|\bcp\s?:?\s?)({_POSTCODE}\s{_LOWER_TOWN})",
    re.IGNORECASE,
)
_BOX = re.compile(
    rf"\b(?:B\.?P\.?|CS|TSA)\s?\d{{2,5}}{_TOWN_LINE}"
    r"|\b(?:(?-i:BP)\s(?:n°\s?)?(?!20[12]\d\b)\d{1,5}|(?-i:CS|TSA)\s\d{2}\s?\d{3}"
    r"|bo[îi]te postale\s(?:n°\s?)?\d+)\b",
    re.IGNORECASE,
)
_ABROAD = re.compile(
    r"(?<![\w.])\d{1,5}[A-Za-z]?\s(?:[A-Z][\w'.-]*\s){1,4}"
    r"(?:Street|St|Road|Rd|Avenue|Ave|Lane|Ln|Drive|Dr|Court|Ct|Way|Close|Square|Terrace|Crescent"
    r"|Gardens|Place|Boulevard|Blvd|Row|Mews|Hill)\b\.?"
    r"(?:,?\s(?:[A-Z][\w'-]*,?\s?){1,3}(?:[A-Z]{1,2}\d[A-Z\d]?\s\d[A-Z]{2}|[A-Z]{2}\s\d{5}|\d{5}))?"
)
_UNITS = listed(
    """
    euros euro eur habitants km kms metres mètres personnes fois heures mots candidats offres
    salariés employés clients lignes points visites dollars tonnes brut net annuel bruts nets k
    par de et ou à en pour
    """
)
_ROMAN = re.compile(r"[ivxlcdm]+", re.IGNORECASE)


def find_addresses(text: str) -> Iterator[Span]:
    """Find street addresses, post boxes, and postcodes with their town.

    A street without a number is an address only where a person is said to live there or
    a postcode follows; a town alone never is.
    """
    for pattern in (_NUMBERED, _BOX, _ABROAD):
        for found in pattern.finditer(text):
            yield _tidy(text, found.start(), found.end())
    for found in _UNNUMBERED.finditer(text):
        group = 1 if found.group(1) else 2
        yield _tidy(text, found.start(group), found.end(group))
    for found in _POSTCODE_TOWN.finditer(text):
        if found.group(1).split()[0].casefold() not in _UNITS:
            yield _tidy(text, found.start(), found.end())
    for found in _LOWER_POSTCODE_TOWN.finditer(text):
        if found.group(1).split()[-1].casefold() not in _UNITS:
            yield _tidy(text, found.start(1), found.end(1))
    for found in _TOWN_POSTCODE.finditer(text):
        if not _ROMAN.fullmatch(found.group(1)):
            yield _tidy(text, found.start(), found.end())


class Place(NamedTuple):
    """Where a street or a place is named, with or without a number.

    Attributes:
        start: Of the word that says what it is.
        end: Of its name.
        of: Whether its name hangs on a preposition (``la place de ...``): French puts a person's
            name behind a street without one, so one behind it is who has the place.
        ordinary: Whether the word for it is as often none for a place.
    """

    start: int
    end: int
    of: bool
    ordinary: bool


def places(text: str) -> Iterator[Place]:
    """Find where streets and places are named, with or without a number.

    ``place Victor Hugo`` names no person of today; the name rules leave it alone.
    """
    for found in _PLACE_NAME.finditer(text):
        ordinary = found.group("ordinary") is not None
        yield Place(found.start(), found.end(), found.group("of") is not None, ordinary)


_ORDINARY = (
    r"(?:place|cours|cour|passage|porte|pont|voie|traverse|mail|domaine|galerie|zone|parc|terrasse"
    r"|c[ôo]te|rampe|carrefour|route|chemin|clos|institut|fondation|station|centre|arr[êe]t|campus"
    r"|tour|prix|caf[ée]|bar|salle|loi|m[ée]thode)"
)
_PLACE_NAME = re.compile(
    rf"\b(?:(?P<ordinary>{_ORDINARY}(?!\w))|{_STREET}|lyc[ée]e|coll[èe]ge|[ée]cole|universit[ée]|h[ôo]pital|chu|clinique"
    r"|gare|m[ée]tro|stade|mus[ée]e|a[ée]roport|immeuble|brasserie|th[ée][âa]tre|gymnase"
    r"|m[ée]diath[èe]que|biblioth[èe]que|iut|fac|facult[ée])"
    rf"\s(?:(?P<of>(?:de|d'|à|en)(?!\s(?:la\s|l'))\s?)|{_LINK}\s)?{_CAPITAL}(?:[\s-](?:{_LINK}\s)?{_CAPITAL}){{0,3}}",
    re.IGNORECASE,
)


def _tidy(text: str, start: int, end: int) -> Span:
    while end > start + 1 and not (text[end - 1].isalnum() or text[end - 1] == ")"):
        end -= 1
    return Span(start, end, "ADDRESS")
