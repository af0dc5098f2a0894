"""What the database refuses: to change the consent ledger, a noisy release, or a sealed block.

Made with the table wherever it is made; both engines say ``append-only``. SQLite's REPLACE
deletes without firing a delete trigger, so an entry that exists is refused on insert as well.

The sums of a block are written before the block. Once it is there they may only go, all of them,
with it, as the purge deletes it by age.
"""

from __future__ import annotations

from sqlalchemy import DDL, event

from schemas.tables import block_sums, blocks, consents, private_releases

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

_GIVEN = "BEGIN SELECT RAISE(ABORT, 'private_releases is append-only'); END"
RELEASES_SQLITE = (
    (
        "CREATE TRIGGER IF NOT EXISTS private_releases_no_update"
        f" BEFORE UPDATE ON private_releases {_GIVEN}"
    ),
    (
        "CREATE TRIGGER IF NOT EXISTS private_releases_no_delete"
        f" BEFORE DELETE ON private_releases {_GIVEN}"
    ),
    (
        "CREATE TRIGGER IF NOT EXISTS private_releases_no_replace BEFORE INSERT"
        " ON private_releases WHEN EXISTS (SELECT 1 FROM private_releases"
        f" WHERE question = NEW.question) {_GIVEN}"
    ),
)
RELEASES_POSTGRESQL = (
    POSTGRESQL[0],
    (
        "CREATE OR REPLACE TRIGGER private_releases_append_only BEFORE UPDATE OR DELETE"
        " ON private_releases FOR EACH ROW EXECUTE FUNCTION refuse_change()"
    ),
    (
        "CREATE OR REPLACE TRIGGER private_releases_no_truncate BEFORE TRUNCATE"
        " ON private_releases FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    ),
)

_SEALED = "BEGIN SELECT RAISE(ABORT, 'blocks are sealed'); END"
_BESIDE = "WHEN EXISTS (SELECT 1 FROM blocks WHERE block ="
BLOCKS_SQLITE = (
    f"CREATE TRIGGER IF NOT EXISTS blocks_no_update BEFORE UPDATE ON blocks {_SEALED}",
    (
        "CREATE TRIGGER IF NOT EXISTS blocks_no_replace BEFORE INSERT ON blocks"
        " WHEN EXISTS (SELECT 1 FROM blocks WHERE block = NEW.block"
        f" OR (since_day < NEW.until_day AND until_day > NEW.since_day)) {_SEALED}"
    ),
)
SUMS_SQLITE = (
    f"CREATE TRIGGER IF NOT EXISTS block_sums_no_update BEFORE UPDATE ON block_sums {_SEALED}",
    (
        "CREATE TRIGGER IF NOT EXISTS block_sums_no_insert BEFORE INSERT ON block_sums"
        f" {_BESIDE} NEW.block) {_SEALED}"
    ),
    (
        "CREATE TRIGGER IF NOT EXISTS block_sums_no_delete BEFORE DELETE ON block_sums"
        f" {_BESIDE} OLD.block) {_SEALED}"
    ),
)
BLOCKS_POSTGRESQL = (
    (
        "CREATE OR REPLACE FUNCTION refuse_sealed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF TG_OP IN ('UPDATE', 'TRUNCATE') THEN RAISE EXCEPTION 'blocks are sealed'; END IF;"
        " IF TG_TABLE_NAME = 'blocks' THEN"
        " IF EXISTS (SELECT 1 FROM blocks"
        " WHERE since_day < NEW.until_day AND until_day > NEW.since_day)"
        " THEN RAISE EXCEPTION 'blocks are sealed'; END IF; RETURN NEW; END IF;"
        " IF EXISTS (SELECT 1 FROM blocks WHERE block ="
        " CASE WHEN TG_OP = 'DELETE' THEN OLD.block ELSE NEW.block END)"
        " THEN RAISE EXCEPTION 'blocks are sealed'; END IF;"
        " IF TG_OP = 'DELETE' THEN RETURN OLD; END IF; RETURN NEW; END $$"
    ),
    (
        "CREATE OR REPLACE TRIGGER blocks_sealed BEFORE INSERT OR UPDATE ON blocks"
        " FOR EACH ROW EXECUTE FUNCTION refuse_sealed()"
    ),
    (
        "CREATE OR REPLACE TRIGGER blocks_no_truncate BEFORE TRUNCATE ON blocks"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_sealed()"
    ),
)
SUMS_POSTGRESQL = (
    (
        "CREATE OR REPLACE TRIGGER block_sums_sealed BEFORE INSERT OR UPDATE OR DELETE"
        " ON block_sums FOR EACH ROW EXECUTE FUNCTION refuse_sealed()"
    ),
    (
        "CREATE OR REPLACE TRIGGER block_sums_no_truncate BEFORE TRUNCATE ON block_sums"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_sealed()"
    ),
)

for _table, _dialect, _statements in (
    (consents, "sqlite", SQLITE),
    (consents, "postgresql", POSTGRESQL),
    (private_releases, "sqlite", RELEASES_SQLITE),
    (private_releases, "postgresql", RELEASES_POSTGRESQL),
    (blocks, "sqlite", BLOCKS_SQLITE),
    (blocks, "postgresql", BLOCKS_POSTGRESQL),
    (block_sums, "sqlite", SUMS_SQLITE),
    (block_sums, "postgresql", SUMS_POSTGRESQL),
):
    for _statement in _statements:
        _made = DDL(_statement).execute_if(dialect=_dialect)  # type: ignore[no-untyped-call]
        event.listen(_table, "after_create", _made)
