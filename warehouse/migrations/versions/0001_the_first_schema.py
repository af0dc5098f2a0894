"""The first schema.

What stands here never changes: databases exist that have it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_REFUSE = "BEGIN SELECT RAISE(ABORT, 'consents is append-only'); END"
_TRIGGERS = {
    "sqlite": (
        f"CREATE TRIGGER consents_no_update BEFORE UPDATE ON consents {_REFUSE}",
        f"CREATE TRIGGER consents_no_delete BEFORE DELETE ON consents {_REFUSE}",
        (
            "CREATE TRIGGER consents_no_replace BEFORE INSERT ON consents"
            " WHEN EXISTS (SELECT 1 FROM consents WHERE seq = NEW.seq OR"
            f" consent_id = NEW.consent_id OR entry_hash = NEW.entry_hash) {_REFUSE}"
        ),
    ),
    "postgresql": (
        (
            "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
        ),
        (
            "CREATE TRIGGER consents_append_only BEFORE UPDATE OR DELETE ON consents"
            " FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        ),
        (
            "CREATE TRIGGER consents_no_truncate BEFORE TRUNCATE ON consents"
            " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        ),
    ),
}


def upgrade() -> None:
    """The first schema."""
    op.create_table(
        "accounts",
        sa.Column("counter", sa.String(length=32), nullable=False),
        sa.Column("rule", sa.String(length=96), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("counter", "rule", name=op.f("pk_accounts")),
    )
    op.create_table(
        "api_keys",
        sa.Column("key_id", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("scopes", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("key_id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("hash", name=op.f("uq_api_keys_hash")),
    )
    op.create_table(
        "blocks",
        sa.Column(
            "block",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("since_day", sa.Integer(), nullable=False),
        sa.Column("until_day", sa.Integer(), nullable=False),
        sa.Column("subjects", sa.Integer(), nullable=False),
        sa.Column("sealed_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("since_day < until_day", name=op.f("ck_blocks_half_open")),
        sa.PrimaryKeyConstraint("block", name=op.f("pk_blocks")),
        sa.UniqueConstraint("since_day", name=op.f("uq_blocks_since_day")),
        sa.UniqueConstraint("until_day", name=op.f("uq_blocks_until_day")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "consents",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("consent_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("ledger_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("analytics", sa.Boolean(), nullable=False),
        sa.Column("preferences", sa.Boolean(), nullable=False),
        sa.Column("improvement", sa.Boolean(), nullable=False),
        sa.Column("notice_version", sa.String(length=32), nullable=False),
        sa.Column("notice_sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("channel", sa.String(length=32), nullable=False),
        sa.Column("address_hash", sa.LargeBinary(length=16), nullable=True),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("previous_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("entry_hash", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_consents")),
        sa.UniqueConstraint("consent_id", name=op.f("uq_consents_consent_id")),
        sa.UniqueConstraint("entry_hash", name=op.f("uq_consents_entry_hash")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("consents", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_consents_ledger_id"), ["ledger_id"], unique=False)

    op.create_table(
        "drift_days",
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("feature", sa.String(length=96), nullable=False),
        sa.Column("measure", sa.String(length=32), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("bound", sa.Float(), nullable=False),
        sa.Column("model_version", sa.String(length=64), nullable=False),
        sa.Column("compared_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "feature", "measure", name=op.f("pk_drift_days")),
    )
    op.create_table(
        "erasures",
        sa.Column("request", sa.String(length=36), nullable=False),
        sa.Column("subject", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("requested_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("report", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("request", name=op.f("pk_erasures")),
    )
    with op.batch_alter_table("erasures", schema=None) as batch_op:
        batch_op.create_index("ix_erasures_state", ["state"], unique=False)

    op.create_table(
        "events",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("event_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("subject", sa.BigInteger(), nullable=False),
        sa.Column("match_key", sa.BigInteger(), nullable=False),
        sa.Column("session_key", sa.BigInteger(), nullable=True),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("texts", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_events")),
    )
    with op.batch_alter_table("events", schema=None) as batch_op:
        batch_op.create_index("ix_events_occurred_at", ["occurred_at"], unique=False)
        batch_op.create_index("ix_events_subject", ["subject"], unique=False)

    op.create_table(
        "leases",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.String(length=64), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.create_table(
        "matches",
        sa.Column("match_key", sa.BigInteger(), nullable=False),
        sa.Column("subject", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("first_at", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.Column("proposed_at", sa.BigInteger(), nullable=True),
        sa.Column("proposed_event", sa.LargeBinary(length=16), nullable=True),
        sa.Column("match_score", sa.Float(), nullable=True),
        sa.Column("alternatives_count", sa.Integer(), nullable=True),
        sa.Column("propensity", sa.Float(), nullable=True),
        sa.Column("model_version", sa.String(length=64), server_default="", nullable=False),
        sa.Column("parameters", sa.Text(), server_default="{}", nullable=False),
        sa.Column("constraints", sa.Text(), server_default="{}", nullable=False),
        sa.Column("views", sa.Integer(), server_default="0", nullable=False),
        sa.Column("view_ms", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("viewed_whole", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.Column("decided_event", sa.LargeBinary(length=16), nullable=True),
        sa.Column("accepted", sa.Boolean(), nullable=True),
        sa.Column("decision_ms", sa.BigInteger(), nullable=True),
        sa.Column("rated_at", sa.BigInteger(), nullable=True),
        sa.Column("rated_event", sa.LargeBinary(length=16), nullable=True),
        sa.Column("rating", sa.Integer(), nullable=True),
        sa.Column("completed_at", sa.BigInteger(), nullable=True),
        sa.Column("completed_event", sa.LargeBinary(length=16), nullable=True),
        sa.Column("completed", sa.Boolean(), nullable=True),
        sa.Column("duration_days", sa.Float(), nullable=True),
        sa.Column("completion_rate", sa.Float(), nullable=True),
        sa.CheckConstraint(
            "(decided_at IS NULL) = (accepted IS NULL)", name=op.f("ck_matches_decision")
        ),
        sa.CheckConstraint("match_score BETWEEN 0 AND 1", name=op.f("ck_matches_match_score")),
        sa.CheckConstraint("rating BETWEEN 1 AND 5", name=op.f("ck_matches_rating")),
        sa.PrimaryKeyConstraint("match_key", "subject", name=op.f("pk_matches")),
    )
    with op.batch_alter_table("matches", schema=None) as batch_op:
        batch_op.create_index("ix_matches_day", ["day", "match_key"], unique=False)
        batch_op.create_index("ix_matches_subject", ["subject"], unique=False)

    op.create_table(
        "metric_sums",
        sa.Column("measure", sa.String(length=32), nullable=False),
        sa.Column("facet", sa.String(length=64), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("model_version", sa.String(length=64), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "measure", "facet", "day", "model_version", name=op.f("pk_metric_sums")
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "published_weights",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("published_at", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_published_weights")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "purges",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("run", sa.String(length=36), nullable=False),
        sa.Column("data_class", sa.String(length=32), nullable=False),
        sa.Column("cutoff", sa.BigInteger(), nullable=False),
        sa.Column("deleted", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_purges")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "receipts",
        sa.Column("event_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=16), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_receipts")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "rejected",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("event_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("subject", sa.BigInteger(), nullable=False),
        sa.Column("match_key", sa.BigInteger(), nullable=False),
        sa.Column("session_key", sa.BigInteger(), nullable=True),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("sealed_day", sa.Integer(), nullable=True),
        sa.Column("reasons", sa.Text(), nullable=False),
        sa.Column("rejected_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_rejected")),
    )
    with op.batch_alter_table("rejected", schema=None) as batch_op:
        batch_op.create_index("ix_rejected_subject", ["subject"], unique=False)

    op.create_table(
        "runs",
        sa.Column("run", sa.String(length=36), nullable=False),
        sa.Column("flow", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("requested_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("run", name=op.f("pk_runs")),
    )
    op.create_table(
        "staged",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("event_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("subject", sa.BigInteger(), nullable=False),
        sa.Column("match_key", sa.BigInteger(), nullable=False),
        sa.Column("session_key", sa.BigInteger(), nullable=True),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("sealed_day", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_staged")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "subjects",
        sa.Column("subject", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("pseudonym", sa.LargeBinary(length=32), nullable=False),
        sa.Column("key_id", sa.String(length=16), nullable=False),
        sa.Column("ledger_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("analytics", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("preferences", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("improvement", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("notice_version", sa.String(length=32), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("counted", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("erasing", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.CheckConstraint("subject > 0", name=op.f("ck_subjects_subject")),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_subjects")),
        sa.UniqueConstraint("ledger_id", name=op.f("uq_subjects_ledger_id")),
        sa.UniqueConstraint("pseudonym", name=op.f("uq_subjects_pseudonym")),
    )
    op.create_table(
        "training_sets",
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("subjects", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("consent_digest", sa.String(length=64), nullable=False),
        sa.Column("as_of", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_training_sets")),
    )
    op.create_table(
        "versions",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_versions")),
    )
    op.create_table(
        "block_sums",
        sa.Column("block", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("measure", sa.String(length=32), nullable=False),
        sa.Column("facet", sa.String(length=64), nullable=False),
        sa.Column("model_version", sa.String(length=64), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["block"], ["blocks.block"], name=op.f("fk_block_sums_block"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint(
            "block", "measure", "facet", "model_version", name=op.f("pk_block_sums")
        ),
    )
    for statement in _TRIGGERS[op.get_bind().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    """Take it back."""
    op.drop_table("block_sums")
    op.drop_table("versions")
    op.drop_table("training_sets")
    op.drop_table("subjects")
    op.drop_table("staged")
    op.drop_table("runs")
    with op.batch_alter_table("rejected", schema=None) as batch_op:
        batch_op.drop_index("ix_rejected_subject")

    op.drop_table("rejected")
    op.drop_table("receipts")
    op.drop_table("purges")
    op.drop_table("published_weights")
    op.drop_table("metric_sums")
    with op.batch_alter_table("matches", schema=None) as batch_op:
        batch_op.drop_index("ix_matches_subject")
        batch_op.drop_index("ix_matches_day")

    op.drop_table("matches")
    op.drop_table("leases")
    with op.batch_alter_table("events", schema=None) as batch_op:
        batch_op.drop_index("ix_events_subject")
        batch_op.drop_index("ix_events_occurred_at")

    op.drop_table("events")
    with op.batch_alter_table("erasures", schema=None) as batch_op:
        batch_op.drop_index("ix_erasures_state")

    op.drop_table("erasures")
    op.drop_table("drift_days")
    with op.batch_alter_table("consents", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_consents_ledger_id"))

    op.drop_table("consents")
    op.drop_table("blocks")
    op.drop_table("api_keys")
    op.drop_table("accounts")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION refuse_change()")
