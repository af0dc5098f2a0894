"""Give one person what is held about them, why, and what was made of it; nothing of anyone else.

A match and a session are named by pseudonyms made for this export alone: they show which rows
belong together and lead nowhere else. Free texts that wait are opened for the person themselves.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import secrets
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import select

from schemas.clock import iso_day, moment
from schemas.data_map import STORES, TABLES, Personal
from schemas.tables import (
    consents,
    events,
    matches,
    published_weights,
    rejected,
    staged,
    subjects,
    training_sets,
)
from warehouse.by_subject import of_subject
from warehouse.engine import reading
from warehouse.lineage import unbooked_note, versions_of
from warehouse.purposes import Ground, on_ground

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Engine, Table

    from schemas.settings import Settings

    OpenTexts = Callable[[bytes, bytes, int], list[str] | None]

_HIDDEN = frozenset(
    {
        "seq",
        "subject",
        "sealed",
        "sealed_day",
        "ledger_id",
        "previous_hash",
        "entry_hash",
        "seal",
        "address_hash",
    }
)
"""Columns that say nothing about a person, or only by keys that they do not hold."""

_RENAMED = frozenset({"match_key", "session_key"})
_JSON = frozenset({"payload", "texts", "parameters", "constraints", "reasons"})

SOURCE = "what the platform sent about the person's own matches, and the person's own answers"
LOGIC = (
    "A match is scored by a sum: each constraint's satisfaction, from 0 to 1, times the weight that"
    " was learned for it from the decisions of those who allow it. The weights are the same for"
    " everybody. A proposal's contributions are its own satisfactions times these weights. Where"
    " the platform ranks by the model itself, the score also depends on the other options of the"
    " person and of the partner and, of who allows preferences, on the share of earlier proposals"
    " that they accepted; a weight is then what its constraint adds, all else being equal."
)


@on_ground(Ground.ACCESS)
def export(
    engine: Engine, subject: int, settings: Settings, open_texts: OpenTexts
) -> dict[str, Any]:
    """Read everything about a subject.

    Args:
        engine: The database.
        subject: Their number.
        settings: Say how long things are kept.
        open_texts: Opens the sealed texts of an event: sealed bytes, event id, day of the key.

    Returns:
        Ready for JSON: their consent and its history, their events (waiting, kept and rejected)
        and matches, which model versions learned from them, how their scores are made, and for
        what, from where and how long all that is held.
    """
    maker = _Maker(secrets.token_bytes(32), open_texts)
    with reading(engine) as connection:
        person = (
            connection.execute(select(subjects).where(subjects.c.subject == subject))
            .mappings()
            .one()
        )
        history = connection.execute(
            select(consents)
            .where(consents.c.ledger_id == person["ledger_id"])
            .order_by(consents.c.seq)
        ).mappings()
        held = _rows(connection, matches, subject, maker)
        return {
            "status": "success",
            "about": _about(settings),
            "consent": {
                "analytics": person["analytics"],
                "preferences": person["preferences"],
                "improvement": person["improvement"],
                "notice_version": person["notice_version"],
                "updated_at": moment(person["updated_at"]).isoformat(),
            },
            "consent_history": [maker.plain(row) for row in history],
            "events": {
                name: _rows(connection, table, subject, maker)
                for name, table in (
                    ("waiting", staged),
                    ("kept", events),
                    ("rejected", rejected),
                )
            },
            "matches": held,
            "learned_from_by": _versions(connection, subject),
            "unbooked_versions": unbooked_note(connection),
            "scores": _scores(connection, held),
        }


def export_person(
    engine: Engine, people: Sequence[int], settings: Settings, open_texts: OpenTexts
) -> dict[str, Any]:
    """Do what ``export`` does for a person, also for one who is more than one subject.

    Args:
        engine: The database.
        people: Their numbers, the one that answers now first.
        settings: Say how long things are kept.
        open_texts: As for ``export``.

    Returns:
        The export of the first; where there are others, theirs as ``also_held``.
    """
    first, *others = (export(engine, subject, settings, open_texts) for subject in people)
    return first | ({"also_held": others} if others else {})


def _about(settings: Settings) -> dict[str, Any]:
    """Say for what, from where and how long each kind of personal data is held."""
    return {
        "source": SOURCE,
        "held": {
            name: {"purpose": held.purpose, "kept": _kept(held.kept, settings)}
            for name, held in TABLES.items()
            if any(personal is not Personal.NO for personal, _ in held.columns.values())
        },
        "beside_the_database": {
            name: {"holds": store.holds, "personal": store.personal}
            for name, store in STORES.items()
        },
    }


def _kept(limit: str, settings: Settings) -> str:
    return f"{getattr(settings, limit)} days" if hasattr(settings, limit) else limit


@on_ground(Ground.ACCESS)
def _rows(
    connection: Connection, table: Table, subject: int, maker: _Maker
) -> list[dict[str, Any]]:
    order = table.c.first_at if "first_at" in table.c else table.c.seq
    theirs = of_subject(connection, table, subject)
    rows = connection.execute(select(table).where(theirs).order_by(order))
    return [maker.plain(row) for row in rows.mappings()]


def _versions(connection: Connection, subject: int) -> list[dict[str, Any]]:
    """List the versions of the model that learned from a subject."""
    named = training_sets.c.version.in_(versions_of(connection, subject))
    columns = training_sets.c.version, training_sets.c.as_of, training_sets.c.outcome
    rows = connection.execute(select(*columns).where(named).order_by(training_sets.c.as_of))
    return [
        {"version": version, "read_at": moment(as_of).isoformat(), "outcome": outcome}
        for version, as_of, outcome in rows
    ]


def _scores(connection: Connection, held: list[dict[str, Any]]) -> dict[str, Any]:
    """Say how scores are made: the champion's weights, and what they make of each proposal."""
    newest = published_weights.c.seq.desc()
    document = connection.execute(
        select(published_weights.c.document).order_by(newest).limit(1)
    ).scalar()
    champion: dict[str, Any] = msgspec.json.decode(document) if document else {}
    weights = {entry["name"]: entry["weight"] for entry in champion.get("weights", [])}
    return {
        "logic": LOGIC,
        "version": champion.get("version"),
        "weights": champion.get("weights", []),
        "contributions": [
            {
                "match_key": row["match_key"],
                "by_constraint": {
                    name: round(weight * _satisfaction(row, name), 6)
                    for name, weight in weights.items()
                    if _satisfaction(row, name) is not None
                },
            }
            for row in held
            if row["proposed_at"] is not None
        ],
    }


