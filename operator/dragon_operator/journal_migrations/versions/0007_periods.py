"""Reports on periods that were signed for."""

from alembic import op

revision = "decisions_0007"
down_revision = "decisions_0006"


def upgrade() -> None:
    # A row never changes. The oldest rows have the lowest ids.
    op.execute(
        """CREATE TABLE journal_period (
            id INTEGER PRIMARY KEY,
            begin INTEGER NOT NULL,
            end INTEGER NOT NULL,
            size INTEGER NOT NULL,
            nodes INTEGER NOT NULL,
            report TEXT NOT NULL,
            log_time INTEGER NOT NULL,
            UNIQUE (begin, end, size)
        )"""
    )
