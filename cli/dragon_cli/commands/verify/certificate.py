"""`dragon verify certificate`: verify the signatures of a certificate."""

from __future__ import annotations

from pathlib import Path

import click

from dragon.encoding import Json, parse
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.base import kind_of
from dragon.protocol.handover import Handover, decode_mark
from dragon.protocol.log_entry import ProvenEntry
from dragon_cli.file_kinds import FileKind, reading
from dragon_cli.files import read_bytes
from dragon_cli.options import file_argument, json_option, trust_options
from dragon_cli.render import certificates
from dragon_cli.render.certificates import MAX_CERTIFICATE_BYTES
from dragon_cli.render.output import console, print_verified
from dragon_cli.render.text import print_json
from dragon_cli.trust import facts, knowledge, load_trust, superseded_hint


@click.command(short_help="Verify a certificate.")
@file_argument
@trust_options
@json_option
def certificate(
    file: Path, committee_file: Path | None, trust_from: int | None, as_json: bool
) -> None:
    """Verify that a quorum signed the certificate in FILE, or that of the log event in FILE.

    What a committee signed that has handed over counts only as an event that a newer checkpoint or
    a handover covers.
    """
    trust = load_trust(committee_file, trust_from)
    raw = read_bytes(file, most=MAX_CERTIFICATE_BYTES)
    with reading(file, raw, FileKind.CERTIFICATE, FileKind.EVENT):
        certified, proven = _decode(parse(raw))
    with superseded_hint(_next_step(certified)):
        committee = proven.verify(trust) if proven else trust.verify(certified)
    if as_json:
        told = {**certificates.facts(certified), **facts(trust, committee)}
        print_json({"verdict": "verified", **told})
        return
    print_verified(f"{certificates.statement(certified, committee)}.")
    console.print(knowledge(trust, committee))


def _decode(value: Json) -> tuple[Certificate | Handover, ProvenEntry | None]:
    """Return the certificate, which an exported log event has in its member `event`.

    If it has an anchor too, the whole event is returned.
    """
    if not isinstance(value, dict) or "inclusion" not in value:
        return decode_mark(value), None
    certified = decode_mark(value.get("event"))
    return certified, ProvenEntry.from_json(value) if value.get("anchor") else None


def _next_step(certified: Certificate | Handover) -> str:
    if kind_of(certified.claim).is_event:
        return "`dragon logs --event POSITION` prints the event with a mark that covers it."
    return "Request the certificate again: the newest committee signs it anew."
