"""The outbox's first schema."""

from alembic import op

revision = "outbox_0001"
down_revision = None


def upgrade() -> None:
    # Certified events that are not yet in the log, oldest first. A row stays until its event is
    # applied, superseded by a later one, or too old to be applied.
    op.execute(
        """CREATE TABLE outbox (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            node_id TEXT NOT NULL,
            event TEXT NOT NULL,
            not_before REAL NOT NULL,
            sent_at REAL,
            sends INTEGER NOT NULL DEFAULT 0
        )"""
    )
