"""The HTML file of a certified report: one file that shows the figures and proves them.

The file is a function of the data that it carries. To verify it, the data are verified and the
file is made again: a figure that was changed, hidden or added makes a difference.
"""

from __future__ import annotations

import re
from itertools import zip_longest
from typing import Final

from dragon.agreements.amounts import format_amount
from dragon.agreements.report import CertifiedReport
from dragon.encoding import Members, canonical, parse
from dragon.errors import NotJson, ReportAltered, UnknownValue
from dragon.protocol.trust import Trust
from dragon_cli.file_kinds import CERTIFIED_REPORT_DATA
from dragon_cli.report.certified import Verified, pays, percent, share
from dragon_cli.report.pages import html_page

FORMAT: Final = 1  # of the file; another template needs another number
MAX_HTML_BYTES: Final = 16 << 20  # a file with 8,192 nodes has about 5 MB
TEMPLATE: Final = "certified.html.j2"
MAX_SHOWN_CHARACTERS: Final = 120  # of a line that was altered

_DATA: Final = re.compile(re.escape(CERTIFIED_REPORT_DATA) + "(.*?)</script>", re.DOTALL)
_TAG: Final = re.compile(r"<[^<>]*>")
# The data stand in a data block, which ends with the next "</script>".
_ESCAPES: Final = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def as_html(verified: Verified) -> str:
    """Return one HTML file that carries its certificate, leaves, rule and payout as JSON."""
    data = canonical({"format": FORMAT, "report": verified.report.to_json()}).decode()
    return html_page(
        TEMPLATE,
        verified=verified,
        claim=verified.claim,
        committee=verified.committee,
        certificate=verified.report.period.certificate,
        payout=verified.payout,
        rows=list(verified.rows()),
        data=data.translate(_ESCAPES),
        percent=percent,
        share=share,
        pays=pays,
        data_block=CERTIFIED_REPORT_DATA,
        amount=format_amount,
        format=FORMAT,
    )


def verify_html(raw: bytes, trust: Trust) -> Verified:
    """Verify a file: its certificate, its leaves, and every figure that it shows.

    Raises:
        NotJson: the file is no text, or carries no certified report.
        InvalidEncoding, InvalidRule: what it carries is malformed, or of another format.
        InvalidProof: the leaves are not those of the certificate.
        CertificateError: the certificate does not verify; a subclass says why.
        ReportAltered: the file shows something else than its data give.
    """
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise NotJson("the file is not a text in UTF-8") from None
    verified = Verified.of(embedded(text), trust)
    # Mail and editors may change the line ends, which nobody sees.
    shown, expected = (each.replace("\r\n", "\n") for each in (text, as_html(verified)))
    if shown != expected:
        raise _altered(shown, expected)
    return verified


def embedded(text: str) -> CertifiedReport:
    """Return the report that a file carries, not verified. Raises NotJson, InvalidEncoding."""
    if (found := _DATA.search(text)) is None:
        raise NotJson("the file carries no certificate and proves nothing")
    members = Members(parse(found[1]), "the report's data")
    if (number := members.integer("format")) != FORMAT:
        message = f"the file has format {number}; this release verifies format {FORMAT}"
        raise UnknownValue(message, member="format", value=number)
    report = CertifiedReport.from_json(members.take("report"))
    members.end()
    return report


def _altered(text: str, expected: str) -> ReportAltered:
    """Return the refusal that names the first line that differs."""
    lines = enumerate(zip_longest(text.split("\n"), expected.split("\n")), start=1)
    number, found, wanted = next((at, *pair) for at, pair in lines if pair[0] != pair[1])
    shown, should = _words(found or ""), _words(wanted or "")
    if shown == should:  # the difference is in the markup, or in blanks
        shown, should = found or "", wanted or ""
    message = (
        f"line {number} shows {_cut(shown)}, but the certified data give {_cut(should)}: the "
        "report was altered"
    )
    return ReportAltered(message, line=number)


def _words(line: str) -> str:
    """Return what a reader sees of a line."""
    return " ".join(_TAG.sub(" ", line).split())


def _cut(text: str) -> str:
    return f"{ascii(text[:MAX_SHOWN_CHARACTERS])[1:-1]!r}" if text else "nothing"
