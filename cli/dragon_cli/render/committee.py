"""The table of the failures that committees of different sizes tolerate."""

from __future__ import annotations

from rich.table import Table

from dragon.protocol.committee import byzantine_faults, quorum_of


def outage_table(operators: int) -> Table:
    """Return the table with the row for `operators` operators highlighted."""
    table = Table(title="Failures that a committee tolerates", title_justify="left")
    for column in ("operators", "quorum", "offline at once", "malicious", "two quorums share"):
        table.add_column(column, justify="right")
    for size in sorted({3, 4, 5, 6, 7, 10, operators}):
        quorum = quorum_of("byzantine", size)
        faults = byzantine_faults(size)
        shared = 2 * quorum - size
        honest = f"{shared}, at least {shared - faults} honest" if faults else "1, maybe malicious"
        row = (str(size), str(quorum), str(size - quorum), str(faults), honest)
        table.add_row(*row, style="bold green" if size == operators else None)
    return table
