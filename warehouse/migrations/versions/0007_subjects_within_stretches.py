"""Events and matches are found by stretch and subject: by subject alone, history made batches dear."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Put the subject behind what grows with time."""
    op.execute("DROP INDEX ix_events_subject")
    op.execute("DROP INDEX ix_matches_subject")
    op.execute("CREATE INDEX ix_events_stretch_subject ON events ((seq >> 17), subject)")
    op.execute("CREATE INDEX ix_matches_day_subject ON matches (day, subject)")


def downgrade() -> None:
    """Index the subjects by themselves."""
    op.execute("DROP INDEX ix_events_stretch_subject")
    op.execute("DROP INDEX ix_matches_day_subject")
    op.execute("CREATE INDEX ix_events_subject ON events (subject)")
    op.execute("CREATE INDEX ix_matches_subject ON matches (subject)")
