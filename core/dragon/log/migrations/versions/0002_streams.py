"""Create the tables of streams, windows and endorsements."""

from alembic import op

revision = "log_0002"
down_revision = "log_0001"

TABLES = (
    # One row per stream that has a valid window; `windows` is the number of the next one.
    """CREATE TABLE streams (
        stream TEXT PRIMARY KEY,
        windows INTEGER NOT NULL,
        header TEXT NOT NULL,
        timestamp INTEGER NOT NULL,
        position INTEGER NOT NULL
    )""",
    # The claims of applied events, by the position of their entry.
    """CREATE TABLE windows (
        position INTEGER PRIMARY KEY,
        stream TEXT NOT NULL,
        number INTEGER NOT NULL,
        previous TEXT NOT NULL,
        header TEXT NOT NULL,
        verdict TEXT NOT NULL,
        reason TEXT NOT NULL,
        proof TEXT NOT NULL,
        parameters TEXT NOT NULL,
        timestamp INTEGER NOT NULL
    )""",
    "CREATE INDEX windows_by_stream ON windows (stream, number)",
    """CREATE TABLE endorsements (
        position INTEGER PRIMARY KEY,
        stream TEXT NOT NULL,
        first INTEGER NOT NULL,
        last INTEGER NOT NULL,
        verdict TEXT NOT NULL,
        note TEXT NOT NULL,
        expert TEXT NOT NULL,
        timestamp INTEGER NOT NULL
    )""",
    "CREATE INDEX endorsements_by_stream ON endorsements (stream, position)",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
