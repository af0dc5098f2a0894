"""E-mail addresses, URLs, handles, dates of birth, addresses, languages, overlaps."""

from collections.abc import Callable, Iterable

import pytest

from privacy import addresses, languages, patterns
from privacy.normalisation import view
from privacy.spans import Span, replace, settle


def found(find: Callable[[str], Iterable[Span]], text: str) -> list[str]:
    return [text[span.start : span.end] for span in find(text)]


@pytest.mark.parametrize(
    "email",
    [
        "jean.dupont@free.fr",
        "user+tag@sub.example.co.uk",
        '"john doe"@example.org',
        "admin@[192.168.0.1]",
        "jean@localhost",
        "用户@例子.广告",
        "jean.dupont(at)gmail(dot)com",
        "jean.dupont -at- gmail.com",
        "jean.dupont*at*gmail.com",
        "jean.dupont/at/gmail.com",
        'jean.dupont "at" gmail.com',
        "jean [arobase] free [point] fr",
        "jean point dupont arobase free point fr",
        "jean.dupont à gmail point com",
        "jean.dupont @ gmail.com",
        "jean.dupont at gmail dot com",
        "jean.dupont at mail.entreprise dot fr",
        "o'brien@example.ie",
        "jean tiret dupont arobase mon tiret domaine point fr",
        "jean tiret du six dupont arobase free point fr",
        "jean.dupont at free.fr",
        "jean.dupont AT free DOT example",
        "jean.dupont&#64;free.fr",
        "jean..dupont@free.fr",
        "jean.dupont @ free . fr",
        "jean.dupont@free . fr",
        "jean.dupont @ gmail. com",
        "jean.dupont @exemple .fr",
        "jean.dupont @ exemple . co . uk",
        "jean.dupont@gmail com",
        "jean.dupont_AT_gmail_DOT_com",
        "jean_at_exemple_dot_fr",
        "jdupont-at-exemple-dot-fr",
        "jean.dupont_arobase_exemple_point_fr",
        "jdupont AT exemple.fr",
        "jean.dupont chez exemple point fr",
        "jean point dupont at exemple point fr",
        "jean.dupont **at** exemple.fr",
        "jean.dupont 'at' exemple.fr",
        "jean.dupont « at » exemple.fr",
    ],
)
def test_email_addresses_are_found_however_written(email: str) -> None:
    assert found(patterns.find_emails, f"écrire à {email}, merci") == [email]


def test_words_around_a_provider_are_no_email_address() -> None:
    assert found(patterns.find_emails, "je travaille chez orange point final") == []
    assert found(patterns.find_emails, "je suis passé à orange.fr, puis à free point final") == []
    assert found(patterns.find_emails, 'le mot "at" manque, et -at- aussi') == []
    assert (
        found(patterns.find_emails, "le mot « at » . Fr n'est rien, look_at_this.py non plus") == []
    )
    assert found(patterns.find_emails, "venez @ Lyon . Merci, j'ai dit . bon @ demain . Ok") == []


def test_an_address_with_every_dot_apart_is_found_whole() -> None:
    spelt = "jean . dupont @ exemple . fr"

    assert max(found(patterns.find_emails, f"écrire à {spelt}, merci"), key=len) == spelt


@pytest.mark.parametrize("word", ["a_" * 160, "a_at_" * 60, "a.b" * 100, "a-at-b-dot-" * 25])
def test_a_text_of_words_like_beginnings_of_addresses_holds_nobody_up(word: str) -> None:
    # In days, where a word can be cut into parts of an address in many ways.
    assert found(patterns.find_emails, f"{word} " * 60 + "at x") == []


def test_what_introduces_an_email_address_is_not_part_of_it() -> None:
    assert found(patterns.find_emails, "mail:a@b.fr ou l'adresse d'andre@x.fr") == [
        "a@b.fr",
        "andre@x.fr",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("voir https://a.fr/x?y=1.", ["https://a.fr/x?y=1"]),
        ("www.jean-dupont.fr/cv.pdf", ["www.jean-dupont.fr/cv.pdf"]),
        ("sur linkedin.com/in/jd-75 !", ["linkedin.com/in/jd-75"]),
        ("fini.Je pars", []),
        ("avec ASP.NET et node.js", []),
    ],
)
def test_urls_are_found_without_the_sentence_around_them(text: str, expected: list[str]) -> None:
    assert found(patterns.find_urls, text) == expected


def test_handles_are_found_signed_or_named() -> None:
    text = "suis @jean_75, insta : jean.d75, jean@free.fr, pas de pseudo"

    assert found(patterns.find_handles, text) == ["@jean_75", "jean.d75"]


