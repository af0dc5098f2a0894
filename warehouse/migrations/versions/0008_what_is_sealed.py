"""Entries of the ledger and rows of people carry a seal that only who has the keys can make."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_TABLES = ("consents", "subjects")


def upgrade() -> None:
    """Make room for the seals; whoever has the keys fills those of people in."""
    for name in _TABLES:
        op.add_column(name, sa.Column("seal", sa.LargeBinary(16), nullable=True))


def downgrade() -> None:
    """Take the seals away."""
    for name in _TABLES:
        op.drop_column(name, "seal")
