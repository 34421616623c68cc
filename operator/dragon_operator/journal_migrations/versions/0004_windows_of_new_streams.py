"""When verdicts were signed, so that those about streams nobody certified can be forgotten.

Each stream without a certified window left its rows for ever, and anyone can make streams.
"""

from alembic import op

revision = "decisions_0004"
down_revision = "decisions_0003"


def upgrade() -> None:
    for table in ("journal_window", "journal_refuted"):
        # Timestamp of the newest signed claim in Unix seconds, and whether its stream had no
        # window in the log then. Rows that exist already were signed before now by any clock that
        # the peers confirmed, and belong to streams that may be certified.
        op.execute(f"ALTER TABLE {table} ADD COLUMN signed INTEGER NOT NULL DEFAULT 0")
        op.execute(f"ALTER TABLE {table} ADD COLUMN is_new INTEGER NOT NULL DEFAULT 0")
        op.execute(f"CREATE INDEX {table}_new ON {table} (signed) WHERE is_new")
