"""`dragon endorse`: an expert of the committee says what windows of a stream are."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Final

import click

from dragon.encoding import MAX_INTEGER, from_hex, to_hex
from dragon.errors import BadAnswer, DragonError, PeerError
from dragon.net.aggregator_client import REFUSALS, AggregatorClient
from dragon.net.http_client import HttpClient
from dragon.protocol import bls
from dragon.protocol.claims.endorsement import EndorsementClaim
from dragon.protocol.claims.window import Verdict
from dragon.protocol.committee import Committee
from dragon.protocol.endorsement import Endorsement
from dragon_cli.commands import key
from dragon_cli.errors import NotAMember
from dragon_cli.files import read_bytes
from dragon_cli.fleet import queries
from dragon_cli.fleet.layout import Home
from dragon_cli.options import ca_option, home_option, json_option
from dragon_cli.render import certificates
from dragon_cli.render.output import console, plain, print_json

DEADLINE: Final = 5.0  # seconds for one aggregator
MAX_NOTE_BYTES: Final = 1 << 24

_file_type = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@click.argument("stream")
@click.option("--first", type=click.IntRange(0, MAX_INTEGER), required=True, help="A window.")
@click.option("--last", type=click.IntRange(0, MAX_INTEGER), help="Inclusive; the same by default.")
@click.option("--verdict", type=click.Choice([str(each) for each in Verdict]), required=True)
@click.option("--note", type=_file_type, help="A text that you keep; its SHA-256 is signed.")
@click.option("--expert", required=True, help="Your id in the committee.")
@click.option("--keystore", "keystore_file", type=_file_type, help="The fleet's own by default.")
@click.option("--password-file", type=_file_type, help="The file that holds its password.")
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
    """Sign as an expert what windows of STREAM are, 0x…, and have it put onto the ledger."""
    if last is not None and last < first:
        raise click.UsageError("`--last` is no window before `--first`")
    fleet = Home(home)
    committee = fleet.committee()
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
    secret = key.unlock(*files)
    _check_key(committee, expert, secret.public_key())
    endorsement = Endorsement.sign(claim, secret, committee.id)
    taker = post(committee, queries.connect(fleet, ca), endorsement)
    if as_json:
        print_json({"verdict": "accepted", "by": taker, "endorsement": endorsement.to_json()})
        return
    console.print(f"[green]signed[/]: {plain(certificates.statement(endorsement, committee))}")
    console.print(f"{plain(taker)} puts it onto the ledger")


def post(committee: Committee, http: HttpClient, endorsement: Endorsement) -> str:
    """Which aggregator has taken it, the first that does, by rank.

    Raises:
        one of REFUSALS: none takes it, in the words of the first that says why.
        PeerError: none answers usably. NotListed: there is none.
    """
    refusals: list[DragonError] = []

    def ask(url: str) -> None:
        try:
            AggregatorClient(url, http).endorse(endorsement, deadline=DEADLINE)
        except tuple(REFUSALS.values()) as refusal:
            refusals.append(refusal)
            raise BadAnswer(str(refusal)) from None

    try:
        return queries.first(queries.aggregators(committee), ask)[0]
    except PeerError:
        if refusals:
            raise refusals[0] from None
        raise


def _check_listed(committee: Committee, expert: str) -> None:
    """Raises NotAMember."""
    if expert not in committee.expert_keys:
        listed = ", ".join(committee.expert_keys) or "none"
        message = f"{expert!a} is no expert of the committee, which lists {listed}"
        raise NotAMember(message, expert=expert)


def _check_key(committee: Committee, expert: str, found: bls.PublicKey) -> None:
    """Raises NotAMember: the keystore is somebody else's."""
    if found != committee.expert_keys[expert]:
        message = f"the keystore's key is not that of the expert {expert}"
        raise NotAMember(message, expert=expert, public_key=to_hex(found.raw))
