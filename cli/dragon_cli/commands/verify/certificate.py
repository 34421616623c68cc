"""`dragon verify certificate`: verify the signatures of a certificate."""

from __future__ import annotations

from pathlib import Path

import click

from dragon.encoding import Json, parse
from dragon.protocol.certificate import Certificate
from dragon_cli.file_kinds import FileKind, reading
from dragon_cli.files import read_bytes
from dragon_cli.fleet.layout import load_committee
from dragon_cli.options import committee_option, file_argument, json_option
from dragon_cli.render import certificates
from dragon_cli.render.certificates import MAX_CERTIFICATE_BYTES
from dragon_cli.render.output import print_verified
from dragon_cli.render.text import print_json


@click.command(short_help="Verify a certificate.")
@file_argument
@committee_option
@json_option
def certificate(file: Path, committee_file: Path, as_json: bool) -> None:
    """Verify that a quorum signed the certificate in FILE, or that of the log event in FILE."""
    committee = load_committee(committee_file)
    raw = read_bytes(file, most=MAX_CERTIFICATE_BYTES)
    with reading(file, raw, FileKind.CERTIFICATE, FileKind.EVENT):
        certified = Certificate.from_json(_certificate(parse(raw)))
    certified.verify(committee)
    if as_json:
        print_json({"verdict": "verified", **certificates.facts(certified)})
    else:
        print_verified(f"{certificates.statement(certified, committee)}.")


def _certificate(value: Json) -> Json:
    """Return the certificate, which an exported log event has in its member `event`."""
    return value.get("event") if isinstance(value, dict) and "inclusion" in value else value
