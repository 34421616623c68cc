"""`dragon verify evidence`: verify the operators' records about a node, and compare them."""

from __future__ import annotations

from pathlib import Path

import click

from dragon.errors import ForeignRecord, InvalidProof
from dragon.protocol.evidence.contradictions import contradictions
from dragon.protocol.evidence.file import MAX_EVIDENCE_BYTES, Evidence
from dragon.protocol.evidence.verification import VerifiedEvidence, verify
from dragon.protocol.trust import Trust
from dragon_cli.file_kinds import FileKind, reading
from dragon_cli.files import read_bytes
from dragon_cli.hints import CHANGED_EVIDENCE, with_hint
from dragon_cli.options import EXISTING_FILE, json_option, trust_options
from dragon_cli.render import evidence as shown
from dragon_cli.render.output import console, print_verified
from dragon_cli.render.text import print_json
from dragon_cli.trust import TRUST_OLDER, facts, load_trust, superseded_hint


@click.command(short_help="Verify evidence about a node.")
@click.argument("files", nargs=-1, required=True, type=EXISTING_FILE)
@trust_options
@json_option
def evidence(
    files: tuple[Path, ...], committee_file: Path | None, trust_from: int | None, as_json: bool
) -> None:
    """Verify what `dragon evidence` wrote: each operator's signatures, and that no record is
    missing between two others.

    Several FILES about one node, such as from two collectors, are compared: an operator that has
    rewritten its records since shows both versions under one number. Contradictions are printed and
    do not change the exit code: the files hold, and that is what they prove.
    """
    trust = load_trust(committee_file, trust_from)
    verified = [_verified(file, trust) for file in files]
    nodes = {each.evidence.node_id for each in verified}
    if len(nodes) > 1:
        raise ForeignRecord(f"The files are about different nodes: {', '.join(sorted(nodes))}.")
    found = contradictions(verified)
    if as_json:
        told = [
            {"file": str(file), **shown.facts(each)}
            for file, each in zip(files, verified, strict=True)
        ]
        contradicting = shown.contradiction_facts(found)
        known = facts(trust, trust.newest)
        print_json({"verdict": "verified", "files": told, "contradictions": contradicting, **known})
        return
    for each in verified:
        print_verified(shown.statement(each))
        console.print(shown.table(each))
    shown.contradiction_lines(found)
    if any(not each.said.counts for file in verified for each in file.operators):
        console.print(TRUST_OLDER)
    console.print(shown.LIMITS)


def _verified(file: Path, trust: Trust) -> VerifiedEvidence:
    raw = read_bytes(file, most=MAX_EVIDENCE_BYTES)
    step = "Collect it again with `dragon evidence`, when a checkpoint covers the event."
    try:
        with reading(file, raw, FileKind.EVIDENCE), superseded_hint(step):
            return verify(Evidence.load(raw), trust)
    except InvalidProof as error:
        raise with_hint(error, CHANGED_EVIDENCE) from None
