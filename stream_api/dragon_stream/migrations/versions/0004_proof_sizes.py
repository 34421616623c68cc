"""The sizes of proofs, which are shown after the retention time has deleted the proofs.

They lie beside the checksums, because changing a window's row would write its proof again.
"""

from alembic import op

revision = "stream_0004"
down_revision = "stream_0003"

STATEMENTS = (
    "ALTER TABLE own_window_checks ADD COLUMN proof_bytes INTEGER",
    # SQLite reads the length from the head of a row, and not the proof.
    """UPDATE own_window_checks SET proof_bytes = (
        SELECT LENGTH(w.proof) FROM own_windows w
        WHERE w.stream = own_window_checks.stream AND w.number = own_window_checks.number)""",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
