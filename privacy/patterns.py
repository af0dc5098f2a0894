"""E-mail addresses, URLs, IP addresses, handles and dates of birth, by their form.

Every function reads the text of a ``normalisation.View`` and yields spans of it.
"""

import re
from collections.abc import Iterator
from ipaddress import ip_address

from privacy.spans import Span

_AT = (
    r"(?:@|%40|&#64;|&commat;|\s{0,2}[\[({<]\s?(?:at|arobase?|arrobase?|chez|[aà]|@)\s?[\])}>]\s{0,2}"
    r"|\s(?:arr?obas?e?|a\srobase|at\ssign)\s)"
)
_AT_APART = (
    r"(?:\s{1,2}@\s{1,2}|@\s{1,2}|\s{1,2}@(?=[\w.-]+\s?\.\s?(?:fr|com|net|org|eu)\b)"
    r"|\s?(?P<sign>[-*/\"'|~]{1,2})at(?P=sign)\s?|\s?«\s?at\s?»\s?)"
)
_DOT = r"(?:\.{1,3}|\s?[\[({<]\s?(?:dot|point|pt|\.)\s?[\])}>]\s?|\s(?:dot|point)\s)"
_DASH = r"\s(?:tiret(?:\s(?:du\s(?:six|huit|6|8)|bas))?|underscore|trait\sd'union|dash|hyphen)\s"
_ATOM = r"[\w+%&!#$*?^|~='/-]{1,128}"
_LABEL = rf"[^\W_](?:[\w-]{{0,62}}[^\W_])?(?:{_DASH}[^\W_]{{1,62}}){{0,3}}"
# A quoted local part may hold anything; a plain one is atoms joined by dots, said or signed.
_LOCAL = rf'(?:"[^"\n]{{1,64}}"|(?<![\w.+-]){_ATOM}(?:(?:{_DOT}|{_DASH}){_ATOM}){{0,8}}\.?)'
_ENDINGS = r"(?:fr|com|net|org|eu|be|ch|ca|io|me|re|lu|uk|info|bzh|paris)"
# A dot apart from both is one of an address only before a usual ending.
_DOT_APART = (
    rf"(?:\s\.\s(?=(?:[a-z\d-]{{1,62}}\s\.\s)?{_ENDINGS}\b)|(?:,|\s|\.\s)(?=(?:fr|com|net|org)\b))"
)
_MORE_LABELS = rf"(?:(?:{_DOT}|{_DOT_APART}|\s\.){_LABEL})"
_EMAIL = re.compile(
    rf"{_LOCAL}(?:{_AT}(?:\[[\dA-Fa-f.:IPv]+\]|{_LABEL}{_MORE_LABELS}{{0,8}})"
    rf"|{_AT_APART}{_LABEL}{_MORE_LABELS}{{1,8}})",
    re.IGNORECASE,
)
_PROVIDERS = r"(?:gmail|hotmail|outlook|yahoo|orange|free|sfr|laposte|wanadoo|live|proton(?:mail)?)"
_SPOKEN_EMAIL = re.compile(
    rf"(?<![\w.+-])[\w.+-]{{1,128}}(?:\s(?:point|dot|tiret|underscore)\s[\w+-]{{1,64}}){{0,6}}"
    rf"(?:\s(?:at|chez)\s{_PROVIDERS}(?:\.|\s(?:point|dot)\s)|\sà\s{_PROVIDERS}\s(?:point|dot)\s)"
    rf"{_ENDINGS}\b"
    rf"|(?<![\w.+-])(?:(?=[\w+-]*[._])[\w.+-]{{3,256}}(?<!\.)\s(?:at|à|chez)"
    rf"|[\w+-]{{1,64}}\s(?-i:AT))\s(?:{_LABEL}(?:\.|\s(?:point|dot)\s)){{1,4}}{_ENDINGS}\b"
    # In one word; with the dots apart, with spaces around the sign as well.
    rf"|(?<![\w.+-])[\w.+-]{{1,64}}?(?P<mark>[_-])(?:at|arr?obas?e?)(?P=mark)[\w.-]{{1,128}}?"
    rf"(?:\.|(?P=mark)(?:dot|point)(?P=mark)){_ENDINGS}(?![\w-])"
    rf"|(?<![\w.+-])[\w+-]{{1,64}}(?:\s\.\s[\w+-]{{1,64}}){{1,3}}\s@\s{_LABEL}{_MORE_LABELS}{{1,4}}"
    # Of any other domain only the last dot has to be said; "at some point it" is no address.
    rf"|(?<![\w.+-])[\w.+'-]{{1,128}}(?:\s(?:dot|point)\s[\w+-]{{1,64}}){{0,6}}\sat\s"
    rf"{_LABEL}(?:(?:\.|\sdot\s){_LABEL}){{0,6}}(?:\sdot\s[a-z]{{2,10}}|\spoint\s{_ENDINGS})\b",
    re.IGNORECASE,
)
_EMAIL_SIGN = re.compile(
    r"@|arr?oba|a\srobase|\bat\b|_at_|\bchez\b|%40|&#64;|&commat;|[\[({<]\s?[aà]\s?[\])}>]|\.\w+\sà\s"
    rf"|\sà\s{_PROVIDERS}\s(?:point|dot)\s",
    re.IGNORECASE,
)
_EMAIL_LEAD = re.compile(
    r"(?:(?:mon\s|my\s)?(?:e-?mail|mail|courriel|mailto|adresse|contact)\s?[=:/]+|[dljnsmtc]'|qu')+",
    re.IGNORECASE,
)

