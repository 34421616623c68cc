"""Move the journal out of the operator's database. Old decisions cannot be moved.

They belong to a log of an older format, which this release refuses. A journal that lost decisions
could sign the opposite, so a file that holds some is refused as well.
"""

from alembic import op

from dragon.errors import DatabaseTooOld

revision = "journal_0004"
down_revision = "journal_0003"

OLD_TABLES = (
    "journal_status",
    "journal_checkpoint",
    "journal_downtime",
    "journal_window",
    "journal_refuted",
)


def upgrade() -> None:
    connection = op.get_bind()
    for table in OLD_TABLES:
        if connection.exec_driver_sql(f"SELECT 1 FROM {table} LIMIT 1").first():  # noqa: S608
            path = connection.engine.url.database or "the database"
            message = (
                f"{path} holds the journal of signed claims in the format of version 0.1, which "
                "this version cannot continue; keep the file as evidence, found a new committee, "
                "and start with a new file"
            )
            raise DatabaseTooOld(message)
        op.execute(f"DROP TABLE {table}")
    # The token of the journal that belongs to this file, written once.
    op.execute(
        """CREATE TABLE journal_file (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            token TEXT NOT NULL
        )"""
    )
