"""The first schema of alerts: where the log was read to, incidents, messages and deliveries."""

from alembic import op

revision = "alerts_0001"
down_revision = None


def upgrade() -> None:
    op.execute("CREATE TABLE progress (id INTEGER PRIMARY KEY CHECK (id = 1), entries INTEGER)")
    op.execute(
        """CREATE TABLE episodes (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            rule TEXT NOT NULL,
            condition TEXT NOT NULL,
            subject TEXT NOT NULL,
            begun INTEGER NOT NULL,
            begin_position INTEGER NOT NULL,
            sentence TEXT NOT NULL,
            seen_at REAL NOT NULL,
            ended INTEGER,
            end_position INTEGER NOT NULL DEFAULT -1,
            ended_seen_at REAL,
            announced INTEGER NOT NULL DEFAULT 0,
            closed INTEGER NOT NULL DEFAULT 0,
            reminders INTEGER NOT NULL DEFAULT 0,
            remind_at REAL,
            UNIQUE (rule, condition, subject, begun, begin_position)
        )"""
    )
    op.execute("CREATE INDEX episodes_active ON episodes (id) WHERE closed = 0")
    op.execute(
        """CREATE TABLE messages (
            id TEXT PRIMARY KEY,
            rule TEXT NOT NULL,
            type TEXT NOT NULL,
            created REAL NOT NULL,
            title TEXT NOT NULL,
            text TEXT NOT NULL,
            body TEXT NOT NULL
        )"""
    )
    op.execute("CREATE INDEX messages_by_rule ON messages (rule, created)")
    # `own_pause`: the delay belongs to this message and not to its whole route.
    op.execute(
        """CREATE TABLE deliveries (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            message TEXT NOT NULL REFERENCES messages (id),
            route TEXT NOT NULL,
            state TEXT NOT NULL,
            created REAL NOT NULL,
            attempts INTEGER NOT NULL DEFAULT 0,
            not_before REAL NOT NULL,
            own_pause INTEGER NOT NULL DEFAULT 0,
            error TEXT NOT NULL DEFAULT '',
            finished REAL,
            UNIQUE (message, route)
        )"""
    )
    op.execute("CREATE INDEX deliveries_waiting ON deliveries (route, id) WHERE state = 'waiting'")
