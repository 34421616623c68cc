"""The journal in a file of its own, so that it never waits for the log's transactions."""

from alembic import op

revision = "decisions_0001"
down_revision = None

TABLES = (
    # Whose decisions these are. `token` is also in the operator's database.
    """CREATE TABLE journal_owner (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        committee TEXT NOT NULL,
        operator TEXT NOT NULL,
        token TEXT NOT NULL
    )""",
    # Rounds before this one are not decided any more: their rows may have been deleted.
    """CREATE TABLE journal_floor (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        round INTEGER NOT NULL
    )""",
    # The log that decisions were made on and deleted for: signatures need a log that extends it.
    """CREATE TABLE journal_log (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        size INTEGER NOT NULL,
        root TEXT NOT NULL
    )""",
    # Decisions to sign, written before each signature. A row never changes.
    """CREATE TABLE journal_status (
        node_id TEXT NOT NULL,
        round INTEGER NOT NULL,
        status TEXT NOT NULL,
        PRIMARY KEY (node_id, round)
    ) WITHOUT ROWID""",
    "CREATE INDEX journal_status_round ON journal_status (round)",
    "CREATE TABLE journal_checkpoint (size INTEGER PRIMARY KEY, root TEXT NOT NULL)",
    """CREATE TABLE journal_downtime (
        node_id TEXT NOT NULL,
        begin INTEGER NOT NULL,
        end INTEGER NOT NULL,
        size INTEGER NOT NULL,
        totals TEXT NOT NULL,
        log_time INTEGER NOT NULL,
        PRIMARY KEY (node_id, begin, end, size)
    ) WITHOUT ROWID""",
    """CREATE TABLE journal_window (
        stream BLOB NOT NULL,
        number INTEGER NOT NULL,
        header BLOB NOT NULL,
        PRIMARY KEY (stream, number)
    ) WITHOUT ROWID""",
    """CREATE TABLE journal_refuted (
        stream BLOB NOT NULL,
        number INTEGER NOT NULL,
        proof BLOB NOT NULL,
        reason TEXT NOT NULL,
        PRIMARY KEY (stream, number, proof)
    ) WITHOUT ROWID""",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
