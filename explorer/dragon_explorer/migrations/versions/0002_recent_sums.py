"""Add the sums that are not in blocks yet."""

from alembic import op

revision = "history_0002"
down_revision = "history_0001"


def upgrade() -> None:
    # One row a minute, with the sums of all series. An hour later the sums go into blocks, and the
    # rows are deleted. A row of each series, once a minute, would write a page for each of them.
    op.execute("CREATE TABLE recent (id INTEGER PRIMARY KEY, sums BLOB NOT NULL)")
