"""The history's first schema."""

from alembic import op

revision = "history_0001"
down_revision = None


def upgrade() -> None:
    # Sums over equal spans of time. A row has the sums of many consecutive spans, so that one row
    # is read and written for an hour of minutes, a day of hours, or 32 days.
    op.execute(
        """CREATE TABLE blocks (
            kind TEXT NOT NULL,
            subject TEXT NOT NULL,
            source TEXT NOT NULL,
            span INTEGER NOT NULL,
            begin INTEGER NOT NULL,
            sums BLOB NOT NULL,
            PRIMARY KEY (kind, span, subject, source, begin)
        ) WITHOUT ROWID"""
    )
    op.execute("CREATE INDEX blocks_by_age ON blocks (span, begin)")
    # How the operators answered when an aggregator asked them about a change of status.
    op.execute(
        """CREATE TABLE gatherings (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            node_id TEXT NOT NULL,
            status TEXT NOT NULL,
            timestamp INTEGER NOT NULL,
            aggregator TEXT NOT NULL,
            answers TEXT NOT NULL,
            UNIQUE (node_id, status, timestamp, aggregator)
        )"""
    )
