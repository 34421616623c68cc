"""Records of what the operator saw and answered, and the seals that sign them."""

from alembic import op

revision = "evidence_0001"
down_revision = None

TABLES = (
    # The operator that signs, and its network.
    """CREATE TABLE evidence_owner (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        network TEXT NOT NULL,
        operator TEXT NOT NULL
    )""",
    """CREATE TABLE evidence_seal (
        id INTEGER PRIMARY KEY,
        sealed_at INTEGER NOT NULL,
        seal TEXT NOT NULL,
        hash BLOB NOT NULL
    )""",
    "CREATE INDEX evidence_seal_time ON evidence_seal (sealed_at)",
    # `place`: index in the seal. `path`: sibling hashes, one after the other.
    """CREATE TABLE evidence_record (
        id INTEGER PRIMARY KEY,
        node_id TEXT NOT NULL,
        seal INTEGER NOT NULL,
        place INTEGER NOT NULL,
        sealed_at INTEGER NOT NULL,
        record TEXT NOT NULL,
        hash BLOB NOT NULL,
        path BLOB NOT NULL
    )""",
    "CREATE INDEX evidence_record_node ON evidence_record (node_id)",
    "CREATE INDEX evidence_record_node_time ON evidence_record (node_id, sealed_at)",
    "CREATE INDEX evidence_record_time ON evidence_record (sealed_at)",
    "CREATE INDEX evidence_record_seal ON evidence_record (seal)",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
