"""`dragon logs`: an operator's log of certified events."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path

import click
from rich.table import Table

from dragon.encoding import Json
from dragon.net.http_client import HttpClient
from dragon_cli.completions import complete_nodes
from dragon_cli.fleet import current, queries
from dragon_cli.fleet.layout import Home
from dragon_cli.options import ca_option, home_option, json_option, operator_option
from dragon_cli.render.output import console, plain, styled
from dragon_cli.render.text import moment, print_json
from dragon_cli.render.watch import check_watch, follow, watch_options


@click.command()
@home_option
@ca_option
@operator_option
@click.option("--node-id", shell_complete=complete_nodes, help="Show the events of this node only.")
@click.option(
    "--after",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Show rows with a higher id only.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, queries.PAGE_SIZE),
    default=100,
    show_default=True,
    help="Maximum number of rows.",
)
@click.option(
    "--event",
    type=click.IntRange(0),
    help="Print the event at this position, with a certified mark that covers it, as JSON.",
)
@watch_options("Print further events as they are applied, until interrupted.")
@json_option
def logs(
    home: Path,
    ca: Path | None,
    operator: str | None,
    node_id: str | None,
    after: int,
    limit: int,
    event: int | None,
    watching: bool,
    every: int | None,
    as_json: bool,
) -> None:
    """Show an operator's log of certified status events."""
    seconds = check_watch(watching=watching, every=every, as_json=as_json)
    http = queries.connect(Home(home), ca)
    asked = queries.operators(current.committee(Home(home), http), operator)
    if event is not None:
        print_json(queries.first_get(asked, http, f"/events/{event}", anchored="true")[1])
        return
    filters: dict[str, str | int] = {"after": after, "limit": limit}
    if watching:
        node = {} if node_id is None else {"node_id": node_id}
        follow(_Follower(asked, http, {**filters, **node}).print_new, seconds)
        return
    if node_id is not None:
        filters["node_id"] = node_id
    name, page = queries.first_list(asked, http, "logs", **filters)
    if as_json:
        print_json(page)
    else:
        console.print(logs_table(name, page))


class _Follower:
    """Prints each row of the log of one operator once, at first the newest `limit` rows."""

    def __init__(
        self, asked: dict[str, str], http: HttpClient, filters: dict[str, str | int]
    ) -> None:
        self._asked, self._http = asked, http
        self._limit = int(filters["limit"])
        self._filters = {**filters, "limit": queries.PAGE_SIZE}
        self._has_begun = False

    def print_new(self) -> None:
        """Print the rows after those that were read before; at first only the newest of them."""
        rows = deque(self._new(), None if self._has_begun else self._limit)
        self._has_begun = True
        for row in rows:
            when, node = moment(row.get("timestamp")), plain(str(row.get("node_id")))
            console.print(f"{when}  {node} is {styled(str(row.get('status')))}")

    def _new(self) -> Iterator[dict[str, Json]]:
        # Row ids are of one operator's table only, so the first to respond is asked from then on.
        for _ in range(queries.MAX_PAGES):
            name, page = queries.first_list(self._asked, self._http, "logs", **self._filters)
            self._asked = {name: self._asked[name]}
            for row in queries.rows(page, "logs"):
                yield row
                if isinstance(id_ := row.get("id"), int):
                    self._filters["after"] = id_
            if page.get("next") is None:
                return


def logs_table(operator: str, page: dict[str, Json]) -> Table:
    """Return the table of one page of a log."""
    table = Table(title=f"log of {operator}", title_justify="left")
    for column in ("id", "node", "status", "since", "signature"):
        table.add_column(column, overflow="fold")
    for row in queries.rows(page, "logs"):
        table.add_row(
            plain(str(row.get("id"))),
            plain(str(row.get("node_id"))),
            styled(str(row.get("status"))),
            moment(row.get("timestamp")),
            plain(str(row.get("signature"))[:18]) + "…",
        )
    return table
