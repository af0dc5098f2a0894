"""Give one person what is held about them, and nothing about anyone else.

A match is named by a pseudonym made for this export alone: it shows which rows belong together
and leads nowhere else.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import select

from schemas.clock import moment
from schemas.tables import consents, events, matches, rejected, staged, subjects
from warehouse.engine import reading

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection, Engine, Table

_HIDDEN = frozenset(
    {
        "seq",
        "subject",
        "session_key",
        "sealed",
        "sealed_day",
        "ledger_id",
        "previous_hash",
        "entry_hash",
        "address_hash",
    }
)
"""Columns that say nothing about a person, or only by keys that they do not hold."""

_JSON = frozenset({"payload", "texts", "parameters", "constraints", "reasons"})


def export(engine: Engine, subject: int) -> dict[str, Any]:
    """Read everything about a subject.

    Args:
        engine: The database.
        subject: Their number.

    Returns:
        Their consent of now and its history, their events (waiting, kept and rejected) and
        matches, ready to be written as JSON. Free texts that wait in staging are sealed; that
        they are there is said by ``has_sealed_text``.
    """
    key = secrets.token_bytes(32)
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
        return {
            "status": "success",
            "consent": {
                "analytics": person["analytics"],
                "preferences": person["preferences"],
                "improvement": person["improvement"],
                "notice_version": person["notice_version"],
                "updated_at": moment(person["updated_at"]).isoformat(),
            },
            "consent_history": [_plain(row, key) for row in history],
            "events": {
                name: _rows(connection, table, subject, key)
                for name, table in (
                    ("waiting", staged),
                    ("kept", events),
                    ("rejected", rejected),
                )
            },
            "matches": _rows(connection, matches, subject, key),
        }


def _rows(connection: Connection, table: Table, subject: int, key: bytes) -> list[dict[str, Any]]:
    order = table.c.first_at if "first_at" in table.c else table.c.seq
    rows = connection.execute(select(table).where(table.c.subject == subject).order_by(order))
    return [_plain(row, key) for row in rows.mappings()]


def _plain(row: Mapping[Any, Any], key: bytes) -> dict[str, Any]:
    """Return a row as JSON can hold it: times as text, ids as hex, the match renamed."""
    plain = {
        str(name): _value(str(name), value, key)
        for name, value in row.items()
        if name not in _HIDDEN
    }
    if row.get("sealed") is not None:
        plain["has_sealed_text"] = True
    return plain


def _value(name: str, value: Any, key: bytes) -> Any:
    if value is None:
        return None
    if name == "match_key":
        return hmac.digest(key, str(value).encode(), hashlib.sha256)[:8].hex()
    if name.endswith("_at"):
        return moment(value).isoformat()
    if name in _JSON:
        return _decoded(value)
    return value.hex() if isinstance(value, bytes) else value


def _decoded(value: Any) -> Any:
    try:
        return msgspec.json.decode(value)
    except ValueError:
        return None
