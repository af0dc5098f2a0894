"""Whole texts: what is replaced, what stays, what is dropped."""

import json
import socket
import subprocess
import sys
import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.redaction_corpus import make_corpus
from benchmarks.redaction_tuning import TUNING
from privacy.redaction import LONGEST, LONGEST_WORD, Redacted, _carry_back, redact, redact_lines
from privacy.spans import Span, replace
from schemas.errors import InvalidInput


def redacted(text: str) -> str | None:
    return redact([text])[0].text


def full_width(text: str) -> str:
    return "".join(chr(ord(letter) + 0xFEE0) for letter in text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Bonjour Karim, j'ai appelé Mamadou Diallo et Nolwenn Le Goff.",
            "Bonjour <PERSON>, j'ai appelé <PERSON> et <PERSON>.",
        ),
        ("M. Dupont de chez Renault à Lyon", "M. <PERSON> de chez Renault à Lyon"),
        ("je m'appelle yacine benzema", "je m'appelle <PERSON>"),
        ("Mme LE GALL ne répond pas", "Mme <PERSON> ne répond pas"),
        ("M. d'Ormesson ne répond pas", "M. <PERSON> ne répond pas"),
        ("l'équipe de N'Golo Kanté m'a plu", "l'équipe de <PERSON> m'a plu"),
        ("Cordialement,\nJean-Pierre Lefèvre", "Cordialement,\n<PERSON>"),
        ("d'après J.-P. Martin, c'est fini", "d'après <PERSON>, c'est fini"),
        ("CONTACTEZ MME ROUSSEL AU PLUS VITE", "CONTACTEZ MME <PERSON> AU PLUS VITE"),
        ("appelez Soizic ou thierry demain", "appelez <PERSON> ou <PERSON> demain"),
        ("écrivez à jean point dupont arobase free point fr", "écrivez à <EMAIL>"),
        (f"{full_width('jean@free.fr')} ou 06\u200b12\u00a034 56 78", "<EMAIL> ou <PHONE>"),
        ("joignable au 06 12\n34 56 78 demain", "joignable au <PHONE> demain"),
        (
            "J'habite 12 bis rue de la République, 69003 Lyon et c'est loin",
            "J'habite <ADDRESS> et c'est loin",
        ),
        ("ma box répond en 203.0.113.87 depuis hier", "ma box répond en <IP_ADDRESS> depuis hier"),
        ("Mme des Essarts et M de Kergariou", "Mme <PERSON> et M <PERSON>"),
        ("Refus de B. Guettaf, pas de R. Leite", "Refus de <PERSON>, pas de <PERSON>"),
        ("depuis que M.-L. Guérin et A.M. Koné", "depuis que <PERSON> et <PERSON>"),
        ("AKAR Koldan, chef de projet, était là", "<PERSON>, chef de projet, était là"),
        ("vu par M. De Vos et Mlle Le", "vu par M. <PERSON> et Mlle <PERSON>"),
        ("Retour de POPA Ionuț : motivée", "Retour de <PERSON> : motivée"),
        (
            "Mon mentor, c'est Denise, et il est super",
            "Mon mentor, c'est <PERSON>, et il est super",
        ),
        ("revu kamel el fassi et isabelle hier", "revu <PERSON> et <PERSON> hier"),
        ("NOM : VAN DEN BERGHE PRÉNOM : Hamza", "NOM : <PERSON> PRÉNOM : <PERSON>"),
        ("REFUS DE MARC RAPIN APRÈS L'ENTRETIEN", "REFUS DE <PERSON> APRÈS L'ENTRETIEN"),
        ("tél 06 12 34 56 78, mél jean@b.fr", "tél <PHONE>, mél <EMAIL>"),
        ("Marisa n'a pas répondu", "<PERSON> n'a pas répondu"),
        ("mon binôme jean est trop jeune", "mon binôme <PERSON> est trop jeune"),
        ("annulé : anne-aude était malade", "annulé : <PERSON> était malade"),
        ("Mai Nguyen est venue en mai", "<PERSON> est venue en mai"),
        ("né le 12 mai 1985, NIR 1 85 05 78 006 084 91", "né le <DATE_OF_BIRTH>, NIR <NIR>"),
    ],
)
def test_personal_data_is_replaced_by_its_type(text: str, expected: str) -> None:
    assert redacted(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "trop loin",
        "salaire trop bas",
        "bof",
        "Trop loin de Villeurbanne et de Saint-Denis",
        "Chez L'Oréal, Yves Rocher, Leroy Merlin et Michael Page",
        "Manager toxique. Turnover énorme. Fuyez.",
        "LE POSTE EST TROP LOIN ET LE SALAIRE TROP BAS",
        "Rendez-vous au lycée Victor Hugo, place de la République",
        "une pierre, une rose, la marine marchande, claire comme de l'eau",
        "Réunion le 12/03/2025 à 14h30, budget de 12 000 euros, réf. 1234567",
        "Formation Python, JavaScript, Docker et Kubernetes",
        "Monsieur le directeur et Madame la Directrice étaient absents",
        "M. le maire et Mme la présidente étaient absents",
        "Mon mari travaille ici, le mari de la gérante aussi",
        "NIR ET IBAN ABSENTS, CV TROP COURT",
        "Nom : Confidentiel. Tuteur : Aucun",
        "Je suis Ingénieure, pas Alternante ; contact : Recruteuse",
        "Poste de Cheffe ou de Psychologue demandé",
        "Bonjour Madame. Le poste me plaît",
        "Janvier ne me convient pas, plutôt Mars ou Avril",
        "Essai du 1er mars au 30 avril",
        "Doctolib n'a pas répondu",
        "Pierre angulaire du projet : la confiance",
        "Claire et nette, la réponse. Ange gardien de l'équipe",
        "Pierre à l'édifice. Pierre après pierre. Pierre d'achoppement",
        "Le mentor était en retard. Cdlt",
    ],
)
def test_what_names_nobody_stays_as_it_is(text: str) -> None:
    assert redact([text])[0] == Redacted(text, "fr", len(text), ())


