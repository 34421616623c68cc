"""Records reports of watched services in the history: response times, and operators' answers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from dragon.protocol.committee import Committee, Seated
from dragon_explorer.history.recent import Key
from dragon_explorer.history.spans import Sums
from dragon_explorer.history.store import ANSWER, MAX_SERIES, RESPONSE, Gathering, History
from dragon_explorer.live import answers
from dragon_explorer.live.board import AggregatorReport, OperatorReport, Report

FLUSH_SECONDS: Final = 60  # between two writes: what a crash may lose
MAX_OUTCOMES: Final = 40  # outcomes of one operator; peers state them, so further ones are "other"
SETTLED_ROUNDS: Final = 2  # after its start, a round's answers are complete
NO_ANSWER: Final = "no_answer"  # the outcome of an operator that never answered a question
MAX_AHEAD_SECONDS: Final = 60  # of a time that a service states, after the explorer's clock
STATUS: Final = "status"
ROUND_LENGTHS: Final = range(2, 3601)  # seconds that a committee may choose


@dataclass(slots=True)
class _Progress:
    """What is recorded already of a round that may still change."""

    has_probes: bool = False
    counted: set[tuple[int, str]] = field(default_factory=set)  # place of the question, operator
    kept: list[Gathering] = field(default_factory=list)


def observers(committee: Committee) -> list[str]:
    """Return the observers whose response times are kept: as many as fit for every node.

    All aggregators come first, then operators in the order of the committee.
    """
    names = [f"aggregator_{each.rank}" for each in committee.aggregators]
    names += [each.id for each in committee.operators]
    return names[: max(1, MAX_SERIES // len(committee.urls))]


class Recorder:
    """Adds each probe of a finished round, and each operator's answer, to the history once.

    Answers come until a round after the round has finished: from slow operators, and to questions
    that a suspicion has caused. So a round is read until then.
    """

    def __init__(self, history: History, seated: Seated, wall: Callable[[], float]) -> None:
        self._history = history
        self._seated = seated
        self._wall = wall
        self._begun = wall()  # what is older was counted before a restart, or is unknown
        # By aggregator: the start of the last round that cannot change. Rounds are known by their
        # starts, because their numbers jump when a committee changes the round length.
        self._settled: dict[str, int] = {}
        self._progress: dict[str, dict[int, _Progress]] = {}  # by aggregator and start of the round
        self._probes: dict[tuple[str, str], int] = {}  # by operator and node: time of the last one
        self._outcomes: dict[str, set[str]] = {}  # by operator

    @property
    def _committee(self) -> Committee:
        return self._seated.committee

    def record(self, report: Report) -> None:
        """Record what a report has that an earlier one did not."""
        self._begun = min(self._begun, self._wall())  # the clock may be set back
        if isinstance(report, AggregatorReport):
            self._record_rounds(report.name, report.rounds.value or ())
        elif isinstance(report, OperatorReport):
            self._record_probes(report.name, list((report.nodes.value or {}).values()))

    def _record_rounds(self, aggregator: str, rounds: Sequence[answers.Round]) -> None:
        last, before = self._settled.get(aggregator, -1), self._progress.get(aggregator, {})
        progress: dict[int, _Progress] = {}
        for each in rounds:
            if each.start <= last or not self._is_of_now(each):
                continue
            state, settled = before.get(each.start, _Progress()), self._is_settled(each)
            self._record_round(aggregator, each, state, is_settled=settled)
            if settled:
                self._settled[aggregator] = each.start
            else:
                progress[each.start] = state
        self._progress[aggregator] = progress

    def _is_settled(self, round_: answers.Round) -> bool:
        """Whether no answer can come any more."""
        return self._wall() - round_.start >= SETTLED_ROUNDS * self._committee.rounds.seconds

    def _is_of_now(self, round_: answers.Round) -> bool:
        """Whether number and time of a round belong together, and the time is recent.

        Otherwise one invented round of the future would hide all later ones. The round may be one
        of a committee that has handed over, with another round length.
        """
        seconds, rest = divmod(round_.start - self._committee.rounds.genesis, max(1, round_.number))
        is_possible = rest == 0 and (seconds in ROUND_LENGTHS or round_.number == 0)
        return is_possible and self._is_recent(round_.start)

    def _is_recent(self, time: int) -> bool:
        """Whether a time is near the clock; others are a fault of the service that states them."""
        most = 3600 + 100 * self._committee.rounds.seconds
        return -MAX_AHEAD_SECONDS <= self._wall() - time < most

    def _record_round(
        self, aggregator: str, round_: answers.Round, state: _Progress, *, is_settled: bool
    ) -> None:
        kept = list(self._gatherings(aggregator, round_))
        if kept != state.kept:
            self._history.keep_gatherings(kept)
            state.kept = kept
        if round_.start < self._begun:
            return
        if round_.took_ms is not None and not state.has_probes:
            state.has_probes = True
            for probe in round_.probes:
                self._add_probe(
                    probe.node_id,
                    aggregator,
                    round_.start,
                    probe.seen == answers.UP,
                    probe.latency_ms,
                )
        self._count_answers(round_, state, is_settled=is_settled)

    def _gatherings(self, aggregator: str, round_: answers.Round) -> Iterator[Gathering]:
        """Yield the questions of a round about a status, with what it had about the same node."""
        for each in round_.gatherings:
            node_id, status, timestamp = each.claim.node_id, each.claim.status, each.claim.timestamp
            if each.claim.kind != STATUS or node_id is None or status is None:
                continue
            if node_id not in self._committee.urls or not self._is_recent(timestamp or 0):
                continue
            with_round = answers.KeptGathering(
                claim=each.claim,
                needed=each.needed,
                certified=each.certified,
                answers=each.answers,
                round=round_.number,
                took_ms=round_.took_ms,
                begun_late_ms=round_.begun_late_ms,
                probes=[probe for probe in round_.probes if probe.node_id == node_id],
                suspicions=[said for said in round_.suspicions if said.node_id == node_id],
            )
            text = with_round.model_dump_json()
            yield Gathering(node_id, status, timestamp or 0, aggregator, text)

    def _count_answers(self, round_: answers.Round, state: _Progress, *, is_settled: bool) -> None:
        for place, gathering in enumerate(round_.gatherings):
            for answer in gathering.answers:
                is_open = answer.answer == answers.NO_ANSWER_YET and not is_settled
                key = (place, answer.operator)
                if not is_open and key not in state.counted:
                    state.counted.add(key)
                    self._add_answer(answer, round_.start)

    def _record_probes(self, operator: str, nodes: Sequence[answers.Node]) -> None:
        if operator not in observers(self._committee):
            return
        for node in nodes:
            seen = node.seen
            if seen is None or seen.latency_ms is None or seen.at < self._begun:
                continue
            if not self._is_recent(seen.at) or node.node_id == operator:
                continue
            if node.node_id not in self._committee.urls:
                continue  # invented ids would fill the memory
            if self._probes.get((operator, node.node_id)) != seen.at:
                self._probes[operator, node.node_id] = seen.at
                self._add_probe(
                    node.node_id, operator, seen.at, seen.status == answers.UP, seen.latency_ms
                )

    def _add_probe(
        self, node_id: str, observer: str, time: int, answered: bool, latency_ms: int
    ) -> None:
        if node_id not in self._committee.urls:
            return
        sums = Sums(1, 0, latency_ms, latency_ms) if answered else Sums(1, 1)
        self._history.add(Key(RESPONSE, node_id, observer), time, sums)

    def _add_answer(self, answer: answers.OperatorAnswer, time: int) -> None:
        if answer.operator not in self._committee.keys:
            return
        known = self._outcomes.setdefault(answer.operator, set())
        outcome = NO_ANSWER if answer.answer == answers.NO_ANSWER_YET else answer.answer
        if outcome not in known and len(known) >= MAX_OUTCOMES:
            outcome = "other"
        known.add(outcome)
        self._history.add(Key(ANSWER, answer.operator, outcome), time, Sums(1))

    def run(self, stop: threading.Event) -> None:
        """Write the history every `FLUSH_SECONDS` until `stop` is set."""
        while not stop.wait(FLUSH_SECONDS):
            self.flush()
        self.flush()

    def flush(self) -> None:
        """Write what was recorded. Raises DiskError."""
        self._history.flush(int(self._wall()))
