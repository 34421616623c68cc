"""Keep the committee files that certified handovers name, whether they were applied or not."""

from alembic import op

revision = "log_0006"
down_revision = "log_0005"


def upgrade() -> None:
    op.execute("CREATE TABLE committee_files (id TEXT PRIMARY KEY, document TEXT NOT NULL)")
