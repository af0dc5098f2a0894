"""Numbers: published examples are found, near misses are not."""

import re
from collections.abc import Callable, Iterable

import phonenumbers
import pytest
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from privacy import numbers
from privacy.redaction import redact
from privacy.spans import Span, settle


def found(find: Callable[[str], Iterable[Span]], text: str) -> list[tuple[str, str]]:
    return [(span.type, text[span.start : span.end]) for span in find(text)]


@pytest.mark.parametrize(
    "iban",
    [
        "FR14 2004 1010 0505 0001 3M02 606",
        "FR7630006000011234567890189",
        "fr76.3000.6000.0112.3456.7890.189",
        "GB82 WEST 1234 5698 7654 32",
        "DE89370400440532013000",
        "MT84 MALT 0110 0001 2345 MTLC AST0 01S",
        "NO9386011117947",
        "SN08SN0100152000048500003035",
        "GI75NWBK000000007099453",
        "BH74 BMAG QWER TYUI OPAS DF",
        "bh74bmagqwertyuiopasdf",
    ],
)
def test_ibans_of_the_register_and_beyond_are_found(iban: str) -> None:
    assert found(numbers.find_ibans, f"compte {iban} merci") == [("IBAN", iban)]


def test_an_iban_with_a_wrong_check_digit_is_none() -> None:
    assert found(numbers.find_ibans, "FR14 2004 1010 0505 0001 3M02 607") == []


def test_an_account_called_iban_is_one_in_spite_of_a_wrong_digit() -> None:
    assert found(numbers.find_ibans, "IBAN : FR14 2004 1010 0505 0001 3M02 607") == [
        ("IBAN", "FR14 2004 1010 0505 0001 3M02 607")
    ]


BEYOND_THE_REGISTER = [
    "AO06004400006729503010102",
    "BF42BF0840101300463574000390",
    "BJ66BJ0610100100144390000769",
    "CF4220001000010120069700160",
    "CG3930011000101013451300019",
    "CI93CI0080111301134291200589",
    "CM2110002000300277976315008",
    "CV64000500000020108215144",
    "DZ580002100001113000000570",
    "GA2140021010032001890020126",
    "GQ7050002001003715228190196",
    "GW04GW1430010181800637601",
    "HN54PISA00000000000000123124",
    "IR580540105180021273113007",
    "KM4600005000010010904400137",
    "MA64011519000001205000534921",
    "MG4600005030071289421016045",
    "ML13ML0160120102600100668497",
    "MZ59000301080016367102371",
    "NE58NE0380100100130305000268",
    "NI92BAMC000000000000000003123123",
    "SN08SN0100152000048500003035",
    "TD8960002000010271091600153",
    "TG53TG0090604310346500400070",
]
"""A valid example of each country's, as published."""


@pytest.mark.parametrize("number", BEYOND_THE_REGISTER)
@pytest.mark.parametrize(
    "said", ["Mon IBAN est {}, merci", "Voici le RIB : {} pour la prime", "{}"]
)
def test_one_beyond_the_register_is_found_whole(number: str, said: str) -> None:
    mistaken = f"{number[:-1]}{9 - int(number[-1])}"
    for whole in (number, mistaken)[: 2 if said != "{}" else 1]:
        for written in (whole, " ".join(re.findall(".{1,4}", whole))):
            assert found(numbers.find_ibans, said.format(written)) == [("IBAN", written)]


# The example numbers that French banks print on their specimens.
@pytest.mark.parametrize(
    "rib",
    [
        "30006 00001 12345678901 89",
        "30006000011234567890189",
        "20041 01005 0500013M026 06",
        "20041-01005-0500013m026-06",
        "30004 guichet 00003 compte 12345678901 clé 43",
        "30001, code guichet : 00794, n° de compte : 12345678901, clé RIB : 85",
        "30001 | 00794 | 12345678901 | 85",
    ],
)
def test_an_account_is_found_in_its_national_form(rib: str) -> None:
    assert found(numbers.find_ribs, f"mon RIB : {rib}, merci") == [("IBAN", rib)]
    (redacted,) = redact([f"Voici mon RIB : {rib}, merci de faire le virement"])
    assert redacted.text == "Voici mon RIB : <IBAN>, merci de faire le virement"


