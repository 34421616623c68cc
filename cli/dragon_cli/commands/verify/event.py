"""`dragon verify event`: verify an event and its place in the log."""

from __future__ import annotations

from pathlib import Path

import click

from dragon.encoding import Json, from_hex, parse, to_hex
from dragon.errors import InvalidProof
from dragon.protocol.handover import SignedMark
from dragon.protocol.log_entry import ProvenEntry
from dragon.protocol.trust import Trust
from dragon_cli.file_kinds import FileKind, reading
from dragon_cli.files import read_bytes
from dragon_cli.options import file_argument, json_option, trust_options
from dragon_cli.render import certificates
from dragon_cli.render.certificates import MAX_CERTIFICATE_BYTES
from dragon_cli.render.output import console, print_verified
from dragon_cli.render.text import moment, print_json
from dragon_cli.trust import facts, knowledge, load_trust, superseded_hint


@click.command(short_help="Verify an event and its place in the log.")
@file_argument
@trust_options
@click.option("--root", help="Root of the log from another source (0x…), to compare with FILE.")
@json_option
def event(
    file: Path,
    committee_file: Path | None,
    trust_from: int | None,
    root: str | None,
    as_json: bool,
) -> None:
    """Verify an event and its place in the log. FILE is the answer to GET /events/<position>.

    With `?anchored=true` that answer has a certified checkpoint or a handover that covers the
    event. An event of a committee that has handed over needs it.
    """
    trust = load_trust(committee_file, trust_from)
    raw = read_bytes(file, most=MAX_CERTIFICATE_BYTES)
    with reading(file, raw, FileKind.EVENT):
        logged = ProvenEntry.from_json(parse(raw))
    position = logged.entry.position
    with superseded_hint(f"`dragon logs --event {position}` prints it with a mark that covers it."):
        committee = logged.verify(trust)
    log_root = to_hex(logged.root)
    if root is not None and from_hex(root, member="root", size=32) != logged.root:
        raise InvalidProof(f"The event is in a log with root {log_root}, not {root}.")
    anchor = None if logged.anchor is None else _anchor(logged.anchor, trust)
    if as_json:
        signed = certificates.facts(logged.entry.event, committee)
        told = {**signed, **facts(trust, committee)}
        place = {"position": position, "root": log_root, "anchor": anchor}
        print_json({"verdict": "verified", **told, **place})
        return
    print_verified(f"{certificates.statement(logged.entry.event, committee)}.")
    console.print(f"It is event {position} of the log with root {log_root}.")
    if anchor:
        certified = f"A quorum certified this root in the round from {moment(anchor['timestamp'])}"
        console.print(f"{certified} ({anchor['kind']}, epoch {anchor['epoch']}).")
    elif root is None:
        console.print("The root itself was not verified: compare it with another by `--root`.")
    console.print(knowledge(trust, committee))


def _anchor(mark: SignedMark, trust: Trust) -> dict[str, Json]:
    """Return the kind, time and committee of a verified mark, for programs."""
    claim = mark.claim.to_json()
    epoch = trust.lineage.named(mark.committee_id).epoch
    return {"kind": claim["kind"], "epoch": epoch, "timestamp": claim["timestamp"]}
