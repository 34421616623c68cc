"""The column that events of one subject share is called what it is: an ordering key."""

from alembic import op

revision = "outbox_0002"
down_revision = "outbox_0001"


def upgrade() -> None:
    op.execute("ALTER TABLE outbox RENAME COLUMN node_id TO ordering_key")
