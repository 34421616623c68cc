"""Decisions on a status by timestamp, and the journal by network.

A handover may change the length of rounds, and with it their numbers. A journal of an older format
belongs to a committee id of that format, so its rows bind nothing any more.
"""

from alembic import op

revision = "decisions_0005"
down_revision = "decisions_0004"


def upgrade() -> None:
    for table in ("journal_status", "journal_floor"):
        op.execute(f"ALTER TABLE {table} RENAME COLUMN round TO timestamp")
    op.execute("ALTER TABLE journal_owner RENAME COLUMN committee TO network")
    # One row for each epoch: what was signed last to hand over to it, or to accept it.
    op.execute(
        """CREATE TABLE journal_handover (
            epoch INTEGER PRIMARY KEY,
            next TEXT NOT NULL,
            timestamp INTEGER NOT NULL
        )"""
    )
