"""`dragon verify event`: verify an event and its place in the log."""

from __future__ import annotations

from pathlib import Path

import click

from dragon.encoding import from_hex, parse, to_hex
from dragon.errors import InvalidProof
from dragon.protocol.log_entry import ProvenEntry
from dragon_cli.file_kinds import FileKind, reading
from dragon_cli.files import read_bytes
from dragon_cli.fleet.layout import load_committee
from dragon_cli.options import committee_option, file_argument, json_option
from dragon_cli.render import certificates
from dragon_cli.render.certificates import MAX_CERTIFICATE_BYTES
from dragon_cli.render.output import console, print_verified
from dragon_cli.render.text import print_json


@click.command(short_help="Verify an event and its place in the log.")
@file_argument
@committee_option
@click.option("--root", help="Root of the log from another source (0x…), to compare with FILE.")
@json_option
def event(file: Path, committee_file: Path, root: str | None, as_json: bool) -> None:
    """Verify an event and its place in the log. FILE is the answer to GET /events/<position>."""
    committee = load_committee(committee_file)
    raw = read_bytes(file, most=MAX_CERTIFICATE_BYTES)
    with reading(file, raw, FileKind.EVENT):
        logged = ProvenEntry.from_json(parse(raw))
    logged.verify(committee)
    log_root = to_hex(logged.root)
    if root is not None and from_hex(root, member="root", size=32) != logged.root:
        raise InvalidProof(f"The event is in a log with root {log_root}, not {root}.")
    if as_json:
        place = {"position": logged.entry.position, "root": log_root}
        print_json({"verdict": "verified", **certificates.facts(logged.entry.event), **place})
        return
    print_verified(f"{certificates.statement(logged.entry.event, committee)}.")
    console.print(f"It is event {logged.entry.position} of the log with root {log_root}.")
    if root is None:
        console.print("The root itself was not verified: compare it with another by `--root`.")
