"""Whether the windows of a stream grow with the rate of its chunks.

Streams of earlier releases keep windows of the size that they were created with.
"""

from alembic import op

revision = "stream_0006"
down_revision = "stream_0005"


def upgrade() -> None:
    op.execute("ALTER TABLE own_streams ADD COLUMN adaptive INTEGER NOT NULL DEFAULT 0")
