"""The page `/rounds`: the last rounds of the aggregators. Uncertified."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from dragon.probing.probe_result import NO_EVIDENCE
from dragon.protocol.refusal import RefusalReason
from dragon.protocol.rounds import Rounds as RoundsRule
from dragon_explorer.epochs import Epoch
from dragon_explorer.live import answers
from dragon_explorer.live.board import AggregatorReport
from dragon_explorer.sources import Sources

SIGNED: Final = "signed"
REFUSALS: Final = frozenset(str(reason) for reason in RefusalReason)
PAGE_ROUNDS: Final = 20
MAX_FAILED_SHOWN: Final = 20  # failed probes of one round
MAX_SUSPICIONS_SHOWN: Final = 10  # of one round
MAX_GATHERINGS_SHOWN: Final = 10  # questions of one round
MAX_ANSWERED_SHOWN: Final = 20  # questions of all rounds with the answers of each operator


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
class SuspicionRow:
    """An operator's notice that a node has changed."""

    operator: str
    node_id: str
    status: str  # that the operator saw
    after_ms: int  # from the start of the round until it arrived
    outcome: str  # what came of it, such as "certified" or "no_change"
    detail: str


@dataclass(frozen=True, slots=True)
class LateRow:
    """An operator that took long to answer."""

    operator: str
    latency_ms: int  # its slowest answer of the round


@dataclass(frozen=True, slots=True)
class ProbeRow:
    """A probe that did not see the node up."""

    node_id: str
    seen: str  # "down", or "unknown" if it says nothing about the node
    reason: str
    detail: str  # what differed from what was expected; empty: nothing is stated
    latency_ms: int


@dataclass(frozen=True, slots=True)
class RoundRow:
    """One round of one aggregator."""

    aggregator: str
    number: int
    start: int  # Unix seconds
    epoch: int  # of the committee that held
    seconds: int  # length of a round of that committee
    late_after_ms: int  # half of the time that its operators have to answer
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
    suspicions: tuple[SuspicionRow, ...]
    suspicions_omitted: int  # that the aggregator does not state
    gatherings: tuple[GatheringRow, ...]
    silent: tuple[str, ...]  # operators that did not answer a question of the round
    late: tuple[LateRow, ...]  # operators that answered one later than that


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
    late_after_ms: int  # in rounds of the committee that holds
    changes_length: bool  # whether these rounds have several lengths, so that their numbers jump
    aggregators: tuple[AggregatorState, ...]
    rounds: tuple[RoundRow, ...]  # newest first


def rounds(sources: Sources, now: int) -> Rounds:
    """Return the last rounds of all aggregators, newest first."""
    reports = list(sources.board.aggregators())
    found = [
        (report.name, each)
        for report in reports
        for each in (report.rounds.value or ())[-PAGE_ROUNDS:]
    ]
    newest = sorted(found, key=lambda each: (each[1].start, each[0]), reverse=True)
    # In the round of a handover the committee that hands over still works.
    rows = [
        _round(name, each, sources.epochs.at(each.start - 1), now)
        for name, each in newest[:PAGE_ROUNDS]
    ]
    return Rounds(
        now,
        late_after_ms(sources.committee.rounds),
        len({each.seconds for each in rows}) > 1,
        tuple(_state(each) for each in reports),
        tuple(_with_few_answers(rows)),
    )


def late_after_ms(rule: RoundsRule) -> int:
    """Return after how many milliseconds an answer is late: half of the time that there is."""
    return round(1000 * rule.collect_deadline_seconds / 2)


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


def suspicion_row(said: answers.Suspicion) -> SuspicionRow:
    """Return a suspicion as a row."""
    return SuspicionRow(
        said.operator, said.node_id, said.status, said.after_ms, said.outcome, said.detail
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


def _round(aggregator: str, each: answers.Round, epoch: Epoch, now: int) -> RoundRow:
    """Return a round. Args: `epoch`, of the committee that held."""
    late_after = late_after_ms(epoch.rounds)
    is_open = now < each.start + epoch.rounds.seconds  # operators may still answer
    answered = [probe for probe in each.probes if probe.seen == answers.UP]
    failed = [probe for probe in each.probes if probe.seen != answers.UP]
    slowest = max(answered, key=lambda probe: probe.latency_ms, default=None)
    given = [answer for gathering in each.gatherings for answer in gathering.answers]
    waiting = {answers.NO_ANSWER_YET} if is_open else set()
    return RoundRow(
        aggregator=aggregator,
        number=each.number,
        start=each.start,
        epoch=epoch.epoch,
        seconds=epoch.rounds.seconds,
        late_after_ms=late_after,
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
            ProbeRow(
                probe.node_id,
                "unknown" if probe.reason in NO_EVIDENCE else "down",
                probe.reason,
                probe.detail,
                probe.latency_ms,
            )
            for probe in failed[:MAX_FAILED_SHOWN]
        ),
        suspicions=tuple(suspicion_row(said) for said in each.suspicions[:MAX_SUSPICIONS_SHOWN]),
        suspicions_omitted=each.suspicions_omitted
        + max(0, len(each.suspicions) - MAX_SUSPICIONS_SHOWN),
        gatherings=tuple(
            gathering_row(aggregator, gathering)
            for gathering in each.gatherings[:MAX_GATHERINGS_SHOWN]
        ),
        silent=tuple(
            sorted({e.operator for e in given if is_silent(e.answer) and e.answer not in waiting})
        ),
        late=tuple(_late(given, late_after)),
    )


def _late(given: Sequence[answers.OperatorAnswer], after_ms: int) -> Iterator[LateRow]:
    slowest: dict[str, int] = {}
    for answer in given:
        took = answer.latency_ms
        if took is not None and took > after_ms and not is_silent(answer.answer):
            slowest[answer.operator] = max(took, slowest.get(answer.operator, 0))
    return (LateRow(operator, slowest[operator]) for operator in sorted(slowest))


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
