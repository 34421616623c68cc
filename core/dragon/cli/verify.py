"""`dragon verify`: anyone checks any result, offline, with the committee file alone.

Exit codes: 0, it is true; 1, refused, with the named reason; 2, wrong usage.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from dragon import event
from dragon.cli.home import load_committee
from dragon.cli.output import console, moment, print_json
from dragon.committee import Committee
from dragon.encoding import from_hex, parse, to_hex
from dragon.errors import InvalidProof, TooLarge
from dragon.event import Event, LoggedEvent
from dragon.log.audit import audit

MAX_FILE_BYTES = 1 << 20

committee_option = click.option(
    "--committee",
    "committee_file",
    type=click.Path(path_type=Path, dir_okay=False),
    default="fleet/committee.json",
    show_default=True,
    help="The committee file; get it from somebody you trust.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="For programs.")
file_argument = click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))


@click.group()
def verify() -> None:
    """Check a certificate, an event or a whole log, offline."""


@verify.command()
@file_argument
@committee_option
@json_option
def certificate(file: Path, committee_file: Path, as_json: bool) -> None:
    """Check that a quorum signed what FILE says: a certificate or a logged event."""
    committee = load_committee(committee_file)
    value = parse(_read(file))
    # An exported event holds its certificate under `event`; either form may be given.
    if isinstance(value, dict) and "inclusion" in value:
        value = value.get("event")
    certified = event.decode(value)
    certified.verify(committee)
    _accept(_statement(certified, committee), _facts(certified), as_json=as_json)


@verify.command("event")
@file_argument
@committee_option
@click.option("--root", help="The log's root as known from elsewhere, 0x….")
@json_option
def event_(file: Path, committee_file: Path, root: str | None, as_json: bool) -> None:
    """Check a certificate and its place in the log: FILE is what GET /events/<n> answers."""
    committee = load_committee(committee_file)
    logged = LoggedEvent.from_json(parse(_read(file)))
    logged.verify(committee)
    if root is not None and from_hex(root, member="root", size=32) != logged.root:
        raise InvalidProof("the log that it proves to be in has another root")
    place = f"event {logged.position} of the log with root {to_hex(logged.root)}"
    statement = f"{_statement(logged.event, committee)}\n{place}"
    if root is None:
        statement += "\nthe root is the file's own word; `--root` holds it against yours"
    facts = {**_facts(logged.event), "position": logged.position}
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


def _statement(certified: Event, committee: Committee) -> str:
    claim = certified.claim
    signers = ", ".join(certified.signers)
    return (
        f"{claim.node_id} was {claim.status} in the round from {moment(claim.timestamp)}, "
        f"by {len(certified.signers)} of {len(committee.operators)}: {signers}"
    )


def _facts(certified: Event) -> dict[str, object]:
    return {**certified.claim.members(), "signers": list(certified.signers)}


def _accept(statement: str, facts: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        print_json({"verdict": "verified", **facts})
    else:
        console.print(f"[green]verified[/]: {statement}")


def _progress(entries: int) -> None:
    if entries % 100 == 0:
        click.echo(f"\r{entries} entries", nl=False, err=True)
