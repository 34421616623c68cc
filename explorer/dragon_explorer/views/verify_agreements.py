"""Verdicts on documents of agreements: period reports, proofs of leaves, and evidence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from dragon.agreements.amounts import format_amount
from dragon.agreements.report import CertifiedReport
from dragon.encoding import Json, parse, to_hex
from dragon.errors import DragonError, InvalidProof
from dragon.log.store import Log
from dragon.protocol import merkle
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.base import kind_of, utc
from dragon.protocol.evidence.contradictions import contradictions
from dragon.protocol.evidence.file import Evidence, Outcome
from dragon.protocol.evidence.verification import VerifiedEvidence, VerifiedOperator, verify
from dragon.protocol.period import PeriodReport, ProvenLeaf, report_tree
from dragon.protocol.trust import Trust
from dragon_explorer.views.verification import (
    Line,
    LineOutcome,
    Verdict,
    Verification,
    What,
    check_logged,
    check_signatures,
    is_superseded,
    line,
)

PAGE_BEGIN: Final = b"<"
# As in `dragon report --certified`.
DATA_BEGIN: Final = b'<script type="application/json" id="certified-report">'
DATA_END: Final = b"</script>"
SILENT: Final = {
    Outcome.NO_RECORDS: "has no record of that time",
    Outcome.NO_ANSWER: "gave the collector no usable answer",
    Outcome.INVALID: "answered with records that do not verify",
}
LIMITS: Final = (
    "It proves what each operator signed that it saw and answered, and in which order. It does not "
    "prove that an operator really saw it."
)


class NoReport(DragonError):
    """A page without a certified report."""


def is_page(raw: bytes) -> bool:
    """Whether a document is HTML."""
    return raw.lstrip().startswith(PAGE_BEGIN)


def embedded(raw: bytes) -> Json:
    """Return the report that a page carries. Raises NoReport, InvalidEncoding."""
    _, begin, rest = raw.partition(DATA_BEGIN)
    data, end, _ = rest.partition(DATA_END)
    if not begin or not end:
        raise NoReport("it is a page that carries no certified report")
    found = parse(data)
    return found.get("report") if isinstance(found, dict) else None


def period(value: Json, trust: Trust, log: Log) -> Verification:
    """The verdict on a period report."""
    report = PeriodReport.from_json(value)
    return _judged("period", report.certificate, _report_lines(report, trust, log))


def report(value: Json, trust: Trust, log: Log, *, is_page: bool) -> Verification:
    """The verdict on a certified report: on its data, and not on what a page shows of them."""
    found = CertifiedReport.from_json(value)
    lines = _report_lines(found.period, trust, log)
    if found.terms is not None:
        lines.append(line("payout", lambda: ("holds", _payout(found))))
    if is_page:
        detail = "`dragon verify report` checks that the page shows these figures"
        lines.append(Line("page", "absent", detail))
    return _judged("report", found.period.certificate, lines)


def leaf(value: Json, trust: Trust, log: Log) -> Verification:
    """The verdict on the proof of one node's part of a period report."""
    found = ProvenLeaf.from_json(value)

    def path() -> tuple[LineOutcome, str]:
        claim = found.claim
        merkle.verify_inclusion(found.leaf.hash, found.index, claim.nodes, found.path, claim.report)
        return "holds", f"leaf {found.index} of {claim.nodes} in the certified report"

    lines = [*_certificate_lines(found.certificate, trust, log), line("leaf", path)]
    downtime = found.leaf.downtime(found.claim)
    sentence = f"{kind_of(downtime).sentence(downtime)}."
    return _judged("leaf", found.certificate, lines, sentence)


def _certificate_lines(certificate: Certificate, trust: Trust, log: Log) -> Iterator[Line]:
    yield line("signatures", lambda: check_signatures(certificate, trust))
    if is_superseded(certificate, trust):
        yield line("committee", lambda: check_logged(certificate, log))


def _report_lines(found: PeriodReport, trust: Trust, log: Log) -> list[Line]:
    def leaves() -> tuple[LineOutcome, str]:
        claim = found.claim
        if len(found.leaves) != claim.nodes or report_tree(found.leaves).root() != claim.report:
            raise InvalidProof("the leaves are not those of the certified report")
        return "holds", f"{claim.nodes} nodes, root {to_hex(claim.report)}"

    return [*_certificate_lines(found.certificate, trust, log), line("leaves", leaves)]


def _payout(found: CertifiedReport) -> str:
    payout = found.payout()
    if payout is None:
        return ""
    rule = payout.rule

    def money(units: int) -> str:
        return f"{format_amount(units, rule.decimals)} {rule.unit}".rstrip()

    return (
        f"{money(payout.units)}: {money(payout.distributed)} to {len(payout.earnings)} nodes, "
        f"{money(payout.undistributed)} undistributed; by the rule with SHA-256 "
        f"{to_hex(rule.sha256)}. The author of the report chose rule and payout."
    )


def _judged(
    what: What, certificate: Certificate, lines: list[Line], sentence: str = ""
) -> Verification:
    wrong = [each for each in lines if each.outcome == "refused"]
    is_complete = all(each.outcome == "holds" for each in lines)
    claim = certificate.claim
    said = sentence or f"{kind_of(claim).sentence(claim)}."
    if wrong:
        said = f"The {what} is refused: {wrong[0].name}: {wrong[0].detail}."
    verdict: Verdict = "refused" if wrong else "verified" if is_complete else "incomplete"
    return Verification(what, verdict, said, tuple(lines))


def evidence(value: Json, trust: Trust) -> Verification:
    """The verdict on operators' records about a node. Raises DragonError: it is refused."""
    found = verify(Evidence.from_json(value), trust)
    lines = [_operator_line(each, found) for each in found.operators]
    lines += [
        Line("contradiction", "holds", f"{each.detail} ({each.kind})")
        for each in contradictions([found])
    ]
    return Verification("evidence", "verified", f"{_about(found)} {LIMITS}", tuple(lines))


def _about(found: VerifiedEvidence) -> str:
    count = sum(len(each.said.records) for each in found.operators)
    said = found.evidence
    sentence = f"{count} signed records about {said.node_id}, {utc(said.begin)} to {utc(said.end)}."
    if found.claim is None:
        return f"{sentence} No change of its status is certified near that time."
    return f"{sentence} Certified: {kind_of(found.claim).sentence(found.claim)}."


def _operator_line(each: VerifiedOperator, found: VerifiedEvidence) -> Line:
    said = each.said
    signed = "signed the certificate; " if said.operator in found.signers else ""
    if not said.records:
        detail = f" ({each.detail})" if each.detail else ""
        return Line(said.operator, "absent", f"{signed}{SILENT[each.outcome]}{detail}")
    remarks = [f"{len(said.records)} records"]
    answer = said.answer_to(found.claim) if found.claim else None
    if answer is not None:
        verb = "signed" if answer.is_attested else f"refused ({answer.answer})"
        remarks.append(f"{verb} {answer.status}, {utc(answer.first_ms // 1000)}")
    look = said.seen_at(1000 * found.claim.timestamp) if found.claim else None
    if look is not None:
        remarks.append(f"saw {look.status} ({look.reason}), {utc(look.first_ms // 1000)}")
    if not said.counts:
        remarks.append("does not count: signed with a key that was replaced")
    if said.gaps:
        remarks.append("records are missing between two chains")
    return Line(said.operator, "holds", signed + "; ".join(remarks))
