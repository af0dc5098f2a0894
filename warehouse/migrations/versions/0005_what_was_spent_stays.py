"""What noisy releases cost can neither be changed nor deleted."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_REFUSE = "BEGIN SELECT RAISE(ABORT, 'private_releases is append-only'); END"
_TRIGGERS = {
    "sqlite": {
        "private_releases_no_update": f"BEFORE UPDATE ON private_releases {_REFUSE}",
        "private_releases_no_delete": f"BEFORE DELETE ON private_releases {_REFUSE}",
        "private_releases_no_replace": (
            "BEFORE INSERT ON private_releases WHEN EXISTS (SELECT 1 FROM private_releases"
            f" WHERE question = NEW.question) {_REFUSE}"
        ),
    },
    "postgresql": {
        "private_releases_append_only": (
            "BEFORE UPDATE OR DELETE ON private_releases"
            " FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        ),
        "private_releases_no_truncate": (
            "BEFORE TRUNCATE ON private_releases"
            " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        ),
    },
}


def upgrade() -> None:
    """Bring the database to this revision."""
    for name, what in _TRIGGERS[op.get_bind().dialect.name].items():
        op.execute(f"CREATE TRIGGER {name} {what}")


def downgrade() -> None:
    """Take it back."""
    postgres = op.get_bind().dialect.name == "postgresql"
    for name in _TRIGGERS[op.get_bind().dialect.name]:
        op.execute(f"DROP TRIGGER {name}" + (" ON private_releases" if postgres else ""))
