"""When the journal was created: an operator that lost its journal abstains for a while."""

from alembic import op

revision = "decisions_0003"
down_revision = "decisions_0002"


def upgrade() -> None:
    # Unix seconds. Journals that exist already are not new.
    op.execute("ALTER TABLE journal_owner ADD COLUMN since INTEGER NOT NULL DEFAULT 0")
