"""The tables of the spool."""

from __future__ import annotations

VERSION = 2

_CLOCK = """
CREATE TABLE clock (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    boot TEXT NOT NULL,
    steady REAL NOT NULL,
    wall REAL NOT NULL,
    time REAL NOT NULL
);
"""
SCHEMA = f"""
PRAGMA user_version = 2;
CREATE TABLE waiting (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    target TEXT NOT NULL,
    user_id TEXT NOT NULL,
    spooled_at REAL NOT NULL,
    body BLOB NOT NULL,
    owner TEXT,
    lease_until REAL
);
CREATE INDEX claimed ON waiting (owner, lease_until) WHERE owner IS NOT NULL;
CREATE TABLE refused (
    seq INTEGER PRIMARY KEY,
    target TEXT NOT NULL,
    user_id TEXT NOT NULL,
    refused_at REAL NOT NULL,
    body BLOB NOT NULL,
    field TEXT NOT NULL,
    rule TEXT NOT NULL,
    kept_since REAL
);
{_CLOCK}
"""
"""``spooled_at``, ``lease_until`` and ``kept_since`` are in the time of ``tracking.clock``."""

FROM_VERSION_1 = f"""
PRAGMA user_version = 2;
ALTER TABLE refused ADD COLUMN kept_since REAL;
{_CLOCK}
"""
