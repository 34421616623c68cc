"""`dragon votes`: what each operator answered about one window of a stream."""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table

from dragon.encoding import MAX_INTEGER
from dragon_cli.completions import complete_streams
from dragon_cli.fleet import queries
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.stream_reading import open_stream
from dragon_cli.options import ca_option, home_option, json_option, url_option
from dragon_cli.render.output import console, plain
from dragon_cli.render.text import print_json


@click.command(short_help="Show the operators' votes on a window.")
@click.argument("stream", shell_complete=complete_streams)
@click.argument("number", metavar="N", type=click.IntRange(0, MAX_INTEGER))
@url_option
@home_option
@ca_option
@json_option
def votes(
    stream: str, number: int, url: str | None, home: Path, ca: Path | None, as_json: bool
) -> None:
    """Show how each operator voted on window N of STREAM (an id 0x… or a name), and why.

    As the stream service reports it; the certificate of the window is the proof.
    """
    client, stream_id = open_stream(Home(home), url, ca, stream)
    found = client.get(f"/streams/{stream_id}/windows/{number}")
    rows = queries.rows(found, "votes")
    if as_json:
        members = {name: found.get(name) for name in ("state", "verdict", "position")}
        print_json({"stream": stream_id, "number": number, **members, "votes": rows})
        return
    state = plain(str(found.get("state")))
    console.print(f"Window {number} of stream {stream_id}: {state}")
    if not rows:
        console.print("No operator has voted on it yet.")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("operator", "vote", "detail"):
        table.add_column(column, overflow="fold")
    for row in rows:
        answer = str(row.get("answer"))
        style = {"valid": "green"}.get(answer, "red" if answer.startswith("invalid") else "yellow")
        detail = plain(str(row.get("detail") or ""))
        table.add_row(plain(str(row.get("operator"))), f"[{style}]{plain(answer)}[/]", detail)
    console.print(table)
