"""The journal's first schema."""

from alembic import op

revision = "journal_0001"
down_revision = None


def upgrade() -> None:
    # Decisions to sign, written before each signature. A row never changes.
    op.execute(
        """CREATE TABLE journal_status (
            node_id TEXT NOT NULL,
            round INTEGER NOT NULL,
            status TEXT NOT NULL,
            PRIMARY KEY (node_id, round)
        ) WITHOUT ROWID"""
    )
