"""Texts with planted personal data, made here: templates and invented values in French.

Two parts share nothing: the rules were tuned by looking at ``redaction_tuning``, and figures
are taken on ``redaction_held_out``, whose templates, given names, family names and ways of
writing numbers are others. Every value comes from a seed; check digits are right, people are
nobody.
"""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stdnum import luhn
from stdnum.fr import nir
from stdnum.iso7064 import mod_97_10

from privacy.spans import Span

_SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Example:
    """A text, the personal data in it, and the language it was written in."""

    text: str
    spans: tuple[Span, ...]
    language: str


@dataclass(frozen=True)
class Part:
    """One side of the split.

    Attributes:
        templates: French texts with slots such as ``{person}``.
        english: English texts; their names are not measured, since they are dropped.
        plain: Texts without personal data: towns, companies, amounts, dates, capitals.
        given, family: Names, combined at random.
        towns, streets, companies, domains: Other values.
        styles: Which of the three ways of writing numbers, addresses and dates are used.
    """

    templates: Sequence[str]
    english: Sequence[str]
    plain: Sequence[str]
    given: Sequence[str]
    family: Sequence[str]
    towns: Sequence[str]
    streets: Sequence[str]
    companies: Sequence[str]
    domains: Sequence[str]
    styles: Sequence[int]


def make_corpus(part: Part, spans: int, seed: int) -> list[Example]:
    """Make texts until they hold at least ``spans`` spans, a fifth of them without any."""
    rng = random.Random(seed)
    examples: list[Example] = []
    planted = 0
    while planted < spans:
        for template in part.templates:
            examples.append(_fill(template, "fr", part, rng))
            planted += len(examples[-1].spans)
        examples += [_fill(template, "en", part, rng) for template in part.english]
        examples += [_fill(template, "fr", part, rng) for template in part.plain]
    return examples


def _fill(template: str, language: str, part: Part, rng: random.Random) -> Example:
    text, spans, position = "", [], 0
    for slot in _SLOT.finditer(template):
        text += template[position : slot.start()]
        kind, make = _SLOTS[slot.group(1)]
        value = make(part, rng)
        if kind and not (kind == "PERSON" and language != "fr"):
            spans.append(Span(len(text), len(text) + len(value), kind))
        text += value
        position = slot.end()
    return Example(text + template[position:], tuple(spans), language)


def _person(part: Part, rng: random.Random) -> str:
    given, family = rng.choice(part.given), rng.choice(part.family)
    return rng.choice(
        [
            f"{given} {family}",
            f"{given} {family}",
            f"{given} {family.upper()}",
            f"{family.upper()} {given}",
        ]
    )


def _full_name(part: Part, rng: random.Random) -> str:
    return f"{rng.choice(part.given)} {rng.choice(part.family)}"


def _lower_name(part: Part, rng: random.Random) -> str:
    return _full_name(part, rng).lower()


def _shouted_name(part: Part, rng: random.Random) -> str:
    return _full_name(part, rng).upper()


def _plain_letters(text: str) -> str:
    table = str.maketrans("àâäéèêëîïôöùûüçÀÂÉÈÊËÎÏÔÖÙÛÜÇ' ", "aaaeeeeiioouuucAAEEEEIIOOUUUC--")
    return text.translate(table).lower().replace("--", "-")


def _email(part: Part, rng: random.Random) -> str:
    given = _plain_letters(rng.choice(part.given))
    family = _plain_letters(rng.choice(part.family))
    domain = rng.choice(part.domains)
    number = rng.randrange(100)
    styles = (
        [f"{given}.{family}@{domain}", f"{given}{number}@{domain}", f"{family}@{domain}"],
        [
            f"{given[0]}.{family}@{domain}",
            f"{given}_{family}{number}@{domain}",
            f"{given}-{family}+emploi@{domain}",
            f"{family.upper()}.{given.upper()}@{domain.upper()}",
        ],
        [
            f"{family}.{given[0]}@{domain}",
            f"{given}.{family}.{number}@{domain}",
            f"contact@{family}-{given}.fr",
            f"{given} @ {domain}",
        ],
    )
    return rng.choice(styles[rng.choice(part.styles)])


def _spoken_email(part: Part, rng: random.Random) -> str:
    given = _plain_letters(rng.choice(part.given)).replace("-", "")
    family = _plain_letters(rng.choice(part.family)).replace("-", "")
    name, ending = rng.choice(part.domains).rsplit(".", 1)
    styles = (
        [f"{given} point {family} arobase {name} point {ending}"],
        [
            f"{given}.{family} [at] {name} [dot] {ending}",
            f"{given} tiret {family} arobase {name} point {ending}",
        ],
        [
            f"{given}(arobase){name}.{ending}",
            f"{given} underscore {family} arobase {name} point {ending}",
        ],
    )
    return rng.choice(styles[rng.choice(part.styles)])


def _digits(rng: random.Random, count: int) -> str:
    return "".join(str(rng.randrange(10)) for _ in range(count))


def _grouped(number: str, sizes: Sequence[int], sign: str) -> str:
    groups, position = [], 0
    for size in sizes:
        groups.append(number[position : position + size])
        position += size
    return sign.join([*groups, number[position:]] if position < len(number) else groups)


