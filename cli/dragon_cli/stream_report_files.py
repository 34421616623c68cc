"""Read, verify and judge the files of stream reports."""

from __future__ import annotations

from pathlib import Path

from dragon.errors import ClaimMissing, EndNotShown, InvalidEncoding
from dragon.protocol.streams.stream_report import StreamReport, is_report
from dragon.protocol.streams.stream_report_verification import verify_stream_report
from dragon.protocol.streams.stream_summary import StreamSummary, windows_text
from dragon.protocol.trust import Trust
from dragon_cli.file_kinds import FileKind, reading
from dragon_cli.files import cannot, read_beginning

BEGINNING_BYTES = 64 * 1024  # more than the first line of a report has


def verified(file: Path, trust: Trust, stream: bytes) -> StreamSummary:
    """Verify the report in a file, line by line, and return what it proves.

    Raises StreamReportRefused, InvalidEncoding, InvalidStream, UnknownKind; UnusableFile, WrongFile
    if it is no report.
    """
    beginning = read_beginning(file, BEGINNING_BYTES)
    with reading(file, beginning, FileKind.STREAM_REPORT):
        if not is_report(beginning):
            raise InvalidEncoding("the first line is not that of a stream report")
        try:
            with file.open("rb") as lines:
                report = StreamReport.read(lines.readline)
                return verify_stream_report(report, trust, stream=stream)
        except OSError as error:
            raise cannot("read", file, error) from None


def check_claims(summary: StreamSummary) -> None:
    """Check that every window has the claim about its readings. Raises ClaimMissing."""
    if summary.descriptor.readings is None:
        message = "the stream makes no claim about readings"
        raise ClaimMissing(message, report=summary.to_json())
    if summary.unclaimed:
        message = f"without the claim about readings: {windows_text(summary.unclaimed)}"
        raise ClaimMissing(message, report=summary.to_json())


def check_end(summary: StreamSummary) -> None:
    """Check that a window behind the period shows that none is missing. Raises EndNotShown.

    The writer of a report can end it before a window that it does not like.
    """
    if not summary.is_closed:
        message = f"the report ends with window {summary.last.number}, and shows no later one"
        raise EndNotShown(message, report=summary.to_json())
