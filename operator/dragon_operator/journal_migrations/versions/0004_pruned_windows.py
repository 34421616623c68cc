"""When a verdict was decided, and which streams' decisions were deleted.

Decisions on windows of streams that were never certified were kept for ever.
"""

from alembic import op

revision = "decisions_0004"
down_revision = "decisions_0003"


def upgrade() -> None:
    # Unix seconds, the start of a round. Decisions that exist already count as the oldest.
    for table in ("journal_window", "journal_refuted"):
        op.execute(f"ALTER TABLE {table} ADD COLUMN timestamp INTEGER NOT NULL DEFAULT 0")
    # Highest number of a window whose decision was deleted, of all streams in a bucket.
    op.execute(
        """CREATE TABLE journal_pruned (
            bucket INTEGER PRIMARY KEY,
            number INTEGER NOT NULL
        )"""
    )
