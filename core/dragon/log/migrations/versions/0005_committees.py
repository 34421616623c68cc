"""Keep the committees of the log's network. Logs with entries cannot be converted.

The id of a committee covers its whole file now, so all roots of older logs differ.
"""

from alembic import op

from dragon.log.schema import refuse_old_entries

revision = "log_0005"
down_revision = "log_0004"

TABLES = (
    # Without entries the ledger can be read again from its start, by the new rules.
    "DROP TABLE cursor",
    """CREATE TABLE cursor (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        network TEXT NOT NULL,
        last_index INTEGER NOT NULL,
        chaining_hash TEXT NOT NULL
    )""",
    # Networks whose log in this file was archived. None of them may begin a log again.
    "DROP TABLE archived",
    "CREATE TABLE archived (network TEXT PRIMARY KEY)",
    # Every committee that has held, with the position of its handover; NULL for the first one.
    """CREATE TABLE committees (
        epoch INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        document TEXT NOT NULL,
        position INTEGER
    )""",
)


def upgrade() -> None:
    connection = op.get_bind()
    path = connection.engine.url.database or "the database"
    refuse_old_entries(path, lambda sql: connection.exec_driver_sql(sql).fetchall())
    for statement in TABLES:
        op.execute(statement)
