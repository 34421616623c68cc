"""Leave the ledger's time out of the log's rules and leaves. Logs with entries cannot be converted.

The leaves of older logs contain the ledger's time, so their roots differ from all new ones.
"""

from alembic import op

from dragon.log.schema import refuse_old_entries

revision = "log_0004"
down_revision = "log_0003"

TABLES = (
    "DROP TABLE entries",
    """CREATE TABLE entries (
        position INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        root TEXT NOT NULL UNIQUE,
        event TEXT NOT NULL,
        leaf_hash BLOB NOT NULL,
        ledger_index INTEGER NOT NULL,
        ledger_time INTEGER,
        chaining_hash TEXT NOT NULL
    )""",
    # Without entries the ledger can be read again from its start, by the new rules.
    "DROP TABLE cursor",
    """CREATE TABLE cursor (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        committee TEXT NOT NULL,
        last_index INTEGER NOT NULL,
        chaining_hash TEXT NOT NULL
    )""",
    # Committees whose log in this file was archived. None of them may begin a log again.
    "CREATE TABLE archived (committee TEXT PRIMARY KEY)",
)


def upgrade() -> None:
    connection = op.get_bind()
    path = connection.engine.url.database or "the database"
    refuse_old_entries(path, lambda sql: connection.exec_driver_sql(sql).fetchall())
    for statement in TABLES:
        op.execute(statement)
