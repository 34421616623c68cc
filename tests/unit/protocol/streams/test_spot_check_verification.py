"""Spot checks: every refusal by its name, and owners that lie."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from committees import make_members
from dragon import errors
from dragon.encoding import canonical, parse
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.status import Status
from dragon.protocol.claims.window import Statement
from dragon.protocol.lineage import Lineage
from dragon.protocol.log_entry import ProvenEntry
from dragon.protocol.streams.certified_window import ReportReason
from dragon.protocol.streams.disclosure import DisclosureReason
from dragon.protocol.streams.spot_check import (
    MAX_ANSWER_BYTES,
    DisclosedChunk,
    SpotCheckAnswer,
    SpotCheckReason,
    SpotCheckRequest,
)
from dragon.protocol.streams.spot_check_verification import (
    NOT_ANSWERED,
    NOT_IN_WINDOW,
    NOT_OPENED,
    SpotCheck,
    verify_spot_check,
)
from stream_reports import Ledger, ledger
from streams import START_MS, make_owner
from timed_readings import make_reading_owner

MEMBERS = make_members(4, targets=1)
ROUNDS = MEMBERS.committee.rounds
OWNER = make_reading_owner(MEMBERS)
REQUESTED = ROUNDS.start(165) + 2
SIZES = (3, 5, 1, 4, 2)  # chunks of the windows
FALSE = 6  # sequence of the chunk whose commitment is not the number in its data


def value(sequence: int) -> int:
    return 4000 + 10 * sequence


def data_of(sequence: int) -> bytes:
    return f"4.{10 * sequence:03d}".encode()


@dataclass
class Story:
    """Five certified windows, of which one has a false number, and the checkpoints behind them."""

    ledger: Ledger
    early: Certificate  # before the request
    checkpoint: Certificate  # that draws the chunks
    later: Certificate  # the next one, whose log has it

    def request(self, **changes: Any) -> SpotCheckRequest:
        made = SpotCheckRequest(OWNER.descriptor.id, 0, 4, 6, REQUESTED, bytes(32))
        return replace(made, **changes)

    def answer(self, request: SpotCheckRequest) -> SpotCheckAnswer:
        return self.ledger.answer(request, self.checkpoint)

    def drawing(self, *wanted: int, without: tuple[int, ...] = ()) -> SpotCheckRequest:
        """A request that draws these chunks, and not the others."""
        for nonce in range(10_000):
            request = self.request(nonce=nonce.to_bytes(32, "big"))
            drawn = {each.header.sequence for each in self.answer(request).chunks}
            if drawn.issuperset(wanted) and drawn.isdisjoint(without):
                return request
        raise AssertionError("no nonce draws these chunks")


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with ledger(tmp_path_factory.mktemp("story"), MEMBERS, OWNER) as made:
        made.log.status(Status.UP, 1)
        for number, size in enumerate(SIZES):
            first = sum(SIZES[:number])
            sequences = range(first, first + size)
            window = OWNER.window(
                [data_of(each) for each in sequences],
                made.windows[-1] if made.windows else None,
                began_ms=START_MS + 10_000 * number,
                values=[value(each) - (each == FALSE) for each in sequences],
            )
            made.certify(window, 150 + number)
        early = made.log.checkpoint(155)
        made.log.status(Status.DOWN, 160)
        checkpoint = made.log.checkpoint(168)
        made.log.status(Status.UP, 170)
        yield Story(made, early, checkpoint, made.log.checkpoint(181))


def checked(
    answer: SpotCheckAnswer, request: SpotCheckRequest, known: Any = MEMBERS.committee
) -> SpotCheck:
    """Verify an answer that was written and read again."""
    return verify_spot_check(SpotCheckAnswer.decode(answer.encode()), known, request=request)


def refusal(
    answer: SpotCheckAnswer, request: SpotCheckRequest, known: Any = MEMBERS.committee
) -> errors.SpotCheckRefused:
    with pytest.raises(errors.SpotCheckRefused) as refused:
        checked(answer, request, known)
    return refused.value


def fault(answer: SpotCheckAnswer, request: SpotCheckRequest, sequence: int) -> str:
    [found] = [each for each in checked(answer, request).chunks if each.sequence == sequence]
    return found.fault


def with_chunk(answer: SpotCheckAnswer, index: int, **changes: Any) -> SpotCheckAnswer:
    chunks = list(answer.chunks)
    chunks[index] = replace(chunks[index], **changes)
    return replace(answer, chunks=tuple(chunks))


# -- what an answer shows --------------------------------------------------------------------------


def test_an_honest_answer_shows_the_drawn_readings(story: Story) -> None:
    request = story.drawing(without=(FALSE,))

    found = checked(story.answer(request), request)

    assert (found.total, len(found.chunks), found.failed) == (15, 6, ())
    assert all(each.reading == value(each.sequence) for each in found.chunks)
    assert found.checkpoint == story.checkpoint.claim


def test_a_false_number_fails_when_its_chunk_is_drawn(story: Story) -> None:
    request = story.drawing(FALSE)

    found = checked(story.answer(request), request)

    [failed] = found.failed
    assert (failed.sequence, failed.fault) == (FALSE, DisclosureReason.NUMBER)
    assert found.to_json()["failed"] == 1


def test_all_chunks_are_checked_if_there_are_not_more(story: Story) -> None:
    request = story.request(chunks=1000)

    found = checked(story.answer(request), request)

    assert [each.sequence for each in found.chunks] == list(range(15))
    assert [each.sequence for each in found.failed] == [FALSE]
    assert found.found_probability(1) == 1


def test_a_part_of_the_windows_can_be_checked(story: Story) -> None:
    request = story.request(first=1, last=2, chunks=3)

    found = checked(story.answer(request), request)

    assert found.total == 6
    assert {each.sequence for each in found.chunks} <= set(range(3, 9))


def test_a_lying_owner_is_caught_as_often_as_stated(story: Story) -> None:
    """One false number of 15 with six drawn: 6/15 of the requests, with nonces of a fixed seed."""
    source, times = random.Random(19), 300
    requests = [story.request(nonce=source.randbytes(32)) for _ in range(times)]
    caught = 0
    for request in requests:
        drawn = [each.header.sequence for each in story.answer(request).chunks]
        caught += FALSE in drawn

    one = story.drawing(FALSE)
    expected = float(checked(story.answer(one), one).found_probability(1))
    assert expected == 6 / 15
    assert abs(caught / times - expected) < 4 * (expected * (1 - expected) / times) ** 0.5


def test_a_stream_without_readings_can_be_checked(tmp_path: Path) -> None:
    owner = make_owner(MEMBERS)
    with ledger(tmp_path, MEMBERS, owner) as made:
        made.certify(owner.window([b"a", b"bb", b""]), 150)
        made.log.status(Status.UP, 160)
        checkpoint = made.log.checkpoint(168)
        made.log.checkpoint(181)
        request = SpotCheckRequest(owner.descriptor.id, 0, 0, 3, REQUESTED, bytes(32))
        answer = made.answer(request, checkpoint)

    assert checked(answer, request).failed == ()
    assert fault(with_chunk(answer, 0, data=b"b"), request, 0) == DisclosureReason.DIGEST
    assert fault(with_chunk(answer, 1, data=b"b"), request, 1) == DisclosureReason.LENGTH
    opening = (answer.chunks[0].opening or b"")[:-1] + b"\0"
    found = fault(with_chunk(answer, 0, opening=opening), request, 0)
    assert found == DisclosureReason.COMMITMENT


def test_an_answer_across_a_handover_counts_with_the_lineage(tmp_path: Path) -> None:
    with ledger(tmp_path, MEMBERS, OWNER) as made:
        made.certify(OWNER.window([data_of(0), data_of(1)]), 150)
        made.log.checkpoint(152)
        made.log.hand_over(160, add=["operator_5"])
        checkpoint = made.log.checkpoint(168)
        made.log.checkpoint(181)
        lineage = made.log.lineage()
        request = SpotCheckRequest(OWNER.descriptor.id, 0, 0, 1, REQUESTED, bytes(32))
        answer = made.answer(request, checkpoint)
        before_handover = replace(request, timestamp=ROUNDS.start(159))
        ambiguous = made.answer(before_handover, checkpoint)
        end = Lineage.of(made.log.newest.committee)
    lineage.verify()

    assert checked(answer, request, lineage).failed == ()
    # Before the handover another checkpoint may have been the first one.
    refused = refusal(ambiguous, before_handover, lineage)
    assert refused.reason == SpotCheckReason.NOT_FIRST
    # A committee file alone does not show when its committee took its seat, nor who voted before.
    assert refusal(answer, request, end).reason == SpotCheckReason.NOT_FIRST


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other", [{"nonce": b"\1" * 32}, {"chunks": 7}, {"last": 3}, {"timestamp": REQUESTED - 1}]
)
def test_an_answer_to_another_request_is_refused(story: Story, other: dict[str, Any]) -> None:
    """An owner cannot keep the answer whose chunks suit it, and give it again."""
    answer = story.answer(story.request(**other))

    refused = refusal(answer, story.request())
    assert refused.reason == SpotCheckReason.OTHER_REQUEST
    # Nor can it put the request into another answer: that request draws other chunks.
    replayed = replace(story.answer(story.request(nonce=b"\2" * 32)), request=story.request())
    found = refusal(replayed, story.request())
    assert found.reason == SpotCheckReason.NOT_DRAWN


def test_an_answer_of_another_stream_is_refused(story: Story) -> None:
    request = story.request(stream=bytes(32))
    answer = replace(story.answer(story.request()), request=request)

    assert refusal(answer, request).reason == ReportReason.OTHER_STREAM


def test_an_answer_of_another_network_is_refused(story: Story) -> None:
    other = make_members(4, name="another").committee

    found = refusal(story.answer(story.request()), story.request(), other)
    assert found.reason == ReportReason.OTHER_NETWORK


def with_checkpoint(story: Story, proven: ProvenEntry) -> SpotCheckAnswer:
    return replace(story.answer(story.request()), checkpoint=proven)


def test_another_event_draws_no_chunks(story: Story) -> None:
    status = story.ledger.log.log.anchored(0)
    assert status is not None

    found = refusal(with_checkpoint(story, status), story.request())
    assert found.reason == SpotCheckReason.CHECKPOINT


def test_a_checkpoint_that_was_not_applied_draws_no_chunks(story: Story) -> None:
    """Otherwise an owner and an aggregator could certify several, and take the one they like."""
    proven = story.ledger.anchored(story.checkpoint)

    found = refusal(with_checkpoint(story, replace(proven, anchor=None)), story.request())
    assert found.reason == SpotCheckReason.CHECKPOINT
    moved = replace(proven, entry=replace(proven.entry, position=1))
    found = refusal(with_checkpoint(story, moved), story.request())
    assert found.reason == SpotCheckReason.CHECKPOINT


def test_a_checkpoint_without_a_quorum_draws_no_chunks(story: Story) -> None:
    proven = story.ledger.anchored(story.checkpoint)
    few = MEMBERS.certify(story.checkpoint.claim, ["operator_1"])
    forged = replace(proven, entry=replace(proven.entry, event=few))

    found = refusal(with_checkpoint(story, forged), story.request())
    assert found.reason == SpotCheckReason.CHECKPOINT


def test_a_checkpoint_before_the_request_is_refused(story: Story) -> None:
    answer = story.ledger.answer(story.request(), story.early)

    assert refusal(answer, story.request()).reason == SpotCheckReason.TOO_EARLY


def test_a_later_checkpoint_than_the_first_is_refused(story: Story) -> None:
    """The second one after the request is at least `checkpoint_every` seconds later."""
    with_next = story.ledger.log
    next_one = story.later
    with_next.status(Status.DOWN, 185)
    with_next.checkpoint(194)
    answer = story.ledger.answer(story.request(), next_one)

    assert refusal(answer, story.request()).reason == SpotCheckReason.NOT_FIRST


def test_the_windows_must_be_in_the_log_of_the_checkpoint(story: Story, tmp_path: Path) -> None:
    """An owner that certifies a window after the draw could have chosen its numbers."""
    with ledger(tmp_path, MEMBERS, OWNER) as made:
        made.log.status(Status.UP, 160)
        checkpoint = made.log.checkpoint(168)
        made.certify(OWNER.window([data_of(0)]), 170)
        later = made.log.checkpoint(181)
        request = story.request(last=0)
        placed = made.placed(0, later)
        answer = SpotCheckAnswer(
            request,
            OWNER.descriptor,
            made.anchored(checkpoint),
            (placed,),
            (made.disclosed(0),),
        )

    assert refusal(answer, request).reason == ReportReason.INCLUSION


@pytest.mark.parametrize("number", [0, 4])
def test_the_first_and_the_last_window_are_needed(story: Story, number: int) -> None:
    answer = story.answer(story.request())
    windows = tuple(each for each in answer.windows if each.header.number != number)

    found = refusal(replace(answer, windows=windows), story.request())
    assert (found.reason, found.facts["window"]) == (SpotCheckReason.WINDOWS, number)


def test_a_chunk_that_was_not_drawn_is_refused(story: Story) -> None:
    request = story.drawing(without=(0,))
    answer = story.answer(request)
    chunks = (story.ledger.disclosed(0), *answer.chunks)

    found = refusal(replace(answer, chunks=chunks), request)
    assert (found.reason, found.facts["sequence"]) == (SpotCheckReason.NOT_DRAWN, 0)


def test_a_window_with_another_event_is_refused(story: Story) -> None:
    answer = story.answer(story.request())
    window = story.ledger.windows[0]
    event = story.ledger.claim(window, 150, b"a proof", statement=Statement.BLOCKS)
    windows = (replace(answer.windows[0], event=event), *answer.windows[1:])

    found = refusal(replace(answer, windows=windows), story.request())
    assert (found.reason, found.facts["window"]) == (ReportReason.STATEMENT, 0)


def test_every_reason_is_tested_here_by_its_name() -> None:
    source = Path(__file__).read_text()

    assert [each for each in SpotCheckReason if f"SpotCheckReason.{each.name}" not in source] == []


# -- chunks that fail ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def honest(story: Story) -> tuple[SpotCheckAnswer, SpotCheckRequest]:
    request = story.drawing(0, without=(FALSE,))
    return story.answer(request), request


Honest = tuple[SpotCheckAnswer, SpotCheckRequest]


def test_a_chunk_that_is_not_in_the_answer_fails(honest: Honest) -> None:
    answer, request = honest

    assert fault(replace(answer, chunks=answer.chunks[1:]), request, 0) == NOT_ANSWERED


@pytest.mark.parametrize("member", ["opening", "data"])
def test_a_chunk_that_its_owner_cannot_open_fails(honest: Honest, member: str) -> None:
    answer, request = honest

    assert fault(with_chunk(answer, 0, **{member: None}), request, 0) == NOT_OPENED


def test_a_chunk_header_that_is_not_in_its_window_fails(honest: Honest, story: Story) -> None:
    answer, request = honest
    header = replace(answer.chunks[0].header, commitment=bytes(32))
    assert fault(with_chunk(answer, 0, header=header), request, 0) == NOT_IN_WINDOW
    other = answer.chunks[-1].path
    assert fault(with_chunk(answer, 0, path=(*other, bytes(32))), request, 0) == NOT_IN_WINDOW


def test_a_chunk_whose_window_is_missing_fails(story: Story) -> None:
    request = story.drawing(8)  # the only chunk of window 2
    answer = story.answer(request)
    windows = tuple(each for each in answer.windows if each.header.number != 2)

    assert fault(replace(answer, windows=windows), request, 8) == NOT_IN_WINDOW


def test_data_with_another_number_fails(honest: Honest) -> None:
    answer, request = honest
    found = fault(with_chunk(answer, 0, data=b"4.001"), request, 0)
    assert found == DisclosureReason.DIGEST
    assert fault(with_chunk(answer, 0, data=b"4" * 17), request, 0) == DisclosureReason.LENGTH


def test_an_opening_of_another_chunk_fails(honest: Honest, story: Story) -> None:
    answer, request = honest
    other = story.ledger.disclosed(5)
    swapped = with_chunk(answer, 0, opening=other.opening, data=other.data)
    salted = (
        (answer.chunks[0].opening or b"")[:32] + bytes(20) + (answer.chunks[0].opening or b"")[52:]
    )

    assert fault(swapped, request, 0) == DisclosureReason.COMMITMENT
    assert fault(with_chunk(answer, 0, opening=salted), request, 0) == DisclosureReason.COMMITMENT


# -- the form --------------------------------------------------------------------------------------


def test_an_answer_is_decoded_from_its_bytes(story: Story) -> None:
    answer = story.answer(story.request())

    assert SpotCheckAnswer.decode(answer.encode()).to_json() == answer.to_json()


@pytest.mark.parametrize(
    ("member", "change"),
    [
        ("kind", lambda _: "spot-check-request"),
        ("windows", lambda listed: [listed[1], listed[0], *listed[2:]]),
        ("windows", lambda listed: [listed[0], *listed]),
        ("chunks", lambda listed: [listed[1], listed[0], *listed[2:]]),
        ("chunks", lambda listed: [{**listed[0], "more": 1}, *listed[1:]]),
        ("chunks", lambda listed: [{**listed[0], "opening": "0x00"}, *listed[1:]]),
        ("more", lambda _: 1),
    ],
)
def test_a_malformed_answer_is_refused(story: Story, member: str, change: Any) -> None:
    told = parse(story.answer(story.request()).encode())
    assert isinstance(told, dict)

    with pytest.raises(errors.InvalidEncoding):
        SpotCheckAnswer.decode(canonical({**told, member: change(told.get(member))}))


def test_an_answer_that_is_too_long_is_refused(story: Story) -> None:
    answer = story.answer(story.request(chunks=1))
    large = DisclosedChunk(answer.chunks[0].header, (), None, bytes(65_536))
    with pytest.raises(errors.TooLarge):
        replace(answer, chunks=(large,) * 600).encode()
    with pytest.raises(errors.TooLarge):
        SpotCheckAnswer.decode(b" " * (MAX_ANSWER_BYTES + 1))
