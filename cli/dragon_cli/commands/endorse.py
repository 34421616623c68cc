"""`dragon endorse`: sign an expert's verdict on windows of a stream."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Final

import click

from dragon.encoding import MAX_INTEGER, from_hex, to_hex
from dragon.protocol import bls
from dragon.protocol.claims.endorsement import EndorsementClaim
from dragon.protocol.claims.window import Verdict
from dragon.protocol.committee import Committee
from dragon.protocol.endorsement import Endorsement
from dragon_cli.completions import complete_streams
from dragon_cli.errors import NotAMember
from dragon_cli.files import read_bytes
from dragon_cli.fleet import current, queries
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.submitting import TIMEOUT_SECONDS, submit
from dragon_cli.hints import with_hint
from dragon_cli.keystores import unlock
from dragon_cli.options import EXISTING_FILE, ca_option, home_option, json_option
from dragon_cli.render import certificates
from dragon_cli.render.output import console, plain
from dragon_cli.render.text import print_json

MAX_NOTE_BYTES: Final = 1 << 24


@click.command(short_help="Sign and publish an expert's verdict on windows.")
@click.argument("stream", shell_complete=complete_streams)
@click.option(
    "--first",
    type=click.IntRange(0, MAX_INTEGER),
    required=True,
    help="Number of the first window.",
)
@click.option(
    "--last",
    type=click.IntRange(0, MAX_INTEGER),
    help="Number of the last window, inclusive (default: the first).",
)
@click.option(
    "--verdict",
    type=click.Choice([str(each) for each in Verdict]),
    required=True,
    help="Your verdict on these windows.",
)
@click.option("--note", type=EXISTING_FILE, help="Text file to keep; only its SHA-256 is signed.")
@click.option("--expert", required=True, help="Your id in the committee.")
@click.option(
    "--keystore",
    "keystore_file",
    type=EXISTING_FILE,
    help="Your keystore (default: in the folder of the fleet).",
)
@click.option(
    "--password-file",
    type=EXISTING_FILE,
    help="File that contains its password (default: in the folder of the fleet).",
)
@home_option
@ca_option
@json_option
def endorse(
    stream: str,
    first: int,
    last: int | None,
    verdict: str,
    note: Path | None,
    expert: str,
    keystore_file: Path | None,
    password_file: Path | None,
    home: Path,
    ca: Path | None,
    as_json: bool,
) -> None:
    """Sign an expert's verdict on windows of STREAM (an id 0x…) and publish it."""
    if last is not None and last < first:
        raise click.UsageError(f"`--last` ({last}) must not be lower than `--first` ({first}).")
    fleet = Home(home)
    http = queries.connect(fleet, ca)
    committee = current.committee(fleet, http)
    claim = EndorsementClaim(
        from_hex(stream, member="stream", size=32),
        first,
        first if last is None else last,
        Verdict(verdict),
        hashlib.sha256(read_bytes(note, most=MAX_NOTE_BYTES) if note else b"").digest(),
        expert,
        int(time.time()),
    )
    _check_listed(committee, expert)  # before the id becomes part of a path
    files = keystore_file or fleet.keystore(expert), password_file or fleet.password(expert)
    secret = unlock(*files)
    _check_key(committee, expert, secret.public_key())
    endorsement = Endorsement.sign(claim, secret, committee.id)
    aggregator = submit(
        committee, http, lambda each: each.endorse(endorsement, deadline=TIMEOUT_SECONDS)
    )
    if as_json:
        print_json({"verdict": "accepted", "by": aggregator, "endorsement": endorsement.to_json()})
        return
    console.print(f"[green]signed[/]: {plain(certificates.statement(endorsement, committee))}")
    console.print(f"Accepted by {plain(aggregator)}, which publishes it on the ledger.")


def _check_listed(committee: Committee, expert: str) -> None:
    """Raises NotAMember."""
    if expert not in committee.expert_keys:
        listed = ", ".join(committee.expert_keys) or "none"
        message = f"{expert!a} is not an expert of the committee; its experts: {listed}."
        hint = "Name one of the experts in the committee file with `--expert`."
        raise with_hint(NotAMember(message, expert=expert), hint)


def _check_key(committee: Committee, expert: str, found: bls.PublicKey) -> None:
    """Raises NotAMember: the keystore belongs to another member."""
    if found != committee.expert_keys[expert]:
        message = f"The keystore does not hold the key of expert {expert}."
        raise NotAMember(message, expert=expert, public_key=to_hex(found.raw))
