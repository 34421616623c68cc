"""Indexes, so that no query reads the large columns of windows that it does not return.

SQLite stores a row as a list. To reach a column it reads all that lie before it, and the columns
`state` to `position` lie behind those with chunk headers, digests and proof.
"""

from alembic import op

revision = "stream_0003"
down_revision = "stream_0002"

INDEXES = (
    # All that `WindowSummary` holds.
    """CREATE INDEX own_windows_summaries ON own_windows
        (stream, number, state, first, count, closed_ms, position)""",
    # The proofs that the retention has not deleted.
    """CREATE INDEX own_windows_with_proof ON own_windows (stream, closed_ms)
        WHERE proof IS NOT NULL""",
)


def upgrade() -> None:
    for statement in INDEXES:
        op.execute(statement)
