"""When it was noticed that the journal lacks what the operator has signed."""

from alembic import op

revision = "decisions_0006"
down_revision = "decisions_0005"


def upgrade() -> None:
    op.execute(
        """CREATE TABLE journal_gap (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            noticed_at INTEGER NOT NULL
        )"""
    )