def _phone(part: Part, rng: random.Random) -> str:
    number = "0" + str(rng.randint(1, 9)) + _digits(rng, 8)
    pairs = (2, 2, 2, 2, 2)
    abroad = _grouped(number[1:], (1, 2, 2, 2, 2), " ")
    styles = (
        [number, _grouped(number, pairs, " "), _grouped(number, pairs, "."), f"+33 {abroad}"],
        [
            _grouped(number, pairs, "-"),
            _grouped(number, pairs, "/"),
            _grouped(number, pairs, "\u00a0"),
            _grouped(number, (4, 3, 3), " "),
            f"+33 (0){abroad}",
            f"0033{number[1:]}",
            f"+33{number[1:]}",
            _grouped(number, pairs, " . "),
            _grouped(number, pairs, ":"),
            f"(0){abroad}",
            f"+262 692 {_grouped(number[4:], (2, 2, 2), ' ')}",
            f"+376 {rng.randint(3, 4)}{number[5:]}",
        ],
        [
            _grouped(number, pairs, "_"),
            _grouped(number, (2, 4, 4), " "),
            _grouped(number, pairs, " - "),
            f"(+33) {abroad}",
            f"+33.{abroad.replace(' ', '.')}",
            f"0033 {abroad}",
            "".join(chr(0xFF10 + int(digit)) for digit in number),
            _grouped(number, pairs, "*"),
            f"[{number[:2]}] {_grouped(number[2:], (2, 2, 2, 2), ' ')}",
            f"+590 (0)690 {_grouped(number[4:], (2, 2, 2), '-')}",
            f"+508 41 {number[4:6]} {number[6:8]}",
        ],
    )
    return rng.choice(styles[rng.choice(part.styles)])


_UNITS = ["deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf"]


def _spoken_phone(_: Part, rng: random.Random) -> str:
    tens = ["vingt", "trente", "quarante", "cinquante", "soixante"]
    pairs = [f"{rng.choice(tens)}-{rng.choice(_UNITS)}" for _pair in range(4)]
    return " ".join(["zéro", rng.choice(["six", "sept"]), *pairs])


_IBAN_FORMS = (
    {"FR": "n" * 23, "DE": "n" * 18, "BE": "n" * 12, "ES": "n" * 20},
    {"FR": "n" * 23, "NL": "ZZZZ" + "n" * 10, "IT": "Z" + "n" * 22, "MT": "ZZZZnnnnn" + "c" * 18},
    {"FR": "n" * 23, "GB": "ZZZZ" + "n" * 14, "CH": "n" * 17, "GI": "ZZZZ" + "c" * 15},
)
_IBAN_LETTERS = {"n": "0123456789", "Z": "ABCDEFGHJKLMNPRSTUVWXYZ"}
_IBAN_LETTERS["c"] = _IBAN_LETTERS["n"] + _IBAN_LETTERS["Z"]


