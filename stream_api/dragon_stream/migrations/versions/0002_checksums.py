"""Checksums of the rows, so that damage on the disk is found.

They are in tables of their own, because changing each row would write all proofs again. Rows of
earlier releases have none. An earlier release could not read the records that this one writes.
"""

from alembic import op

revision = "stream_0002"
down_revision = "stream_0001"

TABLES = (
    # `crc`: CRC-32 of everything in the stream's row but `stopped`.
    "CREATE TABLE own_stream_checks (stream BLOB PRIMARY KEY, crc INTEGER NOT NULL)",
    # `crc`: CRC-32 of everything in the window's row that never changes. `proof_crc`: of its proof.
    """CREATE TABLE own_window_checks (
        stream BLOB NOT NULL,
        number INTEGER NOT NULL,
        crc INTEGER NOT NULL,
        proof_crc INTEGER,
        PRIMARY KEY (stream, number)
    )""",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
