"""`dragon votes`: what each operator answered about one window of a stream."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Final

import click
from rich.table import Table

from dragon.encoding import MAX_INTEGER
from dragon.protocol.streams.votes import Vote
from dragon_cli.completions import complete_streams
from dragon_cli.fleet import queries
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.stream_reading import open_stream
from dragon_cli.fleet.stream_services import ServiceAt
from dragon_cli.fleet.window_votes import Window, WindowVotes, window_votes
from dragon_cli.options import ca_option, home_option, json_option, stream_service_options
from dragon_cli.render.output import console, plain
from dragon_cli.render.proofs import UNKNOWN, proof_size, security_level
from dragon_cli.render.readings import statement_text
from dragon_cli.render.text import print_json
from dragon_cli.trust import load_trust

MAX_CHARS: Final = 400  # of a text of a service
STYLES: Final = {"signed": "green", "valid": "green", "invalid": "red"}
WORDS: Final = {
    "valid": "voted valid",
    "invalid": "voted invalid",
    "waiting": "no answer yet",
    "unknown": "vote unknown",
}
MEMBERS: Final = ("state", "statement", "verdict", "position", "proof_bytes", "security_bits")


@click.command(short_help="Show the operators' votes on a window.")
@click.argument("stream", shell_complete=complete_streams)
@click.argument("number", metavar="N", type=click.IntRange(0, MAX_INTEGER))
@stream_service_options
@home_option
@ca_option
@json_option
def votes(
    stream: str, number: int, at: ServiceAt, home: Path, ca: Path | None, as_json: bool
) -> None:
    """Show how each operator voted on window N of STREAM (an id 0x… or a name), and why.

    Signatures are certified: they are verified with the lineage or committee file of the fleet.
    All other answers are as the stream service or an aggregator reports them.
    """
    client, stream_id = open_stream(Home(home), at, ca, stream)
    described = client.get(f"/streams/{stream_id}/windows/{number}")
    fleet = Home(home)
    trust = load_trust(None, None, fleet) if fleet.committee_file.is_file() else None
    window = Window(stream_id, number, described)
    found = window_votes(window, trust, queries.connect(fleet, ca))
    if as_json:
        members = {name: described.get(name) for name in MEMBERS}
        listed = [asdict(each) for each in found.votes]
        certificate = found.certificate or None
        shown = {"stream": stream_id, "number": number, **members, "certificate": certificate}
        print_json({**shown, "votes": listed})
        return
    _print(window, found)


def _print(window: Window, found: WindowVotes) -> None:
    state = _text(window.described.get("state"))
    console.print(f"Window {window.number} of stream {window.stream}: {state}")
    size = proof_size(window.described.get("proof_bytes"))
    level = security_level(window.described.get("security_bits"))
    if (size, level) != (UNKNOWN, UNKNOWN):
        console.print(f"Proof: {size}, security level {level} (uncertified)")
    if statement := statement_text(window.described.get("statement")):
        console.print(f"Statement: {statement}")
    if found.certificate:
        console.print(f"Certificate: {_text(found.certificate)}")
    if not found.votes:
        console.print("No operator has voted on it yet.")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("operator", "vote", "detail"):
        table.add_column(column, overflow="fold")
    for vote in found.votes:
        style = STYLES.get(vote.outcome, "yellow")
        table.add_row(_text(vote.operator), f"[{style}]{_words(vote)}[/]", _text(vote.detail))
    console.print(table)


def _words(vote: Vote) -> str:
    if vote.outcome == "signed":
        return "signed (certified)" if vote.is_certified else "signed (not verified)"
    words = WORDS.get(vote.outcome, vote.outcome)
    return f"{words}: {_text(vote.reason)}" if vote.reason else words


def _text(value: object) -> str:
    """Return a text of a service for the terminal."""
    return plain(str(value)[:MAX_CHARS])
