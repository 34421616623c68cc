"""Decisions on checkpoints and on totals."""

from alembic import op

revision = "journal_0002"
down_revision = "journal_0001"

TABLES = (
    "CREATE TABLE journal_checkpoint (size INTEGER PRIMARY KEY, root TEXT NOT NULL)",
    """CREATE TABLE journal_downtime (
        node_id TEXT NOT NULL,
        begin INTEGER NOT NULL,
        end INTEGER NOT NULL,
        size INTEGER NOT NULL,
        totals TEXT NOT NULL,
        decided_at INTEGER NOT NULL,
        PRIMARY KEY (node_id, begin, end, size)
    ) WITHOUT ROWID""",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