_TLD = (
    r"(?:fr|com|org|net|eu|io|be|ch|ca|info|biz|dev|app|co|uk|de|es|it|lu|re|pro|paris|bzh|tv|ai"
    r"|gouv\.fr|co\.uk|online|site|shop|xyz|cloud|tech|jobs)"
)
_URL = re.compile(
    r"(?:(?:https?|ftp|hxxps?)\s?:\s?//|\bwww\.)[^\s<>\"«»]+"
    rf"|(?<![\w@.+-])(?:[a-z0-9](?:[\w-]{{0,61}}[a-z0-9])?\.){{1,4}}{_TLD}(?![\w@-])(?!\.\w+@)"
    r"(?:[/?#][^\s<>\"«»]*)?"
    r"|\b(?:linkedin|facebook|instagram|twitter|x|t|bit|youtu|goo|fb|wa|lnkd)"
    r"\.(?:com|me|ly|be|gl|co|in)/[^\s<>\"«»]+",
    re.IGNORECASE,
)
_URL_TAIL = re.compile(r"[.,;:!?)\]}'»…]+$")
_NOT_SITES = frozenset({"asp.net", "vb.net", "ado.net"})

_IP_ADDRESS = re.compile(
    r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|(?=[\da-f:]*:[\da-f]*:)[\da-f:]{3,39}"
    r"(?:(?<=:)\d{1,3}(?:\.\d{1,3}){3})?)(?!\w|\.\d)",
    re.IGNORECASE,
)

_HANDLE = re.compile(r"(?<![\w@.+/])@[A-Za-z0-9_](?:[\w.-]{0,37}\w)?")
_NETWORKS = (
    r"(?:insta(?:gram)?|snap(?:chat)?|tik\s?tok|twitter|telegram|discord|skype|signal|mastodon"
    r"|linkedin|facebook|github|pseudo(?:nyme)?|whatsapp)"
)
_NAMED_HANDLE = re.compile(
    rf"\b{_NETWORKS}\s?(?::|=|,?\sc'est\s|\sest\s:?)\s?(?=[\w.]*[\d_.])"
    r"(\w[\w.#-]{1,38}\w)",
    re.IGNORECASE,
)

_MONTH = (
    r"(?:janv(?:ier|\.)?|f[ée]v(?:rier|r?\.)?|mars|avr(?:il|\.)?|mai|juin|juil(?:let|\.)?|ao[uû]t"
    r"|sept(?:embre|\.)?|oct(?:obre|\.)?|nov(?:embre|\.)?|d[ée]c(?:embre|\.)?"
    r"|january|february|march|april|may|june|july|august|september|october|november|december"
    r"|jan\.?|feb\.?|mar\.?|apr\.?|jun\.?|jul\.?|aug\.?|sep\.?)"
)
_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_NUMBER = r"(?:0?[1-9]|1[0-2])"
_YEAR = r"(?:19\d\d|20[0-2]\d)"
_BIRTH_YEAR = r"(?:19[2-9]\d|200\d)"
_GAP = r"(?:\s?[/.-]\s?|\s)"


