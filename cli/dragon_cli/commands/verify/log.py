"""`dragon verify log`: verify all entries of a log."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from dragon.encoding import Json, to_hex
from dragon.log.audit import audit
from dragon_cli.file_kinds import check_is_log
from dragon_cli.options import file_argument, json_option, trust_options
from dragon_cli.render.output import console, print_verified
from dragon_cli.render.text import print_json
from dragon_cli.trust import facts, knowledge, load_trust, superseded_hint


@click.command(short_help="Verify all entries of a log.")
@file_argument
@trust_options
@json_option
def log(file: Path, committee_file: Path | None, trust_from: int | None, as_json: bool) -> None:
    """Verify all entries of the log in FILE: an operator.db, or a copy of one.

    A log that has passed handovers is verified from its first entry: the newest committee file is
    enough, or a lineage that ends with it.
    """
    trust = load_trust(committee_file, trust_from)
    check_is_log(file)
    progress = _show_progress if sys.stderr.isatty() else lambda _: None
    with superseded_hint("Get a newer copy of the log."):
        found = audit(file, trust, progress)
    holding = found.state.committee
    if as_json:
        nodes = {
            node_id: {"status": str(moves[-1].status or "unknown"), "since": moves[-1].timestamp}
            for node_id, moves in found.state.nodes.items()
        }
        vouched: dict[str, Json] = {"epoch": found.vouched.epoch, "size": found.vouched.size}
        told = {"size": found.size, "root": to_hex(found.root), "vouched": vouched}
        print_json({"verdict": "verified", **told, **facts(trust, holding), "nodes": nodes})
        return
    print_verified(f"all {found.size} log entries are valid; root {to_hex(found.root)}.")
    epoch, size = found.vouched.epoch, found.vouched.size
    if size:
        console.print(f"The committee of epoch {epoch} vouches for the first {size} entries.")
    else:
        console.print(f"The committee of epoch {epoch} has certified no checkpoint of it yet.")
    console.print(knowledge(trust, holding))


def _show_progress(entries: int) -> None:
    click.echo(f"\r{entries} entries", nl=False, err=True)
