"""Add what was proven of each window: null in streams without readings, and in old events."""

from alembic import op

revision = "log_0008"
down_revision = "log_0007"

STATEMENTS = (
    "ALTER TABLE windows ADD COLUMN statement TEXT",
    # A page counts the windows with and without a claim, and lists the newest ones without.
    "CREATE INDEX windows_by_statement ON windows (stream, verdict, statement, number)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
