"""Objects by their SHA-256."""

from alembic import op

revision = "objects_0001"
down_revision = None

TABLES = (
    # `number` is that of the window; -1 for the descriptor, which belongs to none and stays.
    """CREATE TABLE objects (
        sha256 BLOB NOT NULL,
        stream BLOB NOT NULL,
        number INTEGER NOT NULL,
        settled INTEGER NOT NULL DEFAULT 0,
        size INTEGER NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (sha256, stream)
    )""",
    "CREATE INDEX objects_by_stream ON objects (stream, number)",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
