"""What is planted: personal data by kind, and a mark of its own for each place it is sent in."""

from __future__ import annotations

from hashlib import sha256

VALUES = {
    "phone": "06 39 98 41 27",
    "phone, abroad": "+44 20 7946 0958",
    "iban": "FR14 2004 1010 0505 0001 3M02 606",
    "card": "4970 1012 3456 7893",
    "nir": "2 84 05 75 123 456 29",
    "siret": "732 829 320 00074",
    "date of birth": "17/03/1984",
    "date of birth, ISO": "1984-03-17",
    "address": "27 bis rue des Lilas Bleus, 44300 Nantes",
    "person": "Wenceslas Kergoat-Delalande",
    "e-mail": "w.kergoat-delalande@courriel.example",
    "handle": "@wkergoat_44lilas",
    "url": "https://reseau.example/in/wkergoat-delalande",
    "ip address": "203.0.113.187",
    "ip address, version 6": "2001:db8:44:dead::beef:87",
    "person, in English": "Rosalind Featherstonehaugh",
    "address, in English": "14 Crooked Billet Lane, Much Wenlock TF13 6AA",
    "health, in English": "treated for asthma since childhood",
    "person, in German": "Adelgunde Schnabelzweig-Ähnelt",
    "person, in Cyrillic": "Святослав Кержаков-Белозёрский",
}
"""Personal data in texts, the same for all subjects; each is looked for as it is written."""

_UNSPACED = ("phone", "iban", "card", "nir", "siret")

PLACES = (
    "authorization",
    "cookie",
    "user agent",
    "referer",
    "trace",
    "idempotency key",
    "path",
    "query",
    "form",
    "packed body",
    "upload",
    "channel",
    "run",
    "file",
    "column",
)
"""Where a sender or an operator may put something that is no field of ours."""

CALLER = "33639984127"
"""A phone number by which a file of decisions names a person."""


def mark(token: str, place: str) -> str:
    """Return what is put in a place; it holds nothing of the token."""
    return f"k{sha256(f'{token} {place}'.encode()).hexdigest()[:14]}x"


def canaries(token: str) -> dict[str, str]:
    """Return what must be found nowhere afterwards, by kind.

    Args:
        token: Part of every identifier of a person, a match and a session.
    """
    unspaced = {f"{kind}, unspaced": VALUES[kind].replace(" ", "") for kind in _UNSPACED}
    places = {f"{place}, as sent": mark(token, place) for place in PLACES}
    return {"identifier": token, "phone as identifier": CALLER, **VALUES, **unspaced, **places}


def french(user: str) -> str:
    """Write a feedback in French with personal data of every kind; it is kept, redacted."""
    v = VALUES
    return (
        f"Bonjour, je m'appelle {v['person']} et je suis né le {v['date of birth']}. J'habite"
        f" {v['address']}. Mon numéro est le {v['phone']}, ou {v['phone, abroad']} quand je voyage."
        f" Vous pouvez m'écrire à {user}@example.fr ou {v['e-mail']}, voir {v['url']} et"
        f" https://{user}.example.org/moi?x={user} ou chercher {v['handle']} ou @{user} sur"
        f" Instagram. Mon IBAN est {v['iban']}, ma carte {v['card']}, ma sécurité sociale"
        f" {v['nir']} et mon SIRET {v['siret']}. Je me connecte de {v['ip address']} et de"
        f" {v['ip address, version 6']}. Née le {v['date of birth, ISO']}, ma sœur a trouvé le"
        " mentor ponctuel et très à l'écoute."
    )


def foreign(number: int) -> str:
    """Write a feedback in another language; its text is dropped."""
    v = VALUES
    english = (
        f"My mentor {v['person, in English']} was a lovely listener. She lives at"
        f" {v['address, in English']} and has been {v['health, in English']}."
    )
    german = f"Meine Mentorin {v['person, in German']} war freundlich und hat mir gut zugehört."
    russian = f"Мой наставник {v['person, in Cyrillic']} был очень внимателен, но живёт далеко."
    return (english, german, russian)[number % 3]