@pytest.mark.parametrize(
    "text",
    [
        "J'ai pris la place de {}.",
        "Je laisse ma place à {}.",
        "Les cours de {} sont bien.",
        "Je remplace pendant l'arrêt de {}.",
        "C'est le tour de {}.",
        "La méthode de {} ne me convient pas.",
        "La salle de {} est au 2e.",
        "Le centre de {} est loin.",
        "Mise en place de {} au poste de chef.",
        "L'institut de {} est top.",
        "Le lycée de {} est loin.",
    ],
)
def test_who_has_a_place_is_a_person(text: str) -> None:
    for name in ("Julie Martin", "Laura Laporte", "Kwame Camara", "Julie"):
        assert redact([text.format(name)])[0].text == text.format("<PERSON>")


@pytest.mark.parametrize(
    "text",
    [
        "Rendez-vous place de Clichy, puis gare de Lyon",
        "Le cours de Vincennes, la tour de Pise, la place du Général Leclerc",
        "Le centre de Vénissieux et l'institut de Grenoble",
        "Les cours de Python et de Java, la salle Jean Moulin",
        "J'attends rue de Richelieu, à la porte de Saint-Cloud",
        "L'école Jules Vallès est place Victor Hugo",
    ],
)
def test_places_keep_their_names(text: str) -> None:
    assert redact([text])[0].text == text


def test_of_a_language_without_name_recogniser_only_length_and_language_are_kept() -> None:
    text = "Great talk with Sean, please call him at +44 20 7946 0958 tomorrow."

    result = redact([text])[0]

    assert (result.text, result.language, result.length) == (None, "en", len(text))
    assert [s.type for s in result.spans if s.type != "PERSON"] == ["PHONE"]


def test_the_platforms_language_without_name_recogniser_is_dropped_as_well() -> None:
    texts = ["too far", "The commute takes far too long for me."]

    results = redact(texts, own_languages=["en"])

    assert [(r.text, r.language) for r in results] == [(None, "en"), (None, "en")]


def test_an_unknown_language_code_is_refused_without_repeating_it() -> None:
    with pytest.raises(InvalidInput, match=r"own_languages: must be among .*fr") as refusal:
        redact(["bonjour"], own_languages=["klingon"])

    assert "klingon" not in str(refusal.value)


def test_spans_point_into_the_original_text() -> None:
    wide = full_width("0612345678")
    text = f"Merci Aïssa\u200btou, mon nume\u0301ro est le {wide}."

    result = redact([text])[0]

    assert [text[s.start : s.end] for s in result.spans] == [
        "Aïssa\u200btou",
        wide,
    ]
    assert replace(text, result.spans) == result.text


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 9)), max_size=5))
def test_every_character_left_is_carried_back_to_where_it_was(gaps: list[tuple[int, int]]) -> None:
    text, spans = "", []
    for gap, width in gaps:
        start = len(text) + gap
        text += "".join(chr(0x4E00 + len(text) + k) for k in range(gap + width))
        spans.append(Span(start, start + width, "PERSON"))

    left = replace(text, spans)

    for i, letter in enumerate(left):
        if not letter.isascii():
            assert text[_carry_back(Span(i, i + 1, "PERSON"), spans).start] == letter


def test_half_a_character_is_no_reason_to_fail() -> None:
    assert redacted("\ud800 appelez Karim \udfff") == "\ud800 appelez <PERSON> \udfff"


