"""`dragon verify downtime`: verify a downtime certificate."""

from __future__ import annotations

from pathlib import Path

import click

from dragon.encoding import parse
from dragon.errors import UnknownKind
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.downtime import DowntimeClaim
from dragon_cli.file_kinds import FileKind, reading
from dragon_cli.files import read_bytes
from dragon_cli.options import file_argument, json_option, trust_options
from dragon_cli.render import certificates
from dragon_cli.render.certificates import MAX_CERTIFICATE_BYTES
from dragon_cli.render.output import console, print_verified
from dragon_cli.render.text import print_json
from dragon_cli.trust import facts, knowledge, load_trust, superseded_hint


@click.command(short_help="Verify a downtime certificate.")
@file_argument
@trust_options
@json_option
def downtime(
    file: Path, committee_file: Path | None, trust_from: int | None, as_json: bool
) -> None:
    """Verify the downtime certificate in FILE and show what it proves and what it does not."""
    trust = load_trust(committee_file, trust_from)
    raw = read_bytes(file, most=MAX_CERTIFICATE_BYTES)
    with reading(file, raw, FileKind.CERTIFICATE):
        certified = Certificate.from_json(parse(raw))
    claim = certified.claim
    if not isinstance(claim, DowntimeClaim):
        message = f"{file} is a {claim.KIND} certificate; expected a downtime certificate."
        raise UnknownKind(message, kind=claim.KIND)
    with superseded_hint("Request the certificate again with `dragon downtime`."):
        committee = trust.verify(certified)
    if as_json:
        seconds_up = certificates.seconds_up(claim)
        told = {**certificates.facts(certified), **facts(trust, committee)}
        print_json({"verdict": "verified", **told, "seconds_up": seconds_up})
        return
    print_verified(f"{certificates.statement(certified, committee)}.")
    console.print(certificates.totals(claim))
    console.print(certificates.limits(claim))
    console.print(knowledge(trust, committee))
