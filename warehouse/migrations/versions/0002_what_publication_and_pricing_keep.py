"""What publication and pricing keep."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TRIGGERS = {
    "sqlite": (
        (
            "CREATE TRIGGER IF NOT EXISTS blocks_no_update BEFORE UPDATE ON blocks BEGIN "
            "SELECT RAISE(ABORT, 'blocks are sealed'); END"
        ),
        (
            "CREATE TRIGGER IF NOT EXISTS blocks_no_replace BEFORE INSERT ON blocks WHEN "
            "EXISTS (SELECT 1 FROM blocks WHERE block = NEW.block OR (since_day < "
            "NEW.until_day AND until_day > NEW.since_day)) BEGIN SELECT RAISE(ABORT, 'blocks "
            "are sealed'); END"
        ),
        (
            "CREATE TRIGGER IF NOT EXISTS block_sums_no_update BEFORE UPDATE ON block_sums "
            "BEGIN SELECT RAISE(ABORT, 'blocks are sealed'); END"
        ),
        (
            "CREATE TRIGGER IF NOT EXISTS block_sums_no_insert BEFORE INSERT ON block_sums "
            "WHEN EXISTS (SELECT 1 FROM blocks WHERE block = NEW.block) BEGIN SELECT "
            "RAISE(ABORT, 'blocks are sealed'); END"
        ),
        (
            "CREATE TRIGGER IF NOT EXISTS block_sums_no_delete BEFORE DELETE ON block_sums "
            "WHEN EXISTS (SELECT 1 FROM blocks WHERE block = OLD.block) BEGIN SELECT "
            "RAISE(ABORT, 'blocks are sealed'); END"
        ),
    ),
    "postgresql": (
        (
            "CREATE OR REPLACE FUNCTION refuse_sealed() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN IF TG_OP IN ('UPDATE', 'TRUNCATE') THEN RAISE EXCEPTION 'blocks are "
            "sealed'; END IF; IF TG_TABLE_NAME = 'blocks' THEN IF EXISTS (SELECT 1 FROM "
            "blocks WHERE since_day < NEW.until_day AND until_day > NEW.since_day) THEN RAISE"
            " EXCEPTION 'blocks are sealed'; END IF; RETURN NEW; END IF; IF EXISTS (SELECT 1 "
            "FROM blocks WHERE block = CASE WHEN TG_OP = 'DELETE' THEN OLD.block ELSE "
            "NEW.block END) THEN RAISE EXCEPTION 'blocks are sealed'; END IF; IF TG_OP = "
            "'DELETE' THEN RETURN OLD; END IF; RETURN NEW; END $$"
        ),
        (
            "CREATE OR REPLACE TRIGGER blocks_sealed BEFORE INSERT OR UPDATE ON blocks FOR "
            "EACH ROW EXECUTE FUNCTION refuse_sealed()"
        ),
        (
            "CREATE OR REPLACE TRIGGER blocks_no_truncate BEFORE TRUNCATE ON blocks FOR EACH "
            "STATEMENT EXECUTE FUNCTION refuse_sealed()"
        ),
        (
            "CREATE OR REPLACE TRIGGER block_sums_sealed BEFORE INSERT OR UPDATE OR DELETE ON"
            " block_sums FOR EACH ROW EXECUTE FUNCTION refuse_sealed()"
        ),
        (
            "CREATE OR REPLACE TRIGGER block_sums_no_truncate BEFORE TRUNCATE ON block_sums "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_sealed()"
        ),
    ),
}


def upgrade() -> None:
    """What publication and pricing keep."""
    op.create_table(
        "private_releases",
        sa.Column("question", sa.LargeBinary(length=32), nullable=False),
        sa.Column("since_day", sa.Integer(), nullable=False),
        sa.Column("until_day", sa.Integer(), nullable=False),
        sa.Column("epsilon_micro", sa.BigInteger(), nullable=False),
        sa.Column("rows_per_subject", sa.Integer(), nullable=False),
        sa.Column("released_at", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.CheckConstraint("epsilon_micro > 0", name=op.f("ck_private_releases_epsilon_micro")),
        sa.PrimaryKeyConstraint("question", name=op.f("pk_private_releases")),
    )
    op.create_table(
        "shadow_prices",
        sa.Column("facet", sa.String(length=64), nullable=False),
        sa.Column("threshold", sa.Float(), nullable=False),
        sa.Column("pairs", sa.BigInteger(), nullable=False),
        sa.Column("forbidden", sa.BigInteger(), nullable=False),
        sa.Column("rounds", sa.Integer(), nullable=False),
        sa.Column("cost", sa.Float(), nullable=False),
        sa.Column("lower", sa.Float(), nullable=True),
        sa.Column("upper", sa.Float(), nullable=True),
        sa.Column("model_version", sa.String(length=64), nullable=False),
        sa.Column("priced_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("facet", name=op.f("pk_shadow_prices")),
    )
    op.create_table(
        "tallies",
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("figure", sa.String(length=32), nullable=False),
        sa.Column("rule", sa.String(length=64), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "figure", "rule", name=op.f("pk_tallies")),
    )
    with op.batch_alter_table("block_sums", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("fk_block_sums_block"), type_="foreignkey")
        batch_op.create_foreign_key(
            batch_op.f("fk_block_sums_block"),
            "blocks",
            ["block"],
            ["block"],
            ondelete="CASCADE",
            initially="DEFERRED",
            deferrable=True,
        )

    with op.batch_alter_table("leases", schema=None) as batch_op:
        batch_op.add_column(sa.Column("finished_at", sa.BigInteger(), nullable=True))
    for statement in _TRIGGERS[op.get_bind().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    """Take it back."""
    names = ("blocks_no_update", "blocks_no_replace", "block_sums_no_update")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION refuse_sealed() CASCADE")
    else:
        for name in (*names, "block_sums_no_insert", "block_sums_no_delete"):
            op.execute(f"DROP TRIGGER {name}")
    with op.batch_alter_table("leases", schema=None) as batch_op:
        batch_op.drop_column("finished_at")

    with op.batch_alter_table("block_sums", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("fk_block_sums_block"), type_="foreignkey")
        batch_op.create_foreign_key(
            batch_op.f("fk_block_sums_block"), "blocks", ["block"], ["block"], ondelete="CASCADE"
        )

    op.drop_table("tallies")
    op.drop_table("shadow_prices")
    op.drop_table("private_releases")
