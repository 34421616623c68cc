"""The page `/rounds`: the last rounds of the aggregators. Uncertified."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from dragon.protocol.refusal import RefusalReason
from dragon_explorer.live import answers
from dragon_explorer.live.board import AggregatorReport
from dragon_explorer.sources import Sources

SIGNED: Final = "signed"
REFUSALS: Final = frozenset(str(reason) for reason in RefusalReason)
PAGE_ROUNDS: Final = 20
MAX_FAILED_SHOWN: Final = 20  # failed probes of one round
MAX_GATHERINGS_SHOWN: Final = 20  # questions of one round
MAX_ANSWERED_SHOWN: Final = 40  # questions of all rounds with the answers of each operator


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """How one operator answered one question."""

    operator: str
    answer: str  # "signed", a reason of refusal, or why there was no usable answer
    detail: str
    latency_ms: int | None


@dataclass(frozen=True, slots=True)
class GatheringRow:
    """A claim that an aggregator put to the operators."""

    aggregator: str
    claim: str  # in words
    kind: str
    node_id: str | None
    needed: int
    signed: int
    certified: bool
    answers: tuple[AnswerRow, ...]  # empty: left out, for a page of bounded size


@dataclass(frozen=True, slots=True)
class ProbeRow:
    """A probe that was not answered."""

    node_id: str
    reason: str
    latency_ms: int


@dataclass(frozen=True, slots=True)
class RoundRow:
    """One round of one aggregator."""

    aggregator: str
    number: int
    start: int  # Unix seconds
    begun_late_ms: int
    took_ms: int | None  # None: it is running
    overran: bool
    skipped: int
    note: str
    probes: int
    answered: int
    slowest_node: str | None
    slowest_ms: int | None
    failed: tuple[ProbeRow, ...]
    gatherings: tuple[GatheringRow, ...]
    silent: tuple[str, ...]  # operators that did not answer a question of the round


@dataclass(frozen=True, slots=True)
class AggregatorState:
    """One aggregator."""

    name: str
    url: str
    ready: bool
    reasons: tuple[str, ...]
    answered_at: int | None  # Unix seconds
    error: str
    outbox: int | None  # certified events that are not in the log yet
    last_round: int | None
    last_round_at: int | None  # Unix seconds


@dataclass(frozen=True, slots=True)
class Rounds:
    """The whole page."""

    now: int
    aggregators: tuple[AggregatorState, ...]
    rounds: tuple[RoundRow, ...]  # newest first


def rounds(sources: Sources, now: int) -> Rounds:
    """Return the last rounds of all aggregators, newest first."""
    reports = list(sources.board.aggregators())
    found = [
        _round(report.name, each)
        for report in reports
        for each in (report.rounds.value or ())[-PAGE_ROUNDS:]
    ]
    newest = sorted(found, key=lambda each: (each.number, each.aggregator), reverse=True)
    shown = tuple(_with_few_answers(newest[:PAGE_ROUNDS]))
    return Rounds(now, tuple(_state(each) for each in reports), shown)


def _with_few_answers(newest: Iterable[RoundRow]) -> Iterator[RoundRow]:
    """Leave out the answers to all but the newest questions."""
    left = MAX_ANSWERED_SHOWN
    for each in newest:
        gatherings = tuple(
            gathering if place < left else replace(gathering, answers=())
            for place, gathering in enumerate(each.gatherings)
        )
        left -= len(gatherings)
        yield replace(each, gatherings=gatherings)


def gathering_row(aggregator: str, gathering: answers.Gathering) -> GatheringRow:
    """Return a question with the operators' answers."""
    rows = tuple(
        AnswerRow(each.operator, each.answer, each.detail, each.latency_ms)
        for each in gathering.answers
    )
    claim = gathering.claim
    return GatheringRow(
        aggregator=aggregator,
        claim=_in_words(claim),
        kind=claim.kind,
        node_id=claim.node_id,
        needed=gathering.needed,
        signed=sum(each.answer == SIGNED for each in rows),
        certified=gathering.certified,
        answers=rows,
    )


def is_silent(outcome: str) -> bool:
    """Whether an outcome is neither a signature nor a refusal."""
    return outcome != SIGNED and outcome not in REFUSALS


def _in_words(claim: answers.Claim) -> str:
    match claim.kind:
        case "status":
            return f"{claim.node_id} is {claim.status}"
        case "checkpoint":
            return f"the log has {claim.size} entries"
        case "downtime":
            return f"downtime of {claim.node_id}"
        case "window":
            return f"window {claim.number} is {claim.verdict}"
    return claim.kind


def _round(aggregator: str, each: answers.Round) -> RoundRow:
    answered = [probe for probe in each.probes if probe.seen == "up"]
    failed = [probe for probe in each.probes if probe.seen != "up"]
    slowest = max(answered, key=lambda probe: probe.latency_ms, default=None)
    silent = {
        answer.operator
        for gathering in each.gatherings
        for answer in gathering.answers
        if is_silent(answer.answer)
    }
    return RoundRow(
        aggregator=aggregator,
        number=each.number,
        start=each.start,
        begun_late_ms=each.begun_late_ms,
        took_ms=each.took_ms,
        overran=each.overran,
        skipped=each.skipped,
        note=each.note,
        probes=len(each.probes),
        answered=len(answered),
        slowest_node=slowest.node_id if slowest else None,
        slowest_ms=slowest.latency_ms if slowest else None,
        failed=tuple(
            ProbeRow(probe.node_id, probe.reason, probe.latency_ms)
            for probe in failed[:MAX_FAILED_SHOWN]
        ),
        gatherings=tuple(
            gathering_row(aggregator, gathering)
            for gathering in each.gatherings[:MAX_GATHERINGS_SHOWN]
        ),
        silent=tuple(sorted(silent)),
    )


def _state(report: AggregatorReport) -> AggregatorState:
    said, last = report.readiness.value, (report.rounds.value or (None,))[-1]
    return AggregatorState(
        name=report.name,
        url=report.url,
        ready=said is not None and not said.reasons and not report.readiness.error,
        reasons=tuple(said.reasons) if said and not report.readiness.error else (),
        answered_at=None if report.readiness.at is None else int(report.readiness.at),
        error=report.readiness.error or report.rounds.error,
        outbox=len(report.outbox.value.outbox) if report.outbox.value else None,
        last_round=last.number if last else None,
        last_round_at=last.start if last else None,
    )
