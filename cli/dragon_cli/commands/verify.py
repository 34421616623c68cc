"""`dragon verify`: anyone checks any result, offline, with the committee file alone.

Exit codes: 0, it is true; 1, refused, with the named reason; 2, wrong usage.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import click

from dragon.encoding import Json, from_hex, parse, to_hex
from dragon.errors import InvalidProof, TooLarge, UnknownKind
from dragon.log.audit import audit
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.downtime import DowntimeClaim
from dragon.protocol.log_entry import ProvenEntry
from dragon_cli.commands.verify_receipt import receipt
from dragon_cli.fleet.layout import load_committee
from dragon_cli.options import committee_option, file_argument, json_option
from dragon_cli.render import certificates
from dragon_cli.render.output import console, print_json

MAX_FILE_BYTES = 1 << 20


@click.group()
def verify() -> None:
    """Check a certificate, an event, a receipt or a whole log, offline."""


verify.add_command(receipt)


@verify.command()
@file_argument
@committee_option
@json_option
def certificate(file: Path, committee_file: Path, as_json: bool) -> None:
    """Check that a quorum signed what FILE says: a certificate or a logged event."""
    committee = load_committee(committee_file)
    certified = Certificate.from_json(_certificate(parse(_read(file))))
    certified.verify(committee)
    statement = certificates.statement(certified, committee)
    _accept(statement, certificates.facts(certified), as_json=as_json)


def _certificate(value: Json) -> Json:
    """An exported event holds its certificate under `event`; either form may be given."""
    return value.get("event") if isinstance(value, dict) and "inclusion" in value else value


@verify.command()
@file_argument
@committee_option
@json_option
def downtime(file: Path, committee_file: Path, as_json: bool) -> None:
    """Check a downtime certificate, and say what it proves and what not."""
    committee = load_committee(committee_file)
    certified = Certificate.from_json(parse(_read(file)))
    claim = certified.claim
    if not isinstance(claim, DowntimeClaim):
        raise UnknownKind(f"this is a {claim.KIND} certificate", kind=claim.KIND)
    certified.verify(committee)
    parts = (certificates.statement(certified, committee), certificates.totals(claim))
    statement = "\n".join((*parts, certificates.limits(claim)))
    up: dict[str, Json] = {"seconds_up": certificates.seconds_up(claim)}
    _accept(statement, certificates.facts(certified) | up, as_json=as_json)


@verify.command("event")
@file_argument
@committee_option
@click.option("--root", help="The log's root as known from elsewhere, 0x….")
@json_option
def event_(file: Path, committee_file: Path, root: str | None, as_json: bool) -> None:
    """Check a certificate and its place in the log: FILE is what GET /events/<n> answers."""
    committee = load_committee(committee_file)
    logged = ProvenEntry.from_json(parse(_read(file)))
    logged.verify(committee)
    if root is not None and from_hex(root, member="root", size=32) != logged.root:
        raise InvalidProof("the log that it proves to be in has another root")
    place = f"event {logged.entry.position} of the log with root {to_hex(logged.root)}"
    statement = f"{certificates.statement(logged.entry.event, committee)}\n{place}"
    if root is None:
        statement += "\nthe root is the file's own word; `--root` holds it against yours"
    facts = {**certificates.facts(logged.entry.event), "position": logged.entry.position}
    _accept(statement, {**facts, "root": to_hex(logged.root)}, as_json=as_json)


@verify.command()
@file_argument
@committee_option
@json_option
def log(file: Path, committee_file: Path, as_json: bool) -> None:
    """Check a whole log from its first entry: FILE is an operator.db or a copy of one."""
    committee = load_committee(committee_file)
    found = audit(file, committee, _progress if sys.stderr.isatty() else lambda _: None)
    nodes = {
        node_id: {"status": str(moves[-1].status), "since": moves[-1].timestamp}
        for node_id, moves in found.state.nodes.items()
    }
    statement = f"all {found.size} entries are right, root {to_hex(found.root)}"
    facts = {"size": found.size, "root": to_hex(found.root), "nodes": nodes}
    _accept(statement, facts, as_json=as_json)


def _read(file: Path) -> bytes:
    with file.open("rb") as opened:
        raw = opened.read(MAX_FILE_BYTES + 1)
    if len(raw) > MAX_FILE_BYTES:
        raise TooLarge(f"{file} is larger than any event")
    return raw


def _accept(statement: str, facts: Mapping[str, object], *, as_json: bool) -> None:
    if as_json:
        print_json({"verdict": "verified", **facts})
    else:
        console.print(f"[green]verified[/]: {statement}")


def _progress(entries: int) -> None:
    click.echo(f"\r{entries} entries", nl=False, err=True)
