"""Add what was proven of each window: null in streams without readings, and in old events."""

from alembic import op

revision = "log_0008"
down_revision = "log_0007"


def upgrade() -> None:
    op.execute("ALTER TABLE windows ADD COLUMN statement TEXT")
