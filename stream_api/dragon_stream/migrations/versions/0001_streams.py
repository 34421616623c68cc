"""The streams of this service and their windows."""

from alembic import op

revision = "stream_0001"
down_revision = None

TABLES = (
    # No secrets: keys are derived from the service's key and the seed.
    """CREATE TABLE own_streams (
        stream BLOB PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        seed BLOB NOT NULL,
        parameters TEXT NOT NULL,
        chunk_bytes INTEGER NOT NULL,
        window_chunks INTEGER NOT NULL,
        window_ms INTEGER NOT NULL,
        mode TEXT NOT NULL,
        retention_seconds INTEGER NOT NULL,
        created_ms INTEGER NOT NULL,
        stopped TEXT NOT NULL DEFAULT ''
    )""",
    # A row exists before anything about the window leaves the service; its header never changes.
    # `chunks`: all chunk headers, encoded as one object. `digests`: 32 bytes for each chunk's data.
    # `at`: offset of the first chunk in its segment. `bytes`: of the stream up to the window's end.
    """CREATE TABLE own_windows (
        stream BLOB NOT NULL,
        number INTEGER NOT NULL,
        header TEXT NOT NULL,
        signature BLOB NOT NULL,
        first INTEGER NOT NULL,
        count INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        at INTEGER NOT NULL,
        chunks BLOB NOT NULL,
        digests BLOB NOT NULL,
        closed_ms INTEGER NOT NULL,
        state TEXT NOT NULL,
        proof BLOB,
        proofs INTEGER NOT NULL DEFAULT 0,
        position INTEGER,
        PRIMARY KEY (stream, number)
    )""",
    "CREATE INDEX own_windows_by_state ON own_windows (state, stream, number)",
    "CREATE INDEX own_windows_by_chunk ON own_windows (stream, first)",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
