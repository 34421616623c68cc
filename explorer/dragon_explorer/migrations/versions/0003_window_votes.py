"""The votes on decided windows, and what aggregators say of their proofs."""

from alembic import op

revision = "history_0003"
down_revision = "history_0002"


def upgrade() -> None:
    op.execute(
        """CREATE TABLE window_votes (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            stream TEXT NOT NULL,
            number INTEGER NOT NULL,
            proof TEXT NOT NULL,
            aggregator TEXT NOT NULL,
            chunks INTEGER,
            proof_bytes INTEGER,
            security_bits INTEGER,
            votes TEXT NOT NULL,
            UNIQUE (stream, number, proof, aggregator)
        )"""
    )
