"""`dragon verify log`: verify all entries of a log."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from dragon.encoding import to_hex
from dragon.log.audit import audit
from dragon_cli.file_kinds import check_is_log
from dragon_cli.fleet.layout import load_committee
from dragon_cli.options import committee_option, file_argument, json_option
from dragon_cli.render.output import print_verified
from dragon_cli.render.text import print_json


@click.command(short_help="Verify all entries of a log.")
@file_argument
@committee_option
@json_option
def log(file: Path, committee_file: Path, as_json: bool) -> None:
    """Verify all entries of the log in FILE: an operator.db, or a copy of one."""
    committee = load_committee(committee_file)
    check_is_log(file)
    found = audit(file, committee, _show_progress if sys.stderr.isatty() else lambda _: None)
    if not as_json:
        print_verified(f"all {found.size} log entries are valid; root {to_hex(found.root)}.")
        return
    nodes = {
        node_id: {"status": str(moves[-1].status), "since": moves[-1].timestamp}
        for node_id, moves in found.state.nodes.items()
    }
    facts = {"size": found.size, "root": to_hex(found.root), "nodes": nodes}
    print_json({"verdict": "verified", **facts})


def _show_progress(entries: int) -> None:
    click.echo(f"\r{entries} entries", nl=False, err=True)
