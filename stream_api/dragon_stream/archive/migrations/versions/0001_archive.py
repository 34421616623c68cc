"""What lies in the archive. The tables are in `windows.db`, beside the windows."""

from alembic import op

revision = "archive_0001"
down_revision = None

TABLES = (
    # One object in the archive. `kind`: `segment`, then `first` and `last` are chunks; or `proofs`,
    # then they are windows. `newest_ms`: arrival of its last chunk, or when its last window was
    # closed. `state`: `pending` before it was verified there, then `stored`; `expired` after its
    # retention time. `is_local`: whether the disk may still hold the same. `crc`: of all but the
    # last two.
    """CREATE TABLE own_archived (
        stream BLOB NOT NULL,
        kind TEXT NOT NULL,
        first INTEGER NOT NULL,
        last INTEGER NOT NULL,
        sha256 BLOB NOT NULL,
        bytes INTEGER NOT NULL,
        newest_ms INTEGER NOT NULL,
        crc INTEGER NOT NULL,
        state TEXT NOT NULL,
        is_local INTEGER NOT NULL,
        PRIMARY KEY (stream, kind, first)
    )""",
    "CREATE INDEX own_archived_by_age ON own_archived (state, is_local, newest_ms)",
    # One proof in an object. `object`: its `first`. `at`: byte of the object.
    """CREATE TABLE own_archived_proofs (
        stream BLOB NOT NULL,
        number INTEGER NOT NULL,
        object INTEGER NOT NULL,
        at INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        sha256 BLOB NOT NULL,
        crc INTEGER NOT NULL,
        PRIMARY KEY (stream, number)
    )""",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
