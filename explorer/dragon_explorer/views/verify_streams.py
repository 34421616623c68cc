"""The verdict on a stream report that somebody has uploaded."""

from __future__ import annotations

from dragon.encoding import to_hex
from dragon.errors import StreamReportRefused
from dragon.log.store import Log
from dragon.protocol.streams.stream_report import StreamReport
from dragon.protocol.streams.stream_report_verification import verify_stream_report
from dragon.protocol.streams.stream_summary import StreamSummary, sentence, windows_text
from dragon.protocol.trust import Trust, certified_log
from dragon_explorer.views.verification import Line, LineOutcome, Verification, line


def stream_report(raw: bytes, trust: Trust, log: Log) -> Verification:
    """Verify a report of any stream: whoever has uploaded it compares the id."""
    report = StreamReport.load(raw)
    stream = report.head.descriptor.id
    try:
        summary = verify_stream_report(report, trust, stream=stream)
    except StreamReportRefused as error:
        refused = Line(error.reason, "refused", str(error))
        return Verification(
            "stream report", "refused", f"The stream report is refused: {error}.", (refused,)
        )
    lines = (
        Line("windows", "holds", f"{summary.windows} windows follow each other without a gap"),
        _period(summary),
        _claims(summary),
        _proofs(summary),
        line("log", lambda: _check_log(report, log)),
    )
    said = f"{sentence(summary)} Compare the stream's id with one that its owner has told you."
    if wrong := [each for each in lines if each.outcome == "refused"]:
        said = f"The stream report is refused: {wrong[0].detail}."
        return Verification("stream report", "refused", said, lines)
    return Verification("stream report", "verified", said, lines)


def _period(summary: StreamSummary) -> Line:
    if summary.is_closed:
        return Line("period", "holds", "the next window begins after the period")
    said = "no later window shows whether more chunks arrived in the period"
    return Line("period", "absent", said)


def _claims(summary: StreamSummary) -> Line:
    if summary.descriptor.readings is None:
        return Line("readings", "absent", "the stream makes no claim about readings")
    if summary.unclaimed:
        return Line("readings", "absent", f"without the claim: {windows_text(summary.unclaimed)}")
    return Line("readings", "holds", "every window has the claim about its committed readings")


def _proofs(summary: StreamSummary) -> Line:
    if summary.has_proofs:
        return Line("proofs", "holds", "the proof of every window was verified here")
    return Line("proofs", "absent", "the operators verified the proofs; the report has none")


def _check_log(report: StreamReport, log: Log) -> tuple[LineOutcome, str]:
    """Compare the log of the report's mark with the explorer's own."""
    size, root = certified_log(report.head.mark)
    if size > log.state.size:
        return "absent", f"this explorer has read {log.state.size} of the {size} entries"
    if log.head(size).root != root:
        return "refused", f"this explorer's log has another root at {size} entries"
    return "holds", f"this explorer's log has the same root {to_hex(root)} at {size} entries"
