"""Create the tables of the snapshot, from which a service starts without reading the whole log."""

from alembic import op

revision = "log_0009"
down_revision = "log_0008"

TABLES = (
    # Full blocks of sequences that only grow: hashes of the tree, marks, and sums over marks.
    # They are derived from `entries`; `digest` is SHA-256 over name, number and content.
    """CREATE TABLE blocks (
        series TEXT NOT NULL,
        number INTEGER NOT NULL,
        content BLOB NOT NULL,
        digest BLOB NOT NULL,
        PRIMARY KEY (series, number)
    )""",
    # What follows from the first `size` entries, except for the full blocks.
    """CREATE TABLE snapshot (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        size INTEGER NOT NULL,
        content BLOB NOT NULL,
        digest BLOB NOT NULL
    )""",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
