"""What a stream with readings needs beside its chunks.

Rows of other streams stay as they are. The table of windows is not changed: a new column would lie
behind the proof, so that reading it would read the proof too.
"""

from alembic import op

revision = "stream_0005"
down_revision = "stream_0004"

STATEMENTS = (
    # The descriptor's member `readings` in canonical JSON; NULL in a stream without readings.
    "ALTER TABLE own_streams ADD COLUMN readings TEXT",
    # `statement`: what the window's proof states, `readings` or `blocks`. `readings`: 12 bytes for
    # each chunk, its committed number and the length of its data. `crc`: CRC-32 of the others.
    """CREATE TABLE own_window_readings (
        stream BLOB NOT NULL,
        number INTEGER NOT NULL,
        statement TEXT NOT NULL,
        readings BLOB NOT NULL,
        crc INTEGER NOT NULL,
        PRIMARY KEY (stream, number)
    )""",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
