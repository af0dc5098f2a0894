"""What the database itself refuses: to change or to delete an entry of the consent ledger.

Made with the table wherever it is made; both engines say ``append-only``. SQLite's REPLACE
deletes without firing a delete trigger, so an entry that exists is refused on insert as well.
"""

from __future__ import annotations

from sqlalchemy import DDL, event

from schemas.tables import consents

_REFUSE = "BEGIN SELECT RAISE(ABORT, 'consents is append-only'); END"
SQLITE = (
    f"CREATE TRIGGER IF NOT EXISTS consents_no_update BEFORE UPDATE ON consents {_REFUSE}",
    f"CREATE TRIGGER IF NOT EXISTS consents_no_delete BEFORE DELETE ON consents {_REFUSE}",
    (
        "CREATE TRIGGER IF NOT EXISTS consents_no_replace BEFORE INSERT ON consents"
        " WHEN EXISTS (SELECT 1 FROM consents WHERE seq = NEW.seq OR"
        f" consent_id = NEW.consent_id OR entry_hash = NEW.entry_hash) {_REFUSE}"
    ),
)
POSTGRESQL = (
    (
        "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION '%% is append-only', TG_TABLE_NAME; END $$"
    ),
    (
        "CREATE OR REPLACE TRIGGER consents_append_only BEFORE UPDATE OR DELETE ON consents"
        " FOR EACH ROW EXECUTE FUNCTION refuse_change()"
    ),
    (
        "CREATE OR REPLACE TRIGGER consents_no_truncate BEFORE TRUNCATE ON consents"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    ),
)

for _dialect, _statements in (("sqlite", SQLITE), ("postgresql", POSTGRESQL)):
    for _statement in _statements:
        _made = DDL(_statement).execute_if(dialect=_dialect)  # type: ignore[no-untyped-call]
        event.listen(consents, "after_create", _made)
