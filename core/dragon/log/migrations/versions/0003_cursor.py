"""The table of the reader's position is called what it is: a cursor."""

from alembic import op

revision = "log_0003"
down_revision = "log_0002"


def upgrade() -> None:
    op.execute("ALTER TABLE standing RENAME TO cursor")