def _iban(part: Part, rng: random.Random) -> str:
    style = rng.choice(part.styles)
    forms = _IBAN_FORMS[style]
    country = rng.choice(["FR", *sorted(forms)])
    body = "".join(rng.choice(_IBAN_LETTERS[letter]) for letter in forms[country])
    number = country + mod_97_10.calc_check_digits(body + country) + body
    groups = _grouped(number, (4,) * (len(number) // 4), " ")
    styles = (
        [number, groups],
        [groups, groups.lower(), groups.replace(" ", "-"), number],
        [groups.replace(" ", "\u00a0"), groups.replace(" ", "."), number.lower()],
    )
    return rng.choice(styles[style])


def _card(part: Part, rng: random.Random) -> str:
    kinds = (
        [("4", 16), ("53", 16), ("6011", 16)],
        [("5", 16), ("37", 15)],
        [("2221", 16), ("34", 15)],
    )
    style = rng.choice(part.styles)
    prefix, length = rng.choice(kinds[style])
    body = prefix + _digits(rng, length - len(prefix) - 1)
    number = body + luhn.calc_check_digit(body)
    sizes = (4, 6, 5) if length == 15 else (4, 4, 4, 4)
    return rng.choice([number, _grouped(number, sizes, " -."[style])])


def _nir(part: Part, rng: random.Random) -> str:
    department = rng.choice(["2A", "2B", "75", "13", "59", "69", "99", "33"])
    body = f"{rng.randint(1, 2)}{_digits(rng, 2)}{rng.randint(1, 12):02}{department}"
    body += f"{rng.randint(1, 400):03}{rng.randint(1, 999):03}"
    number = body + nir.calc_check_digits(body)
    sizes = (1, 2, 2, 2, 3, 3, 2)
    spaced = _grouped(number, sizes, " ")
    styles = (
        [number, spaced],
        [spaced.replace(" ", "."), f"{number[:13]} {number[13:]}", spaced],
        [spaced.replace(" ", "-"), f"{number[:13]} / {number[13:]}", spaced.replace(" ", "\u202f")],
    )
    return rng.choice(styles[rng.choice(part.styles)])


def _siren_number(rng: random.Random) -> str:
    body = str(rng.randint(3, 9)) + _digits(rng, 7)
    return body + luhn.calc_check_digit(body)


def _siren(part: Part, rng: random.Random) -> str:
    number = _siren_number(rng)
    styles = (_grouped(number, (3, 3, 3), " "), number, _grouped(number, (3, 3, 3), "."))
    return styles[rng.choice(part.styles)]


def _siret(part: Part, rng: random.Random) -> str:
    body = _siren_number(rng) + f"{rng.randint(1, 60):04}"
    number = body + luhn.calc_check_digit(body)
    spaced = _grouped(number, (3, 3, 3, 5), " ")
    return (number, spaced, f"{number[:9]} {number[9:]}")[rng.choice(part.styles)]


def _address(part: Part, rng: random.Random) -> str:
    street, town = rng.choice(part.streets), rng.choice(part.towns)
    number, code = rng.randint(1, 199), f"{rng.randint(1, 95):02}{rng.randrange(10)}00"
    styles = (
        [f"{number} {street}, {code} {town}", f"{number} {street}"],
        [f"{number} bis, {street} - {code} {town}", f"{number} {street}\n{code} {town.upper()}"],
        [
            f"{number}B {street} {code} {town}",
            f"{number}, {street}",
            f"{number} {street.lower()}",
            f"{number} T, {street}, CS {code}, {code} {town} Cedex {rng.randint(1, 20)}",
        ],
    )
    return rng.choice(styles[rng.choice(part.styles)])


def _postcode_town(part: Part, rng: random.Random) -> str:
    return f"{rng.randint(1, 95):02}{rng.randrange(10)}00 {rng.choice(part.towns)}"


_MONTHS = [
    "janvier",
    "février",
    "mars",
    "avril",
    "mai",
    "juin",
    "juillet",
    "août",
    "septembre",
    "octobre",
    "novembre",
    "décembre",
]


def _birth(part: Part, rng: random.Random) -> str:
    day, month, year = rng.randint(1, 28), rng.randint(1, 12), rng.randint(1955, 2006)
    styles = (
        [f"{day:02}/{month:02}/{year}", f"{day} {_MONTHS[month - 1]} {year}"],
        [
            f"{year}-{month:02}-{day:02}",
            f"{day:02}.{month:02}.{year}",
            f"1er {_MONTHS[month - 1]} {year}",
            f"{day}-{month:02}-{year}",
        ],
        [
            f"{year}/{month:02}/{day:02}",
            f"{day:02} {month:02} {year}",
            f"{day} {_MONTHS[month - 1].upper()} {year}",
        ],
    )
    return rng.choice(styles[rng.choice(part.styles)])


def _url(part: Part, rng: random.Random) -> str:
    name = _plain_letters(rng.choice(part.given))
    styles = (
        [f"https://www.{name}-cv.fr", f"linkedin.com/in/{name}-{rng.randrange(999)}"],
        [f"http://{name}.exemple.org/cv?lang=fr#haut", f"www.portfolio-{name}.com"],
        [f"{name}-design.fr/projets", f"HTTPS://{name.upper()}.EXEMPLE.EU", f"github.com/{name}"],
    )
    return rng.choice(styles[rng.choice(part.styles)])


def _handle(part: Part, rng: random.Random) -> str:
    name = _plain_letters(rng.choice(part.given)).replace("-", "_")
    number = rng.randrange(99)
    return (f"@{name}{number}", f"@{name}.pro", f"@_{name}_{number}")[rng.choice(part.styles)]


_SLOTS: dict[str, tuple[str | None, Callable[[Part, random.Random], str]]] = {
    "person": ("PERSON", _person),
    "full": ("PERSON", _full_name),
    "lower": ("PERSON", _lower_name),
    "shouted": ("PERSON", _shouted_name),
    "given": ("PERSON", lambda part, rng: rng.choice(part.given)),
    "family": ("PERSON", lambda part, rng: rng.choice(part.family)),
    "family_upper": ("PERSON", lambda part, rng: rng.choice(part.family).upper()),
    "lower_given": ("PERSON", lambda part, rng: rng.choice(part.given).lower()),
    "email": ("EMAIL", _email),
    "spoken_email": ("EMAIL", _spoken_email),
    "phone": ("PHONE", _phone),
    "spoken_phone": ("PHONE", _spoken_phone),
    "iban": ("IBAN", _iban),
    "card": ("CARD", _card),
    "nir": ("NIR", _nir),
    "siren": ("SIREN", _siren),
    "siret": ("SIRET", _siret),
    "address": ("ADDRESS", _address),
    "postcode_town": ("ADDRESS", _postcode_town),
    "birth": ("DATE_OF_BIRTH", _birth),
    "url": ("URL", _url),
    "handle": ("HANDLE", _handle),
    "town": (None, lambda part, rng: rng.choice(part.towns)),
    "company": (None, lambda part, rng: rng.choice(part.companies)),
    "amount": (None, lambda _, rng: f"{rng.randint(18, 95)} {rng.randrange(10)}00 €"),
    "reference": (None, lambda _, rng: f"REF-{_digits(rng, 6)}"),
}
