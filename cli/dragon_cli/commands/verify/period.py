"""`dragon verify period`: verify a period report, or the proof of one node's part of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from dragon.encoding import Json, parse
from dragon.errors import InvalidProof
from dragon.protocol.committee import Committee
from dragon.protocol.period import MAX_PERIOD_FILE_BYTES, PeriodReport, ProvenLeaf
from dragon.protocol.trust import Trust
from dragon_cli.file_kinds import FileKind, reading
from dragon_cli.files import read_bytes
from dragon_cli.hints import with_hint
from dragon_cli.options import file_argument, json_option, trust_options
from dragon_cli.render import certificates, periods
from dragon_cli.render.output import console, print_verified
from dragon_cli.render.text import print_json
from dragon_cli.trust import facts, knowledge, load_trust, superseded_hint


@click.command(short_help="Verify a period report, or one node's part of it.")
@file_argument
@trust_options
@json_option
def period(file: Path, committee_file: Path | None, trust_from: int | None, as_json: bool) -> None:
    """Verify the period report in FILE, or the proof of one node's part of a report.

    `dragon period` writes reports, `dragon period prove` the small files about one node.
    """
    trust = load_trust(committee_file, trust_from)
    raw = read_bytes(file, most=MAX_PERIOD_FILE_BYTES)
    with reading(file, raw, FileKind.PERIOD, FileKind.LEAF):
        read = _decode(parse(raw))
    with superseded_hint("Request the period again with `dragon period`."), _invalid_proof_hint():
        committee = read.verify(trust)
    if as_json:
        told = {**certificates.facts(read.certificate), **_seconds(read)}
        print_json({"verdict": "verified", **told, **facts(trust, committee)})
        return
    _show(read, trust, committee)


def _decode(value: Json) -> PeriodReport | ProvenLeaf:
    if isinstance(value, dict) and "leaf" in value:
        return ProvenLeaf.from_json(value)
    return PeriodReport.from_json(value)


@contextmanager
def _invalid_proof_hint() -> Iterator[None]:
    try:
        yield
    except InvalidProof as error:
        raise with_hint(error, periods.ALTERED_HINT) from None


def _seconds(read: PeriodReport | ProvenLeaf) -> dict[str, Json]:
    if isinstance(read, ProvenLeaf):
        return {"leaf": periods.leaf_facts(read.leaf, read.claim)}
    return {"leaves": periods.leaves_facts(read)}


def _show(read: PeriodReport | ProvenLeaf, trust: Trust, committee: Committee) -> None:
    if isinstance(read, ProvenLeaf):
        downtime = read.leaf.downtime(read.claim)
        print_verified(f"{periods.leaf_statement(read, committee)}.")
        console.print(certificates.totals(downtime))
        console.print(certificates.limits(downtime))
    else:
        print_verified(f"{certificates.statement(read.certificate, committee)}.")
        console.print(periods.table(read))
    console.print(knowledge(trust, committee))
