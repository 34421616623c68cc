"""Where a certified report comes from: a period certificate, a rule and a payout."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from dragon.agreements.amounts import parse_amount
from dragon.agreements.report import CertifiedReport, Terms
from dragon.agreements.rule import Rule
from dragon.agreements.rule_file import MAX_RULE_BYTES, decode_rule
from dragon.encoding import Json, parse
from dragon.errors import BadAnswer, DragonError, InvalidEncoding, UnknownValue
from dragon.net.http_client import HttpClient
from dragon.protocol.period import MAX_PERIOD_FILE_BYTES, PeriodReport
from dragon.protocol.trust import Trust
from dragon_cli.file_kinds import FileKind, reading
from dragon_cli.files import read_bytes
from dragon_cli.fleet import queries
from dragon_cli.report.certified import Verified, as_csv, document, table
from dragon_cli.report.certified_html import as_html
from dragon_cli.report.forms import Forms
from dragon_cli.times import Period, cut_at_settled
from dragon_cli.trust import superseded_hint

CERTIFY_SECONDS: Final = 30.0  # the aggregator asks all operators before it answers


def load_terms(rule_file: Path | None, payout: str | None) -> Terms | None:
    """Return what is paid; None without both options.

    Raises UsageError: one of them is missing, or the payout is no amount; as `load_rule`.
    """
    if rule_file is None and payout is None:
        return None
    if rule_file is None or payout is None:
        raise click.UsageError("`--payout` and `--rule` require each other.")
    rule = load_rule(rule_file)
    return Terms(rule, payout_units(payout, rule))


def load_rule(path: Path) -> Rule:
    """Read a rule file. Raises InvalidEncoding; the message starts with the path."""
    try:
        return decode_rule(read_bytes(path, most=MAX_RULE_BYTES))
    except DragonError as error:
        if str(path) not in str(error):
            error.args = (f"{path}: {error}",)
        raise


def payout_units(text: str, rule: Rule) -> int:
    """Return the smallest units of `--payout`. Raises UsageError."""
    try:
        return parse_amount(text, rule.decimals, member="`--payout`")
    except UnknownValue as error:
        raise click.UsageError(f"{error}.") from None


def read_period(path: Path) -> PeriodReport:
    """Read a period certificate with all its leaves. It is not verified. Raises DragonError."""
    raw = read_bytes(path, most=MAX_PERIOD_FILE_BYTES)
    with reading(path, raw, FileKind.PERIOD):
        return PeriodReport.from_json(parse(raw))


def request_period(wanted: Period, trust: Trust, http: HttpClient) -> PeriodReport:
    """Let the operators sign the report on a period. It is not verified.

    Raises PeerError, NotSettled, NotCertified.
    """
    last = wanted.end
    if wanted.is_open:
        last = cut_at_settled(wanted, queries.settled_until(trust.newest, http))
    body: Json = {"from": wanted.begin, "to": last}

    def ask(url: str) -> Json:
        answer = http.post(
            f"{url}/period-certificates",
            body,
            deadline=CERTIFY_SECONDS,
            max_bytes=MAX_PERIOD_FILE_BYTES,
        )
        return answer.successful()

    name, answer = queries.first(queries.aggregators(trust.newest), ask)
    try:
        found = PeriodReport.from_json(answer)
    except InvalidEncoding as error:
        raise BadAnswer(f"{name}: {error}") from None
    if (found.claim.begin, found.claim.end) != (wanted.begin, last):
        raise BadAnswer(f"{name}: the answer is about another period than requested")
    return found


def certified_forms(found: PeriodReport, terms: Terms | None, trust: Trust) -> Forms:
    """Verify a report, and return its forms. Raises as `Verified.of`."""
    with superseded_hint("Request the period certificate again: the newest committee signs it."):
        verified = Verified.of(CertifiedReport(found, terms), trust)
    return Forms(
        nodes=len(found.leaves),
        table=lambda _options: table(verified),
        csv=lambda: as_csv(verified),
        html=lambda: as_html(verified),
        document=lambda: document(verified),
    )
