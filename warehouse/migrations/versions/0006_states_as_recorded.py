"""A person's state has the time of the entry that explains it, also where a clock was set back."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Take the time from the newest entry of each person."""
    op.execute(
        "UPDATE subjects SET updated_at = newest.recorded_at FROM consents AS newest"
        " WHERE newest.seq = (SELECT MAX(seq) FROM consents"
        " WHERE consents.ledger_id = subjects.ledger_id)"
    )


def downgrade() -> None:
    """Leave the times: they fit an older version as well."""
