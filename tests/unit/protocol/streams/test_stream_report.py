"""Stream reports: what they prove, and every reason for which one is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from committees import make_members
from dragon import errors
from dragon.encoding import canonical, parse
from dragon.protocol import merkle
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.status import Status
from dragon.protocol.claims.window import InvalidReason, Statement, Verdict
from dragon.protocol.streams.certified_window import ReportReason
from dragon.protocol.streams.closing import Closing, HeaderClaim
from dragon.protocol.streams.reading_sums import StatedSum
from dragon.protocol.streams.stream_report import (
    MAX_LINE_BYTES,
    MAX_LOADED_BYTES,
    ReportedWindow,
    Shortener,
    StreamReport,
    completed,
    is_report,
)
from dragon.protocol.streams.stream_report_verification import verify_stream_report
from dragon.protocol.streams.stream_summary import StreamSummary, sentence
from dragon.protocol.streams.window import sign
from dragon.protocol.trust import Trust
from stream_reports import Ledger, ledger
from streams import START_MS, Window, make_owner
from timed_readings import ReadingOwner, make_reading_owner, readings

MEMBERS = make_members(4, targets=1)
OWNER = make_reading_owner(MEMBERS)
STREAM = OWNER.descriptor.id
START = START_MS // 1000
PERIOD = (START, START + 60)
HOT = b"9.100"  # above the bounds
WINDOWS = (
    [b"4.000", b"4.250", b"4.500"],
    [b"4.600", b"4.700", HOT],
    [b"4.800", b"4.900"],  # its step from the hot one is too large
    [b"5.000", b"5.100", b"5.200"],
    [b"5.300"],
)
PROVEN_READINGS = 3 + 3 + 1


def chain(owner: ReadingOwner = OWNER) -> list[Window]:
    """Five windows, ten seconds apart."""
    made: list[Window] = []
    for number, data in enumerate(WINDOWS):
        before = made[-1] if made else None
        made.append(owner.window(data, before, began_ms=START_MS + 10_000 * number))
    return made


@dataclass
class Story:
    """A stream with five certified windows among other events, and a checkpoint over all."""

    ledger: Ledger
    mark: Certificate

    def report(self, first: int = 0, last: int = 4, **more: Any) -> StreamReport:
        period = more.pop("period", PERIOD)
        return self.ledger.report(range(first, last + 1), self.mark, period, **more)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with ledger(tmp_path_factory.mktemp("story"), MEMBERS, OWNER) as made:
        made.log.status(Status.UP, 1)
        for number, window in enumerate(chain()):
            proof = OWNER.prove_claim(window, made.windows[-1] if made.windows else None)
            made.certify(window, 150 + number, proof)
            made.log.status(Status.DOWN if number % 2 == 0 else Status.UP, 150 + number)
        yield Story(made, made.log.checkpoint(170))


def verified(report: StreamReport, known: Any = MEMBERS.committee) -> StreamSummary:
    """Verify a report that was written and read again."""
    raw = b"".join(report.encode())
    return verify_stream_report(StreamReport.load(raw), known, stream=STREAM)


def refusal(report: StreamReport, known: Any = MEMBERS.committee) -> errors.StreamReportRefused:
    with pytest.raises(errors.StreamReportRefused) as refused:
        verified(report, known)
    return refused.value


def with_line(report: StreamReport, index: int, **changes: Any) -> StreamReport:
    """The report with other members of one window."""
    lines = list(report.windows)
    lines[index] = replace(lines[index], window=replace(lines[index].window, **changes))
    return replace(report, windows=lines)


def with_head(report: StreamReport, **changes: Any) -> StreamReport:
    return replace(report, head=replace(report.head, **changes))


# -- what a report proves --------------------------------------------------------------------------


def test_a_report_counts_windows_readings_and_the_windows_without_the_claim(story: Story) -> None:
    summary = verified(story.report())

    assert (summary.first.number, summary.last.number, summary.windows) == (0, 4, 5)
    assert summary.chunks == sum(map(len, WINDOWS)) == 12
    assert (summary.claimed, summary.readings) == (3, PROVEN_READINGS)
    assert [(each.number, each.chunks) for each in summary.unclaimed] == [(1, 3), (2, 2)]
    rounds = MEMBERS.committee.rounds
    assert summary.certified == (rounds.start(150), rounds.start(154))
    assert summary.mark_time == rounds.start(170)
    assert summary.first.first_received_ms == START_MS
    assert not summary.has_proofs


def test_a_carried_reading_is_counted_once_in_the_sum_of_the_period(story: Story) -> None:
    summary = verified(story.report())

    assert summary.sum == (PROVEN_READINGS * 2000, PROVEN_READINGS * 8000)


def test_the_sentence_speaks_of_committed_readings_and_names_all_windows_without_claim(
    story: Story,
) -> None:
    assert sentence(verified(story.report())) == (
        f"Windows 0 to 4 without a gap of stream 0x{STREAM.hex()}: in the 3 windows with the "
        "claim, every one of 7 committed readings is from 2 to 8 °C, each at most 0.5 °C below and "
        "at most 0.5 °C above the one before; without the claim: windows 1 to 2 (5 chunks); "
        "whether more windows of the period followed is not shown."
    )


def test_a_report_without_unclaimed_windows_says_so(story: Story) -> None:
    summary = verified(story.report(3, 4, period=(START + 30, START + 60)))

    assert summary.unclaimed == ()
    assert sentence(summary) == (
        f"Windows 3 to 4 without a gap of stream 0x{STREAM.hex()}: every one of 4 committed "
        "readings is from 2 to 8 °C, each at most 0.5 °C below and at most 0.5 °C above the one "
        "before; no window is without the claim; whether more windows of the period followed is "
        "not shown."
    )


def test_a_report_in_which_no_window_claims_anything_says_so(story: Story) -> None:
    summary = verified(story.report(1, 2, period=(START + 10, START + 30), behind=3))

    assert summary.sum is None
    assert sentence(summary) == (
        f"Windows 1 to 2 without a gap of stream 0x{STREAM.hex()} are certified, and none of them "
        "carries a claim about its readings."
    )


def test_the_next_window_shows_that_the_period_has_no_further_one(story: Story) -> None:
    assert not verified(story.report()).is_closed
    summary = verified(story.report(0, 2, period=(START, START + 30), behind=3))
    assert summary.is_closed
    assert summary.last.number == 2
    assert "not shown" not in sentence(summary)


def test_a_report_that_ends_before_a_window_without_the_claim_says_so(story: Story) -> None:
    summary = verified(story.report(0, 0, period=(START, START + 60)))  # windows 1 to 4 left out

    assert summary.unclaimed == ()
    assert sentence(summary).endswith("; whether more windows of the period followed is not shown.")


def test_the_period_takes_every_window_with_a_chunk_in_it(story: Story) -> None:
    last_of_1 = story.ledger.header(1).last_received_ms
    begin = last_of_1 // 1000  # the last chunk of window 1 arrived in this second
    summary = verified(story.report(1, 2, period=(begin, START + 30), behind=3))

    assert summary.first.number == 1
    assert summary.chunks == 5  # windows are reported whole


def test_a_report_with_proofs_needs_no_trust_in_the_voters(story: Story) -> None:
    summary = verified(story.report(with_proofs=True))

    assert summary.has_proofs
    assert summary.claimed == 3


def test_the_sum_of_a_stated_sum_is_that_of_the_headers(tmp_path: Path) -> None:
    owner = make_reading_owner(MEMBERS, "meter", readings(sum=StatedSum(0)))
    with ledger(tmp_path, MEMBERS, owner) as made:
        for number, window in enumerate(chain(owner)):
            made.certify(window, 150 + number)
        report = made.report(range(5), made.log.checkpoint(170), PERIOD)
    summary = verify_stream_report(report, MEMBERS.committee, stream=owner.descriptor.id)

    assert summary.sum == (12750 + 15300 + 5300,) * 2
    assert "and their sum is 33.35 °C; without the claim" in sentence(summary)


def test_a_stream_without_readings_has_reports_too(tmp_path: Path) -> None:
    owner = make_owner(MEMBERS)
    first = owner.window([b"a", b"b"])
    second = owner.window([b"c"], first)
    with ledger(tmp_path, MEMBERS, owner) as made:
        made.certify(first, 150, owner.prove(first))
        made.certify(second, 151, owner.prove(second))
        report = made.report(range(2), made.log.checkpoint(170), PERIOD, with_proofs=True)
    summary = verify_stream_report(report, MEMBERS.committee, stream=owner.descriptor.id)

    assert (summary.windows, summary.chunks, summary.readings) == (2, 3, 0)
    assert summary.unclaimed == ()
    assert sentence(summary) == (
        f"Windows 0 to 1 without a gap of stream 0x{owner.descriptor.id.hex()} with 3 chunks are "
        "certified; this stream makes no claim about readings; whether more windows of the period "
        "followed is not shown."
    )


def test_the_summary_for_programs_has_exact_integers(story: Story) -> None:
    told = verified(story.report()).to_json()

    assert told["sum"] == {"low": "14000", "high": "56000"}
    assert told["windows_without_claim"][0] == {
        "window": 1,
        "chunks": 3,
        "first_received_ms": START_MS + 10_000,
        "last_received_ms": START_MS + 10_020,
    }


# -- across handovers ------------------------------------------------------------------------------


def test_one_mark_of_the_newest_committee_covers_windows_of_older_ones(tmp_path: Path) -> None:
    windows = chain()
    with ledger(tmp_path, MEMBERS, OWNER) as made:
        made.certify(windows[0], 150)
        made.log.checkpoint(152)
        made.log.hand_over(160, add=["operator_5"])
        made.log.checkpoint(161)
        made.certify(windows[1], 170)
        mark = made.log.checkpoint(180)
        lineage = made.log.lineage()
        report = made.report(range(2), mark, PERIOD)
    lineage.verify()

    assert verified(report, lineage).windows == 2
    # Who knows the committee of epoch 0 only cannot verify what a later one signed.
    assert refusal(report).reason == ReportReason.MARK


def test_a_mark_of_a_committee_that_has_handed_over_is_superseded(tmp_path: Path) -> None:
    with ledger(tmp_path, MEMBERS, OWNER) as made:
        made.certify(chain()[0], 150)
        mark = made.log.checkpoint(152)
        report = made.report(range(1), mark, PERIOD)
        handover = made.log.hand_over(160, add=["operator_5"])
        made.log.checkpoint(161)
        lineage = made.log.lineage()
        renewed = made.report(range(1), handover, PERIOD)
    lineage.verify()

    assert refusal(report, lineage).reason == ReportReason.SUPERSEDED
    assert verified(report, Trust(lineage, 0)).windows == 1
    assert verified(renewed, lineage).windows == 1  # a handover counts under later committees


def test_a_mark_cannot_cover_what_a_later_committee_signed(tmp_path: Path) -> None:
    """A handover counts for ever, but only for what its committee and earlier ones signed."""
    windows = chain()
    with ledger(tmp_path, MEMBERS, OWNER) as made:
        made.certify(windows[0], 150)
        handover = made.log.hand_over(160, add=["operator_5"])
        made.log.checkpoint(161)
        report = made.report(range(1), handover, PERIOD)
        later = made.claim(windows[0], 170, b"a proof")
        lineage = made.log.lineage()
    lineage.verify()

    refused = refusal(with_line(report, 0, event=later), lineage)
    assert refused.reason == ReportReason.SUPERSEDED


# -- refusals --------------------------------------------------------------------------------------


def test_a_report_on_another_stream_is_refused(story: Story) -> None:
    with pytest.raises(errors.StreamReportRefused) as refused:
        verify_stream_report(story.report(), MEMBERS.committee, stream=bytes(32))

    assert refused.value.reason == ReportReason.OTHER_STREAM


def test_a_report_of_another_network_is_refused(story: Story) -> None:
    other = make_members(4, name="another").committee

    assert refusal(story.report(), other).reason == ReportReason.OTHER_NETWORK


def test_a_mark_without_a_quorum_is_refused(story: Story) -> None:
    few = replace(story.mark, signers=story.mark.signers[:1])

    assert refusal(with_head(story.report(), mark=few)).reason == ReportReason.MARK


def test_a_certificate_that_is_no_mark_is_refused(story: Story) -> None:
    status = MEMBERS.status("target_1", Status.UP, 3)

    assert refusal(with_head(story.report(), mark=status)).reason == ReportReason.MARK


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_a_window_without_the_claim_cannot_be_left_out(story: Story, missing: int) -> None:
    report = story.report()
    lines = [each for number, each in enumerate(report.windows) if number != missing]
    head = replace(report.head, windows=4)

    refused = refusal(StreamReport(head, lines))
    assert (refused.reason, refused.facts["window"]) == (ReportReason.GAP, missing + 1)


def test_windows_in_another_order_are_refused(story: Story) -> None:
    report = story.report()
    lines = list(report.windows)

    refused = refusal(replace(report, windows=[lines[0], lines[2], lines[1], *lines[3:]]))
    assert refused.reason == ReportReason.GAP


def test_a_report_that_begins_later_needs_the_header_before(story: Story) -> None:
    report = story.report(3, 4, period=(START + 30, START + 60))

    assert refusal(with_head(report, previous=None)).reason == ReportReason.GAP
    other = story.ledger.header(1)
    assert refusal(with_head(report, previous=other)).reason == ReportReason.GAP


def test_a_header_that_contradicts_the_one_before_is_a_gap(story: Story) -> None:
    header = replace(story.ledger.header(1), first=7)
    signed = sign(header, OWNER.descriptor, OWNER.header_secret)

    refused = refusal(with_line(story.report(), 1, header=header, signature=signed))
    assert refused.reason == ReportReason.GAP


def test_the_first_window_of_the_period_cannot_be_left_out(story: Story) -> None:
    report = story.report(1, 4)  # window 0 has chunks of the period

    refused = refusal(report)
    assert (refused.reason, refused.facts["window"]) == (ReportReason.PERIOD, 1)


def test_a_window_before_the_period_is_refused(story: Story) -> None:
    refused = refusal(story.report(0, 4, period=(START + 5, START + 60)))

    assert (refused.reason, refused.facts["window"]) == (ReportReason.PERIOD, 0)


def test_a_report_without_a_window_of_the_period_is_refused(story: Story) -> None:
    refused = refusal(story.report(3, 3, period=(START + 25, START + 26)))

    assert refused.reason == ReportReason.PERIOD


def test_nothing_may_follow_the_window_behind_the_period(story: Story) -> None:
    refused = refusal(story.report(0, 4, period=(START, START + 25)))

    assert refused.reason == ReportReason.INCOMPLETE


@pytest.mark.parametrize("count", [4, 6])
def test_a_report_with_another_number_of_windows_is_refused(story: Story, count: int) -> None:
    assert refusal(with_head(story.report(), windows=count)).reason == ReportReason.INCOMPLETE


def test_a_file_that_was_cut_between_two_lines_is_refused(story: Story) -> None:
    raw = b"".join(list(story.report().encode())[:-1])

    with pytest.raises(errors.StreamReportRefused) as refused:
        verify_stream_report(StreamReport.load(raw), MEMBERS.committee, stream=STREAM)
    assert refused.value.reason == ReportReason.INCOMPLETE


def altered_claim(story: Story, **changes: Any) -> StreamReport:
    """The report with a certified claim about window 0 that says something else."""
    window = story.ledger.windows[0]
    event = story.ledger.claim(window, 150, story.ledger.proofs[0], **changes)
    return with_line(story.report(), 0, event=event)


def test_an_event_about_another_window_is_refused(story: Story) -> None:
    assert refusal(altered_claim(story, header=bytes(32))).reason == ReportReason.EVENT
    assert refusal(altered_claim(story, stream=bytes(32))).reason == ReportReason.EVENT
    status = MEMBERS.status("target_1", Status.UP, 3)
    refused = refusal(with_line(story.report(), 0, event=status))
    assert refused.reason == ReportReason.EVENT


def test_an_invalid_window_is_refused(story: Story) -> None:
    invalid = {"verdict": Verdict.INVALID, "reason": InvalidReason.STARK}

    assert refusal(altered_claim(story, **invalid)).reason == ReportReason.EVENT


@pytest.mark.parametrize("statement", [Statement.BLOCKS, None])
def test_an_event_with_another_statement_than_the_header_is_refused(
    story: Story, statement: Statement | None
) -> None:
    refused = refusal(altered_claim(story, statement=statement))

    assert (refused.reason, refused.facts["window"]) == (ReportReason.STATEMENT, 0)


def test_an_event_with_other_parameters_is_refused(story: Story) -> None:
    refused = refusal(altered_claim(story, parameters="strong"))

    assert refused.reason == ReportReason.PARAMETERS


def test_a_header_without_the_members_of_readings_is_refused(tmp_path: Path) -> None:
    """Also if a quorum has certified it: the operators would have found it invalid."""
    window = chain()[0]
    header = replace(window.header, claim=None)
    altered = replace(window, header=header, signature=OWNER.sign(header))
    with ledger(tmp_path, MEMBERS, OWNER) as made:
        made.certify(altered, 150)
        report = made.report(range(1), made.log.checkpoint(170), PERIOD)

    assert refusal(report).reason == ReportReason.HEADER


def test_a_header_that_the_stream_did_not_sign_is_refused(story: Story) -> None:
    other = story.ledger.windows[1].signature

    refused = refusal(with_line(story.report(), 0, signature=other))
    assert refused.reason == ReportReason.SIGNATURE


def test_votes_without_a_quorum_are_refused(story: Story) -> None:
    event = story.ledger.events[0]
    few = MEMBERS.certify(event.claim, ["operator_1", "operator_2"])

    assert refusal(with_line(story.report(), 0, event=few)).reason == ReportReason.VOTES


def test_votes_of_an_unknown_committee_are_refused(story: Story) -> None:
    stranger = replace(story.ledger.events[0], committee_id=bytes(32))

    assert refusal(with_line(story.report(), 0, event=stranger)).reason == ReportReason.VOTES


@pytest.mark.parametrize("changes", [{"ledger_index": 99}, {"position": 0}, {"position": 10**6}])
def test_an_event_in_another_place_of_the_log_is_refused(
    story: Story, changes: dict[str, int]
) -> None:
    refused = refusal(with_line(story.report(), 2, **changes))

    assert (refused.reason, refused.facts["window"]) == (ReportReason.INCLUSION, 2)


def test_a_path_that_does_not_lead_to_the_mark_is_refused(story: Story) -> None:
    line = next(iter(story.report().windows))
    path = (bytes(32), *line.window.inclusion[1:])
    assert refusal(with_line(story.report(), 0, inclusion=path)).reason == ReportReason.INCLUSION
    assert refusal(with_line(story.report(), 0, inclusion=())).reason == ReportReason.INCLUSION
    long = (*line.window.inclusion, bytes(32))
    assert refusal(with_line(story.report(), 0, inclusion=long)).reason == ReportReason.INCLUSION


def test_a_window_behind_the_mark_is_refused(story: Story, tmp_path: Path) -> None:
    windows = chain()
    with ledger(tmp_path, MEMBERS, OWNER) as made:
        made.certify(windows[0], 150)
        mark = made.log.checkpoint(160)
        made.certify(windows[1], 161)
        covered = made.report(range(1), mark, PERIOD)
        late = made.placed(1, made.log.checkpoint(180))
    line = ReportedWindow(late)
    head = replace(covered.head, windows=2)

    refused = refusal(StreamReport(head, [*covered.windows, line]))
    assert refused.reason == ReportReason.INCLUSION


def test_a_claim_under_impossible_bounds_is_refused(tmp_path: Path) -> None:
    """A header that states a sum which its width does not allow claims nothing possible."""
    owner = make_reading_owner(MEMBERS, "meter", readings(sum=StatedSum(9)))
    honest = owner.window([b"4.000"])
    assert honest.header.stated == 4000
    header = replace(honest.header, stated=4001)
    altered = replace(honest, header=header, signature=owner.sign(header))
    with ledger(tmp_path, MEMBERS, owner) as made:
        made.certify(altered, 150)
        report = made.report(range(1), made.log.checkpoint(170), PERIOD)

    with pytest.raises(errors.StreamReportRefused) as refused:
        verify_stream_report(report, MEMBERS.committee, stream=owner.descriptor.id)
    assert refused.value.reason == ReportReason.BOUNDS


def proven_with(story: Story, index: int, **changes: Any) -> StreamReport:
    """The report with proofs, with another proof or other chunk headers of one window."""
    report = story.report(with_proofs=True)
    lines = list(report.windows)
    proven = lines[index].proven
    assert proven
    lines[index] = replace(lines[index], proven=replace(proven, **changes))
    return replace(report, windows=lines)


def test_a_promised_proof_must_not_be_missing(story: Story) -> None:
    assert refusal(with_head(story.report(), has_proofs=True)).reason == ReportReason.NO_PROOF


def test_another_proof_than_the_voted_one_is_refused(story: Story) -> None:
    refused = refusal(proven_with(story, 0, proof=story.ledger.proofs[1]))

    assert refused.reason == ReportReason.OTHER_PROOF


def test_other_chunk_headers_are_refused(story: Story) -> None:
    chunks = story.ledger.windows[0].chunks
    fewer = refusal(proven_with(story, 0, chunks=chunks[:-1]))
    other = refusal(proven_with(story, 0, chunks=(replace(chunks[0], length=5), *chunks[1:])))

    assert fewer.reason == other.reason == ReportReason.CHUNKS


def test_chunk_headers_that_contradict_the_header_are_refused(tmp_path: Path) -> None:
    """Also if a quorum has certified a header whose `last` is not the last commitment."""
    window = chain()[0]
    header = replace(window.header, last=window.chunks[0].commitment)
    altered = replace(window, header=header, signature=OWNER.sign(header))
    with ledger(tmp_path, MEMBERS, OWNER) as made:
        made.certify(altered, 150)
        mark = made.log.checkpoint(170)
        report = made.report(range(1), mark, PERIOD, with_proofs=True)

    assert refusal(report).reason == ReportReason.CHUNKS


@pytest.mark.parametrize("claim", [HeaderClaim.READINGS, HeaderClaim.NONE])
def test_a_proof_of_another_statement_is_refused(tmp_path: Path, claim: HeaderClaim) -> None:
    """A quorum that signs blindly cannot help an owner that proves something else."""
    window = OWNER.window([b"4.000"], closing=Closing(claim))
    other = HeaderClaim.NONE if claim is HeaderClaim.READINGS else HeaderClaim.READINGS
    proof = OWNER.prove_claim(replace(window, header=replace(window.header, claim=other)))
    with ledger(tmp_path, MEMBERS, OWNER) as made:
        made.certify(window, 150, proof)
        mark = made.log.checkpoint(170)
        report = made.report(range(1), mark, PERIOD, with_proofs=True)
        voted = made.report(range(1), mark, PERIOD)

    assert refusal(report).reason == ReportReason.PROOF
    assert verified(voted).windows == 1  # without proofs, the voters are trusted


def test_a_proof_under_other_bounds_than_those_of_the_descriptor_is_refused(
    tmp_path: Path,
) -> None:
    """The verifier computes the bounds: an owner that proves wider ones is not believed."""
    window = OWNER.window([HOT], closing=Closing(HeaderClaim.READINGS))
    wider = make_reading_owner(MEMBERS, stated=readings(high=9500))
    proof = wider.prove_claim(window)
    with ledger(tmp_path, MEMBERS, OWNER) as made:
        made.certify(window, 150, proof)
        report = made.report(range(1), made.log.checkpoint(170), PERIOD, with_proofs=True)

    assert refusal(report).reason == ReportReason.PROOF


def test_every_reason_is_tested_here_by_its_name() -> None:
    source = Path(__file__).read_text()

    assert [each for each in ReportReason if f"ReportReason.{each.name}" not in source] == []


# -- the form --------------------------------------------------------------------------------------


def test_a_report_is_read_line_by_line(story: Story) -> None:
    raw = b"".join(story.report(with_proofs=True).encode())
    longest = 0

    def read_line(most: int, source: BytesIO = BytesIO(raw)) -> bytes:  # noqa: B008
        nonlocal longest
        line = source.readline(most)
        longest = max(longest, len(line))
        return line

    report = StreamReport.read(read_line)
    assert verify_stream_report(report, MEMBERS.committee, stream=STREAM).windows == 5
    assert longest < len(raw) / 4


def test_a_line_that_is_not_canonical_is_refused(story: Story) -> None:
    lines = list(story.report().encode())
    spaced = lines[1].replace(b'":', b'": ', 1)

    with pytest.raises(errors.NotCanonical) as refused:
        StreamReport.load(b"".join([lines[0], spaced, *lines[2:]]))
    assert refused.value.facts["line"] == 2
    with pytest.raises(errors.NotCanonical):
        StreamReport.load(b"".join(lines)[:-1])  # without the last line feed


def test_a_line_that_is_too_long_is_refused(story: Story) -> None:
    lines = list(story.report().encode())
    with pytest.raises(errors.TooLarge):
        StreamReport.load(lines[0] + b'"' + b"a" * MAX_LINE_BYTES + b'"\n')


def test_a_file_that_is_too_large_is_not_loaded() -> None:
    with pytest.raises(errors.TooLarge):
        StreamReport.load(b" " * (MAX_LOADED_BYTES + 1))


@pytest.mark.parametrize(
    ("index", "change"),
    [
        (0, lambda value: value.pop("mark")),
        (0, lambda value: value.update(kind="receipt")),
        (0, lambda value: value.update({"to": value["from"]})),
        (0, lambda value: value.update(windows=0)),
        (0, lambda value: value.update(more=1)),
        (1, lambda value: value.pop("event")),
        (1, lambda value: value.update(chunks=[])),
        (1, lambda value: value.update(inclusion=["0x00"])),
        (1, lambda value: value.update(more=1)),
    ],
)
def test_a_malformed_line_is_refused(
    story: Story, index: int, change: Callable[[Any], None]
) -> None:
    lines = list(story.report().encode())
    value = parse(lines[index])
    change(value)
    lines[index] = canonical(value) + b"\n"

    with pytest.raises(errors.InvalidEncoding):
        StreamReport.load(b"".join(lines))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_no_byte_can_be_altered(story: Story, data: st.DataObject) -> None:
    raw = bytearray(b"".join(story.report().encode()))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))

    with pytest.raises(errors.DragonError):
        verify_stream_report(StreamReport.load(bytes(raw)), MEMBERS.committee, stream=STREAM)


def test_a_report_is_recognized_by_its_first_line(story: Story) -> None:
    raw = b"".join(story.report().encode())

    assert is_report(raw)
    assert not is_report(b"")
    assert not is_report(b'{"kind":"evidence"}\n')
    assert not is_report(raw[:100])


# -- shared paths ----------------------------------------------------------------------------------


def test_paths_state_only_what_differs(story: Story) -> None:
    whole = [story.ledger.placed(number, story.mark) for number in range(5)]
    shortener = Shortener()
    short = [shortener.shortened(each) for each in whole]
    size, path = story.mark.claim.size, ()  # type: ignore[attr-defined]

    assert sum(len(each.inclusion) for each in short) < sum(len(each.inclusion) for each in whole)
    for one, other in zip(short, whole, strict=True):
        path = completed(one, path, size)
        assert path == other.inclusion


@given(st.integers(1, 300), st.data())
def test_the_length_of_a_path_follows_from_index_and_size(size: int, data: st.DataObject) -> None:
    tree = merkle.Tree(hashlib.sha256(bytes([each % 256])).digest() for each in range(size))
    index = data.draw(st.integers(0, size - 1))

    assert merkle.path_length(index, size) == len(tree.inclusion(index))


def test_a_leaf_outside_the_tree_has_no_path() -> None:
    with pytest.raises(errors.NotFound):
        merkle.path_length(3, 3)
