"""Rename the table of the reader's position to `cursor`."""

from alembic import op

revision = "log_0003"
down_revision = "log_0002"


def upgrade() -> None:
    op.execute("ALTER TABLE standing RENAME TO cursor")
