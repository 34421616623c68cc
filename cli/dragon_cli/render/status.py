"""The tables that `dragon status` and `dragon up` show: nodes, operators and other services."""

from __future__ import annotations

from rich.table import Table

from dragon.protocol.committee import Committee
from dragon_cli.fleet.queries import ServiceView, View
from dragon_cli.render.output import plain, styled


def status_table(committee: Committee, views: list[View]) -> Table:
    """Return a table with a row for each node and a column for each operator's log."""
    title = f"committee {plain(committee.name)}: status in each operator's log"
    table = Table(title=title, title_justify="left")
    table.add_column("node")
    for view in views:
        table.add_column(view.operator, overflow="fold")
    for node_id in committee.urls:
        cells = ("–" if view.error else styled(view.status(node_id)) for view in views)
        table.add_row(node_id, *cells)
    table.add_section()
    table.add_row("log entries", *("–" if view.error else str(view.size) for view in views))
    roots = ("–" if view.error else plain(view.root[:10]) + "…" for view in views)
    table.add_row("log root", *roots)
    table.add_row("", *(_readiness(view) for view in views))
    return table


def services_table(views: list[ServiceView]) -> Table:
    """Return a table with a row for each aggregator and the stream service: why it is not ready."""
    table = Table()
    table.add_column("service")
    table.add_column("readiness", overflow="fold")
    for view in views:
        table.add_row(plain(view.service), _readiness(view))
    return table


def _readiness(view: View | ServiceView) -> str:
    if view.error:
        return f"[red]{plain(view.error)}[/]"
    return plain("; ".join(view.reasons)) or "ready"