def _dates(year: str) -> str:
    return (
        rf"{_DAY}{_GAP}{_NUMBER}{_GAP}{year}|{year}{_GAP}{_NUMBER}{_GAP}{_DAY}"
        rf"|(?:1\s?er|{_DAY}(?:st|nd|rd|th)?|premier)\s?[-.]?\s?(?:of\s)?{_MONTH}\s?[-.,]?\s?{year}"
        rf"|{_MONTH}\s{_DAY}(?:st|nd|rd|th)?,?\s{year}"
    )


_DATE = re.compile(rf"(?<![\d/-])(?:{_dates(_BIRTH_YEAR)})(?![\d/])", re.IGNORECASE)
_BORN = (
    r"(?:\bn[ée]+(?:\(e\)|\.e|-e)?\b|naissance|naiss\.|\bd\.?\s?d\.?\s?n\b|\bborn\b|birth|\bdob\b"
    r"|anniversaire|\bn[ée]\(?e?\)?\s+le\b)"
)
_SHORT_DATE = (
    rf"{_dates(_YEAR)}|{_DAY}{_GAP}{_NUMBER}{_GAP}\d\d|{_DAY}{_NUMBER}{_YEAR}|{_YEAR}{_NUMBER}{_DAY}"
    rf"|(?:1\s?er|premier|{_DAY})\s{_MONTH}(?:\s\d\d)?|{_MONTH}\s{_YEAR}|{_NUMBER}/{_YEAR}"
)
_BIRTH_DATE = re.compile(
    rf"{_BORN}[^\d\n]{{0,40}}?(?<!\d)({_SHORT_DATE})(?!\d)(?![/.-]\d)", re.IGNORECASE
)


def find_emails(text: str) -> Iterator[Span]:
    """Find e-mail addresses, written or spelt out (``prenom arobase domaine point fr``).

    A domain without a dot is accepted behind a real @, because what stands before it
    is a person's address all the same; quoted local parts, internationalised domains
    and address literals as in RFC 5321 and 6531.
    """
    if not _EMAIL_SIGN.search(text):
        return
    for found in [*_EMAIL.finditer(text), *_SPOKEN_EMAIL.finditer(text)]:
        lead = _EMAIL_LEAD.match(found.group())
        start = found.start() + (lead.end() if lead else 0)
        if start < found.end() and text[start] not in "@ ":
            yield Span(start, found.end(), "EMAIL")


def find_urls(text: str) -> Iterator[Span]:
    """Find URLs, with a scheme, with ``www.``, or as a domain of a usual ending."""
    for found in _URL.finditer(text):
        address = _URL_TAIL.sub("", found.group())
        if address.casefold() not in _NOT_SITES:
            yield Span(found.start(), found.start() + len(address), "URL")


def find_ip_addresses(text: str) -> Iterator[Span]:
    """Find IP addresses of either version; a time such as 12:30:45 is none."""
    for found in _IP_ADDRESS.finditer(text):
        address = found.group().rstrip(":") if not found.group().endswith("::") else found.group()
        try:
            ip_address(address)
        except ValueError:
            continue
        if any(letter.isalnum() for letter in address):
            yield Span(found.start(), found.start() + len(address), "IP_ADDRESS")


def find_handles(text: str) -> Iterator[Span]:
    """Find ``@handle``, and account names that follow the name of a network."""
    for found in _HANDLE.finditer(text):
        yield Span(found.start(), found.end(), "HANDLE")
    for found in _NAMED_HANDLE.finditer(text):
        yield Span(found.start(1), found.end(1), "HANDLE")


def find_dates_of_birth(text: str) -> Iterator[Span]:
    """Find dates of birth: any date behind a word of birth, or a full date of 1920 to 2009.

    What happens on a platform of today does not date from then, so that a full date of
    those years is taken for a birth even without the word. The year of birth alone is
    no date and stays.
    """
    for found in _DATE.finditer(text):
        yield Span(found.start(), found.end(), "DATE_OF_BIRTH")
    for found in _BIRTH_DATE.finditer(text):
        yield Span(found.start(1), found.end(1), "DATE_OF_BIRTH")