@pytest.mark.parametrize(
    "text", ["Karim " * (LONGEST // 6 + 1), "merci Karim " + "'" * (LONGEST_WORD + 1)]
)
def test_what_is_longer_than_the_limit_is_dropped_unread(text: str) -> None:
    assert redact([text])[0] == Redacted(None, "und", len(text), ())


def test_a_word_of_the_longest_length_is_read() -> None:
    assert redacted("merci Karim " + "'" * LONGEST_WORD) == "merci <PERSON> " + "'" * LONGEST_WORD


_CORPUS = [example.text for example in make_corpus(TUNING, 200, seed=4)]
_PIECES = st.one_of(
    st.sampled_from(_CORPUS),
    st.sampled_from([word for text in _CORPUS for word in text.split(" ")]),
    st.sampled_from(["<PERSON>", "<", ">", "\u0301", "\u200b", "PERSON", "<PHONE", " de ", "`"]),
    st.text(max_size=6),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(_PIECES, max_size=8).map(" ".join), min_size=1, max_size=6))
def test_redacting_again_changes_nothing(texts: list[str]) -> None:
    once = redact(texts)
    kept = [result.text for result in once if result.text is not None]

    assert [result.text for result in redact(kept)] == kept
    for text, result in zip(texts, once, strict=True):
        assert all(a.end <= b.start for a, b in zip(result.spans, result.spans[1:], strict=False))
        assert result.text in {None, replace(text, result.spans)}


def test_a_text_is_redacted_alike_alone_and_in_any_company() -> None:
    texts = _CORPUS[:40]

    assert [redact([text])[0] for text in texts] == redact(texts)


def test_composed_and_decomposed_letters_are_redacted_alike() -> None:
    text = "Hélène Quéméner m'a reçue, elle habite 3 allée des Chênes, 29000 Quimper"

    decomposed = redacted(unicodedata.normalize("NFD", text)) or ""

    assert unicodedata.normalize("NFC", decomposed) == redacted(text)


@pytest.mark.parametrize(
    "piece",
    ["a", "1 ", "1-", "a-", "a.", "@", "a@b ", "FR76 ", "Abc-", "12 rue a ", "M. Le ", "né "],
)
def test_no_text_buys_more_than_seconds(piece: str) -> None:
    redact(["Bonjour"])
    started = time.process_time()

    redact([piece * (4_000 // len(piece)) + " @"])

    assert time.process_time() - started < 10


def test_nothing_is_asked_of_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    from privacy import recognisers

    def refuse(*_: object) -> None:
        pytest.fail("redaction opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)

    fresh = recognisers.Recognisers()

    assert fresh.find(["jean@free.fr"], "fr") == [[Span(0, 12, "EMAIL")]]


def test_importing_the_module_loads_no_model_library() -> None:
    program = (
        "import sys, privacy.redaction;"
        "print([m for m in ('spacy', 'presidio_analyzer', 'numpy') if m in sys.modules])"
    )

    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    )

    assert run.stdout.strip() == "[]"


def test_lines_come_out_one_for_one_as_text() -> None:
    lines = ["trop loin\n", "\n", "appelez Karim\r\n", "The office is too far away from my home.\n"]

    assert list(redact_lines(lines)) == [
        "trop loin",
        "",
        "appelez <PERSON>",
        "<DROPPED language=en length=40>",
    ]


def test_lines_come_out_with_their_spans_as_json() -> None:
    line = next(redact_lines(["appelez Karim"], as_json=True))

    assert json.loads(line) == {
        "text": "appelez <PERSON>",
        "language": "fr",
        "length": 13,
        "spans": [{"type": "PERSON", "start": 8, "end": 13}],
    }


def test_a_dropped_line_redacted_again_stays_what_it_is() -> None:
    line = "<DROPPED language=en length=40>"

    assert list(redact_lines([line])) == [line]


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        (
            "Je suis <b>Mar</b>ie Du<i>pont</i>, je cherche un stage",
            "Je suis <b><PERSON></i>, je cherche un stage",
        ),
        ("Mon mail est marie<span>@</span>exemple.fr merci", "Mon mail est <EMAIL> merci"),
        (
            "Rappelez-moi au 06 <b>39</b> 98<!-- --> 11 22 ce soir",
            "Rappelez-moi au <PHONE> ce soir",
        ),
        ("Le poste est <b>loin</b>, le trajet trop long", None),
        (
            'Écrivez <font color="x@exemple.fr">ici</font> demain',
            'Écrivez <font color="<EMAIL>">ici</font> demain',
        ),
    ],
)
def test_markup_inside_a_line_hides_nothing(text: str, redacted: str | None) -> None:
    (found,) = redact([text])

    assert found.text == (redacted or text)
