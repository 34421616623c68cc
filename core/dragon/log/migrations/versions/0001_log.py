"""Create the log's first tables."""

from alembic import op

revision = "log_0001"
down_revision = None

TABLES = (
    # One row per applied status event. The columns are fixed by the protocol.
    """CREATE TABLE logs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        node_id TEXT NOT NULL,
        status TEXT NOT NULL,
        timestamp INTEGER NOT NULL,
        signature TEXT NOT NULL
    )""",
    "CREATE INDEX logs_by_node ON logs (node_id, id)",
    # One row per applied event; `position` is its leaf's index in the Merkle tree, from 0.
    """CREATE TABLE entries (
        position INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        root TEXT NOT NULL UNIQUE,
        event TEXT NOT NULL,
        leaf_hash BLOB NOT NULL,
        ledger_index INTEGER NOT NULL,
        ledger_time INTEGER NOT NULL,
        chaining_hash TEXT NOT NULL
    )""",
    # The reader's position, advanced in the transaction that applies a batch.
    """CREATE TABLE standing (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        committee TEXT NOT NULL,
        last_index INTEGER NOT NULL,
        chaining_hash TEXT NOT NULL,
        proof_index INTEGER NOT NULL,
        proof_time INTEGER NOT NULL
    )""",
    # The newest refused events, for inspection. Not part of the log or its root.
    """CREATE TABLE refused (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        ledger_index INTEGER NOT NULL,
        place INTEGER NOT NULL,
        reason TEXT NOT NULL,
        detail TEXT NOT NULL,
        excerpt TEXT NOT NULL
    )""",
    "CREATE TABLE refusals (reason TEXT PRIMARY KEY, count INTEGER NOT NULL)",
    # While this table has a row, no batch is applied.
    """CREATE TABLE alarm (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        reason TEXT NOT NULL,
        detail TEXT NOT NULL
    )""",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
