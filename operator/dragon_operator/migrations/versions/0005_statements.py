"""Add what was verified of each window: null in streams without readings, and in old verdicts."""

from alembic import op

revision = "journal_0005"
down_revision = "journal_0004"


def upgrade() -> None:
    op.execute("ALTER TABLE verdicts ADD COLUMN statement TEXT")
