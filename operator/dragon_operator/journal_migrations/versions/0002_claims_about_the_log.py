"""No rows for checkpoints and totals: both follow from the log, which the journal already keeps.

Anyone could request totals of any interval, and each took a row for 30 days. The journal has always
recorded the log before such a decision. The migration makes sure of it: the log that may be used
from now on extends the longest one that any of the dropped decisions was about. So no other root of
that size, and no other totals, can be signed.
"""

import json

from alembic import op

revision = "decisions_0002"
down_revision = "decisions_0001"


def upgrade() -> None:
    connection = op.get_bind()
    sizes: dict[int, str] = {}
    for size, root in connection.exec_driver_sql("SELECT size, root FROM journal_checkpoint"):
        sizes[size] = root
    for (totals,) in connection.exec_driver_sql("SELECT totals FROM journal_downtime"):
        claim = json.loads(totals)
        sizes[claim["size"]] = claim["root"]
    if sizes:
        longest = max(sizes)
        connection.exec_driver_sql(
            "INSERT INTO journal_log VALUES (1, ?, ?) ON CONFLICT (id) DO UPDATE "
            "SET size = excluded.size, root = excluded.root WHERE excluded.size > size",
            (longest, sizes[longest]),
        )
    op.execute("DROP TABLE journal_checkpoint")
    op.execute("DROP TABLE journal_downtime")