@pytest.mark.parametrize(
    "text",
    [
        "colis 30006 00001 12345678901 88",
        "lots 30006 et 00001, série 12345678901, page 89",
        "A30006000011234567890189",
    ],
)
def test_another_number_is_no_account(text: str) -> None:
    assert found(numbers.find_ribs, text) == []


@pytest.mark.parametrize(
    "text", ["IBAN de 12 caractères", "ps 12 demandes envoyées hier sans suite"]
)
def test_words_that_begin_like_an_account_are_none(text: str) -> None:
    assert found(numbers.find_ibans, text) == []


@pytest.mark.parametrize(
    "card",
    [
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "378282246310005",
        "3782 822463 10005",
        "5555555555554444",
        "6011000990139424",
        "3530111333300000",
        "30569309025904",
        "4222222222222",
        "2223003122003222",
    ],
)
def test_test_cards_of_every_brand_are_found(card: str) -> None:
    assert found(numbers.find_accounts_in_runs, f"carte {card}.") == [("CARD", card)]


def test_a_card_that_fails_luhn_is_one_only_where_it_is_called_so() -> None:
    assert found(numbers.find_accounts_in_runs, "4111 1111 1111 1112") == []
    assert found(numbers.find_accounts_in_runs, "ma CB 4111 1111 1111 1112") == [
        ("CARD", "4111 1111 1111 1112")
    ]


def test_two_telephone_numbers_in_a_row_are_no_card() -> None:
    pairs = "06 12 34 56 78 / 07 98 76 54 3"

    texts = [f"{pairs}{digit}" for digit in range(10)]

    assert [kind for text in texts for kind in found(numbers.find_accounts_in_runs, text)] == []


@pytest.mark.parametrize(
    "nir",
    [
        "2 95 10 99 126 111 93",
        "295109912611193",
        "253072B07300470",
        "2 53 07 2a 073 004 43",
        "2.69.05.49.588.157.80",
        "2690549588157 80",
        "2 69 05 49 588 157 (80)",
        "2690549588157 (clé 80)",
    ],
)
def test_social_security_numbers_are_found_by_their_key(nir: str) -> None:
    assert found(numbers.find_nirs, f"voici {nir}") == [("NIR", nir)]


def test_a_nir_is_told_by_its_grouping_without_its_key() -> None:
    assert found(numbers.find_nirs, "voici 2 53 07 2B 073 004.") == [("NIR", "2 53 07 2B 073 004")]
    assert found(numbers.find_nirs, "voici 2 53 67 20 07 300 4.") == []


def test_a_nir_with_a_wrong_key_is_one_only_where_it_is_called_so() -> None:
    assert found(numbers.find_nirs, "dossier 295109912611194") == []
    assert found(numbers.find_nirs, "sécu 295109912611194") == [("NIR", "295109912611194")]
    assert found(numbers.find_nirs, "n° ss 2951099126111") == [("NIR", "2951099126111")]


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        ("SIREN", "732 829 320"),
        ("SIREN", "732829320"),
        ("SIRET", "73282932000074"),
        ("SIRET", "732 829 320 00074"),
        ("SIRET", "356 000 000 49837"),
    ],
)
def test_companies_are_found_by_luhn_and_the_post_office_by_its_own_rule(
    kind: str, number: str
) -> None:
    text = f"société {number}"

    assert settle(text, numbers.find_accounts_in_runs(text)) == [Span(8, len(text), kind)]


def test_an_amount_is_no_company() -> None:
    assert found(numbers.find_accounts_in_runs, "un budget de 732 829 320 euros") == []


def test_the_vat_number_of_a_company_is_found() -> None:
    assert found(numbers.find_vat_numbers, "TVA FR40303265045") == [("SIREN", "FR40303265045")]


