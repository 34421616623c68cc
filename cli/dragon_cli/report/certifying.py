"""Where a certified report comes from: a period certificate, a rule and a payout."""

from __future__ import annotations

from pathlib import Path

from dragon.agreements.report import CertifiedReport, Terms
from dragon.encoding import parse
from dragon.net.http_client import HttpClient
from dragon.protocol.committee import Committee
from dragon.protocol.period import MAX_PERIOD_FILE_BYTES, PeriodReport
from dragon.protocol.trust import Trust
from dragon_cli.file_kinds import FileKind, reading
from dragon_cli.files import read_bytes
from dragon_cli.fleet import queries
from dragon_cli.fleet.periods import certified_period
from dragon_cli.report.certified import Verified, as_csv, document, table
from dragon_cli.report.certified_html import as_html
from dragon_cli.report.forms import Forms
from dragon_cli.times import Period, cut_at_settled
from dragon_cli.trust import superseded_hint


def read_period(path: Path) -> PeriodReport:
    """Read a period certificate with all its leaves. It is not verified. Raises DragonError."""
    raw = read_bytes(path, most=MAX_PERIOD_FILE_BYTES)
    with reading(path, raw, FileKind.PERIOD):
        return PeriodReport.from_json(parse(raw))


def request_period(wanted: Period, committee: Committee, http: HttpClient) -> PeriodReport:
    """Let the operators sign the report on a period. It is verified.

    Raises as `certified_period`.
    """
    last = wanted.end
    if wanted.is_open:
        last = cut_at_settled(wanted, queries.settled_until(committee, http))
    return certified_period(committee, http, wanted.begin, last)


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
