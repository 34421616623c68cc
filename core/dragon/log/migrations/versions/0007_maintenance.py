"""Create the table of announced maintenance. Logs with entries cannot be converted.

The ids of all committees differ, because their files have further members now.
"""

from alembic import op

from dragon.log.schema import refuse_old_entries

revision = "log_0007"
down_revision = "log_0006"

STATEMENTS = (
    # Without entries the ledger can be read again from its start, by the new rules.
    "DELETE FROM cursor",
    "DELETE FROM committees",
    "DELETE FROM committee_files",
    # The claims of applied events, by the position of their entry; times are Unix seconds.
    """CREATE TABLE maintenance (
        position INTEGER PRIMARY KEY,
        node_id TEXT NOT NULL,
        begin INTEGER NOT NULL,
        end INTEGER NOT NULL,
        timestamp INTEGER NOT NULL
    )""",
    "CREATE INDEX maintenance_by_node ON maintenance (node_id, position)",
)


def upgrade() -> None:
    connection = op.get_bind()
    path = connection.engine.url.database or "the database"
    refuse_old_entries(path, lambda sql: connection.exec_driver_sql(sql).fetchall())
    for statement in STATEMENTS:
        op.execute(statement)
