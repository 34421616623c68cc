"""Windows of a stream: what the log, the aggregators and the stream services say of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from dragon.encoding import to_hex
from dragon.log.index_tables import Applied
from dragon.protocol.claims.window import Statement, WindowClaim
from dragon.protocol.streams.votes import StatedVote, Vote, pending_votes
from dragon.stark.blocks import MAX_CHUNKS
from dragon.stark.security import window_level_bits
from dragon_explorer.history.window_votes import VotedWindow
from dragon_explorer.live import answers
from dragon_explorer.sources import Sources

PAGE_WINDOWS: Final = 50
MAX_EVENTS: Final = 4 * PAGE_WINDOWS  # verdicts that are read for one page
Stage = Literal["closed", "announced", "proven", "voting", "certified", "invalid"]
JOURNEY: Final[Sequence[Stage]] = ("closed", "announced", "proven", "voting")
# The state that an aggregator or a stream service reports, as a stage of a window that the log of
# this explorer has not decided.
STAGES: Final[Mapping[str, Stage]] = {
    "closed": "closed",
    "announced": "announced",
    "incomplete": "announced",
    "proven": "proven",
}
NOTES: Final[Mapping[str, str]] = {
    "incomplete": "the aggregator waits for its chunk headers and its proof",
    "waiting": "no quorum has the same verdict yet; the operators are asked again",
    "certified": "a quorum has signed; this explorer's log does not contain the event yet",
    "applied": "a quorum has signed; this explorer's log does not contain the event yet",
    "invalid": "a quorum found it invalid; this explorer's log does not contain the event",
}


@dataclass(frozen=True, slots=True)
class WindowRow:
    """One window of a stream."""

    number: int
    stage: Stage
    is_certified: bool  # whether the stage is what the log says
    reason: str  # why it is invalid
    statement: str | None  # what the proof of a valid window shows: `readings` or `blocks`
    note: str  # what it waits for. Uncertified
    timestamp: int | None  # Unix seconds, of its event
    position: int | None  # of its event in the log
    closed_at: int | None  # Unix seconds. Uncertified
    chunks: int | None  # uncertified
    proof_bytes: int | None  # size of its proof. Uncertified
    security_bits: int | None  # security level of a proof that is not invalid. Depends on `chunks`
    votes: tuple[Vote, ...]  # while it waits; those on a decided window are in its verdicts


@dataclass(frozen=True, slots=True)
class _Known:
    """Everything that is known of one window."""

    verdict: Applied[WindowClaim] | None  # the last one
    submitted: answers.SubmittedWindow | None  # at an aggregator
    closed: answers.Window | None  # at a stream service
    voted: Sequence[VotedWindow]  # in the history


def stated_votes(votes: Iterable[answers.Vote]) -> Iterator[StatedVote]:
    """Yield votes as an aggregator states them."""
    return (StatedVote(each.operator, each.answer, each.detail) for each in votes)


def submitted_windows(sources: Sources, stream: str) -> dict[int, answers.SubmittedWindow]:
    """What the aggregators hold of a stream, by number: of each window the one with most votes.

    Decided windows are those that our log contains a moment later.
    """
    found: dict[int, answers.SubmittedWindow] = {}
    reports = list(sources.board.aggregators())
    pending = [each for report in reports for each in report.windows.value or ()]
    for each in sorted(pending, key=lambda each: len(each.votes), reverse=True):
        if each.stream == stream:
            found.setdefault(each.number, each)
    for each in (each for report in reports for each in report.decided.value or ()):
        if each.stream == stream:
            found.setdefault(each.number, each)
    return found


def closed_windows(sources: Sources, stream: str) -> dict[int, answers.Window]:
    """What the stream services say of the newest windows of a stream, by number."""
    return {
        each.number: each
        for report in sources.board.stream_services()
        if (part := report.windows.get(stream)) is not None
        for each in part.value or ()
    }


def window_numbers(sources: Sources, stream_id: bytes) -> tuple[int, list[int]]:
    """Return how many windows are certified as valid, and the other known numbers, highest first.

    A service may state any number, and each is listed alone: a false one hides no other window.
    """
    stream, known = to_hex(stream_id), sources.log.state.stream(stream_id)
    others = {number for number, _ in known.refuted}
    others.update(submitted_windows(sources, stream), closed_windows(sources, stream))
    above = sorted((each for each in others if each >= known.windows), reverse=True)
    return known.windows, above


def window_rows(sources: Sources, stream_id: bytes, numbers: Sequence[int]) -> list[WindowRow]:
    """Return those of the windows of which anything is known."""
    if not numbers:
        return []
    stream, first = to_hex(stream_id), min(numbers)
    verdicts: dict[int, Applied[WindowClaim]] = {}
    for each in sources.records.windows(stream_id, first, limit=MAX_EVENTS):
        verdicts[each.claim.number] = each  # the last verdict counts: a valid one ends the window
    submitted = submitted_windows(sources, stream)
    closed = closed_windows(sources, stream)
    voted: dict[int, list[VotedWindow]] = {}
    for kept in sources.window_votes.between(stream, first, max(numbers) + 1):
        voted.setdefault(kept.number, []).append(kept)
    return [
        _row(
            sources,
            number,
            _Known(
                verdicts.get(number),
                submitted.get(number),
                closed.get(number),
                voted.get(number, ()),
            ),
        )
        for number in numbers
        if number in verdicts or number in submitted or number in closed
    ]


def _row(sources: Sources, number: int, known: _Known) -> WindowRow:
    verdict, submitted, closed = _current(known), known.submitted, known.closed
    claim = verdict.claim if verdict else None
    chunks, proof_bytes, security_bits = _figures(known, claim)
    stage = _live_stage(known)
    if claim is not None:
        stage = "certified" if str(claim.verdict) == "valid" else "invalid"
    is_pending = claim is None and submitted is not None
    return WindowRow(
        number=number,
        stage=stage,
        is_certified=claim is not None,
        reason=str(claim.reason) if claim and stage == "invalid" else "",
        statement=str(claim.statement)
        if claim and claim.statement and stage == "certified"
        else None,
        note=NOTES.get(submitted.state, "") if is_pending and submitted else "",
        timestamp=claim.timestamp if claim else None,
        position=verdict.position if verdict else None,
        closed_at=closed.closed_ms // 1000 if closed else None,
        chunks=chunks,
        proof_bytes=proof_bytes,
        security_bits=security_bits,
        votes=pending_votes(sources.committee.keys, stated_votes(submitted.votes))
        if is_pending and submitted and submitted.votes
        else (),
    )


def _current(known: _Known) -> Applied[WindowClaim] | None:
    """The verdict that ends the window; None while a proof after the refuted one is pending."""
    verdict, submitted = known.verdict, known.submitted
    if verdict is None or str(verdict.claim.verdict) == "valid" or submitted is None:
        return verdict
    is_anew = submitted.proof is not None and submitted.proof != to_hex(verdict.claim.proof)
    return None if is_anew else verdict


def _live_stage(known: _Known) -> Stage:
    """The furthest stage that a service states."""
    stated = [
        STAGES.get(each.state, "voting")
        for each in (known.submitted, known.closed)
        if each is not None
    ]
    return max(stated, key=JOURNEY.index, default="closed")


def _figures(known: _Known, claim: WindowClaim | None) -> tuple[int | None, int | None, int | None]:
    """Chunks, size of the proof, security level: of the certified proof, or the pending one."""
    proof = to_hex(claim.proof) if claim else None
    chunks = proof_bytes = security_bits = None
    if known.closed is not None:
        chunks = known.closed.count
        proof_bytes, security_bits = known.closed.proof_bytes, known.closed.security_bits
    others = [each for each in known.voted if each.proof == proof]
    for each in (*others, known.submitted):
        if each is None or (proof is not None and each.proof != proof):
            continue
        count = each.chunks if isinstance(each, VotedWindow) else each.count
        chunks = count if chunks is None else chunks
        proof_bytes = each.proof_bytes if proof_bytes is None else proof_bytes
        security_bits = each.security_bits if security_bits is None else security_bits
    if claim is not None:  # the log certifies the parameter set, and that the proof is valid
        # A proof about readings may begin with a chunk of the previous window.
        carried = claim.statement is Statement.READINGS
        most = MAX_CHUNKS if chunks is None else min(MAX_CHUNKS, chunks + carried)
        is_valid = str(claim.verdict) == "valid"
        security_bits = window_level_bits(claim.parameters, most) if is_valid else None
    return chunks, proof_bytes, security_bits
