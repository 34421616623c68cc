"""Count the valid windows of each stream by statement, so that no page counts them again."""

from alembic import op

revision = "log_0010"
down_revision = "log_0009"

STATEMENTS = (
    # `statement` is empty for windows without one.
    """CREATE TABLE statement_counts (
        stream TEXT NOT NULL,
        statement TEXT NOT NULL,
        windows INTEGER NOT NULL,
        PRIMARY KEY (stream, statement)
    )""",
    """INSERT INTO statement_counts
        SELECT stream, COALESCE(statement, ''), COUNT(*) FROM windows WHERE verdict = 'valid'
        GROUP BY stream, COALESCE(statement, '')""",
    """CREATE TRIGGER windows_counted AFTER INSERT ON windows WHEN NEW.verdict = 'valid' BEGIN
        INSERT INTO statement_counts VALUES (NEW.stream, COALESCE(NEW.statement, ''), 1)
        ON CONFLICT (stream, statement) DO UPDATE SET windows = windows + 1;
    END""",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