@pytest.mark.parametrize(
    "phone",
    [
        "0612345678",
        "06 12 34 56 78",
        "06.12.34.56.78",
        "06-12-34-56-78",
        "06/12/34/56/78",
        "06 123 456 78",
        "0 6 1 2 3 4 5 6 7 8",
        "+33 6 12 34 56 78",
        "+33 (0)6 12 34 56 78",
        "(+33) 6 12 34 56 78",
        "0033 6 12 34 56 78",
        "01 99 00 12 34",
        "08 92 70 12 39",
        "zéro six douze trente-quatre cinquante-six soixante-dix-huit",
        "06 puis 12 puis 34 puis 56 puis 78",
        "06, 12, 34, 56 et enfin 78",
        "06 espace 12 espace 34 espace 56 espace 78",
        "06 12 34 puis 56 78",
        "zéro six point douze point trente-quatre point cinquante-six point soixante-dix-huit",
        "06 douze trente-quatre 56 78",
        "+32 470 12 34 56",
        "+1 202 555 0123",
        "+212 6 12 34 56 78",
        "020 7946 0958",
        "06:12:34:56:78",
        "06*12*34*56*78",
        "06 | 12 | 34 | 56 | 78",
        "06'12'34'56'78",
        "06, 12, 34, 56, 78",
        "(0)6 12 34 56 78",
        "[06] 12 34 56 78",
        "+33(0)6-12-34-56-78",
        "+44 (0)20 7946 0958",
        "(33) 6 12 34 56 78",
        "+262 (0)692 12 34 56",
        "+376 476 411",
        "07700 900123",
        "(01632) 960123",
        "(0115)4960785",
        "+1-549-213-8936x358",
        "01 99 00 12 34, poste 12",
        "07700900123",
    ],
)
def test_telephone_numbers_are_found_however_written(phone: str) -> None:
    assert ("PHONE", phone) in found(numbers.find_phones, f"au {phone}, merci")


@pytest.mark.parametrize("prefix", ["+", "00"])
@pytest.mark.parametrize("form", [PhoneNumberFormat.E164, PhoneNumberFormat.INTERNATIONAL])
def test_every_kind_of_number_of_every_region_is_found_by_its_prefix(
    prefix: str, form: int
) -> None:
    examples = [
        phonenumbers.example_number_for_type(region, kind)
        for region in phonenumbers.SUPPORTED_REGIONS
        for kind in PhoneNumberType.values()
    ]
    written = [phonenumbers.format_number(n, form)[1:] for n in examples if n is not None]

    kept = [
        number
        for number in (prefix + rest for rest in written)
        if ("PHONE", number) not in found(numbers.find_phones, f"au {number}, merci")
    ]

    assert len(written) > 1_000
    assert kept == []


def test_a_bare_number_is_a_telephone_where_it_is_called_so() -> None:
    assert found(numbers.find_phones, "portable : 612345678") == [("PHONE", "612345678")]
    assert found(numbers.find_phones, "call me on 2025550123") == [("PHONE", "2025550123")]
    assert found(numbers.find_phones, "my number is 2025550123") == [("PHONE", "2025550123")]
    assert found(numbers.find_phones, "dossier 2025550123") == []


@pytest.mark.parametrize(
    "text",
    [
        "le 01/02/2024 03h",
        "libre les 05, 12, 19, 26 et 30 mars",
        "2024-05-12 12:30",
        "commande 1234567890123",
        "bac +2, 12 000 €",
        "08.30 12.00 13.30 17.00",
        "08:30-12:00 13:30-17:00",
        "08/20 12/20 11/20",
        "06:12:34:56:78:9a",
        "entre +15 000 et +18 000 par an",
        "+20 225 000 000 euros",
    ],
)
def test_dates_and_orders_are_no_telephone_numbers(text: str) -> None:
    assert found(numbers.find_phones, text) == []


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("+33 6 12 34 56 78 et je suis libre", "+33 6 12 34 56 78"),
        ("06 12 34 56 78 et le soir", "06 12 34 56 78"),
        ("06 douze 34 56 soixante et onze et après", "06 douze 34 56 soixante et onze"),
    ],
)
def test_a_number_ends_before_the_word_that_goes_on(text: str, number: str) -> None:
    assert {one for _, one in found(numbers.find_phones, text)} == {number}