def _satisfaction(row: Mapping[str, Any], name: str) -> Any:
    known = (row["constraints"] or {}) | {"match_score": row["match_score"]}
    return known.get(name)


class _Maker:
    """Makes rows that JSON can hold: times as text, ids as hex, matches renamed, texts open."""

    def __init__(self, key: bytes, open_texts: OpenTexts) -> None:
        self._key = key
        self._open_texts = open_texts

    def plain(self, row: Mapping[Any, Any]) -> dict[str, Any]:
        found = {
            str(name): self._value(str(name), value)
            for name, value in row.items()
            if name not in _HIDDEN
        }
        if row.get("sealed") is not None:
            opened = self._open_texts(row["sealed"], row["event_id"], row["sealed_day"])
            found |= {"has_sealed_text": True, "sealed_texts": opened}
        return found

    def _value(self, name: str, value: Any) -> Any:
        if value is None:
            return None
        if name in _RENAMED:
            return hmac.digest(self._key, f"{name} {value}".encode(), hashlib.sha256)[:8].hex()
        if name.endswith("_at"):
            return moment(value).isoformat()
        if name == "day":
            return iso_day(value)
        if name in _JSON:
            return _decoded(value)
        return value.hex() if isinstance(value, bytes) else value


def _decoded(value: Any) -> Any:
    try:
        return msgspec.json.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def as_csv(exported: Mapping[str, Any]) -> str:
    """Return an export as a table: part, row, field, value; a value inside is a path of fields."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["part", "row", "field", "value"])
    for part, content in exported.items():
        if isinstance(content, dict) and all(isinstance(rows, list) for rows in content.values()):
            parts = {f"{part}.{name}": rows for name, rows in content.items()}
        else:
            parts = {part: content if isinstance(content, list) else [content]}
        for name, rows in parts.items():
            for number, row in enumerate(rows, 1):
                writer.writerows([name, number, *cell] for cell in _cells(row))
    return out.getvalue()


def _cells(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict | list):
        entries = value.items() if isinstance(value, dict) else enumerate(value, 1)
        for name, inner in entries:
            yield from _cells(inner, f"{path}.{name}" if path else str(name))
    else:
        yield path, _safe(value)


def _safe(value: Any) -> Any:
    """Keep a spreadsheet from taking a text for a formula."""
    formula = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{value}" if formula else value
