"""Decisions on windows, and verdicts on them."""

from alembic import op

revision = "journal_0003"
down_revision = "journal_0002"

TABLES = (
    """CREATE TABLE journal_window (
        stream BLOB NOT NULL,
        number INTEGER NOT NULL,
        header BLOB NOT NULL,
        PRIMARY KEY (stream, number)
    ) WITHOUT ROWID""",
    """CREATE TABLE journal_refuted (
        stream BLOB NOT NULL,
        number INTEGER NOT NULL,
        proof BLOB NOT NULL,
        reason TEXT NOT NULL,
        PRIMARY KEY (stream, number, proof)
    ) WITHOUT ROWID""",
    # Not decisions: verdicts, stored so that each window is verified only once.
    """CREATE TABLE verdicts (
        stream BLOB NOT NULL,
        number INTEGER NOT NULL,
        header BLOB NOT NULL,
        proof BLOB NOT NULL,
        previous BLOB NOT NULL,
        parameters TEXT NOT NULL,
        reason TEXT NOT NULL,
        detail TEXT NOT NULL,
        PRIMARY KEY (stream, number, header, proof)
    ) WITHOUT ROWID""",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