@pytest.mark.parametrize(
    "address",
    ["203.0.113.87", "2001:db8:44:dead::beef:87", "fe80::1", "2001:db8::", "::ffff:192.0.2.7"],
)
def test_ip_addresses_of_either_version_are_found(address: str) -> None:
    text = f"ma box est en {address}, puis ({address}) : {address}."

    assert found(patterns.find_ip_addresses, text) == [address] * 3


@pytest.mark.parametrize(
    "text", ["à 12:30:45", "3.11.7 puis 1.2.3.4.5", "999.1.1.1", "voir :: ici", "std::move"]
)
def test_times_and_versions_are_no_ip_addresses(text: str) -> None:
    assert found(patterns.find_ip_addresses, text) == []


@pytest.mark.parametrize(
    "date",
    ["12/03/1985", "12.03.1985", "1985-03-12", "1er avril 1990", "March 12, 1985", "12 mars 1985"],
)
def test_a_full_date_of_a_birth_year_is_one_of_birth(date: str) -> None:
    assert date in found(patterns.find_dates_of_birth, f"depuis le {date} donc")


def test_other_dates_are_of_birth_only_where_they_are_called_so() -> None:
    assert found(patterns.find_dates_of_birth, "entretien le 12/03/2024, né en 1985") == []
    assert found(patterns.find_dates_of_birth, "née le 3 sept. 85") == ["3 sept. 85"]


@pytest.mark.parametrize(
    "address",
    [
        "12 bis rue de la République, 69003 Lyon",
        "12 av. Foch 75116 PARIS",
        "4 allée des Tilleuls",
        "10 rue du 8 mai 1945 94110 Arcueil Cedex",
        "5 rue victor hugo",
        "29000 Quimper",
        "221B Baker Street",
        "12 r. Victor Hugo",
        "12 R VICTOR HUGO",
        "4 T chem. des Acacias",
        "3 qu. de la Marne, 97400 Saint-Denis",
        "12 imp. des lilas 92400 courbevoie",
        "2, sq. d'Italie",
        "7 crs Gambetta",
        "14 Grand-Rue",
        "3 av. Foch, CS 33735, 75048 Paris Cedex 4",
        "BP 123",
        "CS 12345",
        "97110 Pointe-à-Pitre",
    ],
)
@pytest.mark.parametrize("after", [", merci", " le soir"])
def test_addresses_are_found(address: str, after: str) -> None:
    text = f"au {address}{after}"

    assert max(found(addresses.find_addresses, text), key=len) == address


@pytest.mark.parametrize(
    "text", ["12 esp. de danse", "3 trav. par an", "le BP 2026", "module CS 101", "2 al. et 3 fg"]
)
def test_shortened_words_behind_a_number_are_no_street(text: str) -> None:
    assert found(addresses.find_addresses, text) == []


def test_a_street_without_number_is_an_address_where_somebody_lives() -> None:
    assert found(addresses.find_addresses, "j'habite rue des Lilas") == ["rue des Lilas"]
    assert found(addresses.find_addresses, "un café rue des Lilas, 45000 euros de CA") == []


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("trop loin", "fr"),
        ("pa interessé", "fr"),
        ("<PERSON> <PHONE>", "fr"),
        ("", "fr"),
        ("salary too low", "en"),
        ("demasiado lejos de mi casa", "es"),
        ("слишком далеко от дома", "ru"),
    ],
)
def test_a_text_is_foreign_only_on_evidence(text: str, language: str) -> None:
    assert languages.detect(text, ["fr"], {"trop", "loin"}.__contains__) == language


def test_an_invisible_character_is_carried_back_with_its_neighbour() -> None:
    seen = view("a\u200b\u200bb \uff20")

    assert seen.text == "ab @"
    assert seen.original(Span(0, 2, "EMAIL")) == Span(0, 4, "EMAIL")


@pytest.mark.parametrize("mark", ["\u0336", "\u0332", "\ufe0f", "\u20dd", "\U000e0100"])
def test_marks_drawn_over_letters_hide_nothing(mark: str) -> None:
    text = "écrire à " + "".join(letter + mark for letter in "marie@free.fr") + " ou pas"
    read = view(text)
    assert read.text == "écrire à marie@free.fr ou pas"
    [span] = [read.original(span) for span in patterns.find_emails(read.text)]
    assert replace(text, [span]) == "écrire à <EMAIL> ou pas"


def test_placeholders_are_kept_from_every_span() -> None:
    text = "Karim <PERSON> Benali"
    seen = view(text)

    spans = settle(seen.text, [Span(0, len(text), "PERSON")], seen.kept)

    assert replace(text, spans) == "<PERSON> <PERSON> <PERSON>"


def test_of_overlapping_spans_the_higher_rank_wins_and_the_rest_is_kept() -> None:
    text = "Dupont jean@free.fr"

    spans = settle(text, [Span(0, 11, "PERSON"), Span(7, 19, "EMAIL")])

    assert replace(text, spans) == "<PERSON> <EMAIL>"
