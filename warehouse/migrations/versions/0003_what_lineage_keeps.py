"""The snapshot that a model version learned from, and when somebody left it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_COUNTS = ("since", "consent_seq", "event_seq", "withdrawn", "erased")
_TIMES = ("marked_at", "deleted_at")


def upgrade() -> None:
    """Bring the database to this revision."""
    with op.batch_alter_table("training_sets", schema=None) as batch_op:
        for name in _COUNTS:
            batch_op.add_column(
                sa.Column(name, sa.BigInteger(), server_default="0", nullable=False)
            )
        for name in _TIMES:
            batch_op.add_column(sa.Column(name, sa.BigInteger(), nullable=True))


def downgrade() -> None:
    """Take it back."""
    with op.batch_alter_table("training_sets", schema=None) as batch_op:
        for name in (*_TIMES, *_COUNTS):
            batch_op.drop_column(name)
