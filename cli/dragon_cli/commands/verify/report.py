"""`dragon verify report`: verify the HTML file of a certified report."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from dragon.agreements.amounts import format_amount
from dragon.agreements.report import Terms
from dragon.encoding import to_hex
from dragon_cli.errors import OtherTerms
from dragon_cli.file_kinds import FileKind, reading
from dragon_cli.files import read_bytes
from dragon_cli.options import file_argument, json_option, payout_option, rule_option, trust_options
from dragon_cli.render import certificates
from dragon_cli.render.output import console, print_verified
from dragon_cli.render.text import print_json
from dragon_cli.report.certified import Verified, payout_document, sums
from dragon_cli.report.certified_html import MAX_HTML_BYTES, verify_html
from dragon_cli.report.terms import load_terms
from dragon_cli.trust import facts, knowledge, load_trust, superseded_hint

CONFIRMED: Final = "Rule and payout are those of `--rule` and `--payout`."
CHOSEN: Final = (
    "The author of the report chose rule and payout; compare them with `--rule` and `--payout`."
)


@click.command(short_help="Verify the HTML file of a certified report.")
@file_argument
@trust_options
@rule_option
@payout_option
@json_option
def report(
    file: Path,
    committee_file: Path | None,
    trust_from: int | None,
    rule_file: Path | None,
    payout: str | None,
    as_json: bool,
) -> None:
    """Verify that FILE shows exactly what the operators signed, and what its rule pays.

    FILE is the HTML file of `dragon report --certified`. With `--rule` and `--payout` the terms of
    the report must be these: its author chose them, and no operator signed them.
    """
    expected = load_terms(rule_file, payout)
    trust = load_trust(committee_file, trust_from)
    raw = read_bytes(file, most=MAX_HTML_BYTES)
    with (
        superseded_hint("Request the report again: the newest committee signs it."),
        reading(file, raw, FileKind.CERTIFIED_REPORT),
    ):
        verified = verify_html(raw, trust)
    if expected:
        _check_terms(verified, expected)
    if as_json:
        claim = certificates.facts(verified.report.period.certificate)
        paid = None if verified.payout is None else payout_document(verified.payout)
        told = {**claim, "payout": paid, **facts(trust, verified.committee)}
        print_json({"verdict": "verified", **told})
        return
    certificate = verified.report.period.certificate
    print_verified(f"{certificates.statement(certificate, verified.committee)}.")
    console.print("Every figure of the file follows from the signed seconds.")
    for line in sums(verified):
        console.print(line)
    if verified.payout:
        console.print(CONFIRMED if expected else CHOSEN)
    console.print(knowledge(trust, verified.committee))


def _check_terms(verified: Verified, expected: Terms) -> None:
    """Raises OtherTerms: the report pays by another rule, another amount, or nothing."""
    found = verified.report.terms
    if found is None:
        raise OtherTerms("The report has no payout.")
    if found.rule.sha256 != expected.rule.sha256:
        message = (
            f"The report pays by the rule with SHA-256 {to_hex(found.rule.sha256)}; "
            f"`--rule` has {to_hex(expected.rule.sha256)}."
        )
        raise OtherTerms(message)
    if found.units != expected.units:
        decimals = found.rule.decimals
        message = (
            f"The report pays {format_amount(found.units, decimals)}; `--payout` is "
            f"{format_amount(expected.units, decimals)}."
        )
        raise OtherTerms(message)
