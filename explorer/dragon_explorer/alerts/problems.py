"""Live conditions: what is wrong now, by the explorer's log and by what services state.

Everything but flapping is uncertified.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from dragon.protocol.claims.base import utc
from dragon.protocol.claims.status import Transition
from dragon.storage.disk import Disk
from dragon_explorer.alerts.conditions import Condition
from dragon_explorer.live.answers import Readiness
from dragon_explorer.live.board import Part, Report, StreamReport
from dragon_explorer.sources import Sources
from dragon_explorer.views.health import FRESH_SECONDS, FleetHealth, OperatorState, health

CHECKPOINT_INTERVALS: Final = 3  # without a checkpoint
FLAPPING_CHANGES: Final = 6  # of a node's status
FLAPPING_SECONDS: Final = 3600  # in which they happen
STABLE_SECONDS: Final = 1800  # without a change, after which a node no longer flaps
# Reasons of `/readyz` with which an operator says that it cannot judge or be heard.
OPERATOR_REASONS: Final = ("silent:", "blind:", "clock:", "not_certifying:")
TLS_REASONS: Final = ("tls:", "certificate:")
TLS_WORDS: Final = ("its certificate", "does not support TLS")  # of a failed request
BLIND: Final = "blind"
MAX_QUOTED_CHARS: Final = 200  # of what a service states


@dataclass(frozen=True, slots=True)
class Problem:
    """A condition that holds now."""

    condition: Condition
    subject: str
    sentence: str
    since: int | None = None  # Unix seconds, if it is known
    position: int = -1  # of an event in the log that proves it; -1: none


@dataclass(frozen=True, slots=True)
class Watch:
    """Finds the problems of one fleet."""

    sources: Sources
    disks: Sequence[Disk] = ()

    def flapping(self, now: int, known: Container[str]) -> Iterator[Problem]:
        """Nodes whose certified status changes again and again.

        Args: `known`, the nodes that were flapping before; they must be stable first.
        """
        for node_id, transitions in self.sources.log.state.nodes.items():
            newest: list[Transition] = list(transitions[-FLAPPING_CHANGES:])
            if not newest or now - newest[-1].timestamp >= STABLE_SECONDS:
                continue
            is_frequent = (
                len(newest) == FLAPPING_CHANGES and now - newest[0].timestamp <= FLAPPING_SECONDS
            )
            if is_frequent or node_id in known:
                sentence = (
                    f"The certified status of {node_id} changes again and again: at least "
                    f"{FLAPPING_CHANGES} times within an hour."
                )
                yield Problem(
                    Condition.FLAPPING,
                    node_id,
                    sentence,
                    newest[0].timestamp,
                    newest[-1].position,
                )

    def live(self, now: int) -> Iterator[Problem]:
        """Everything that is wrong besides what the log's events say."""
        state = health(self.sources, now)
        yield from self._operators(state, now)
        yield from _quorum(state)
        yield from self._checkpoint(now)
        yield from self._ledger(state)
        yield from self._services(state)
        yield from self._windows(now)

    def _operators(self, state: FleetHealth, now: int) -> Iterator[Problem]:
        blind = self._blind_operators(now)
        for each in state.operator_states:
            if why := _operator_trouble(each, each.operator in blind):
                yield Problem(Condition.OPERATOR, each.operator, f"{each.operator} {why}.")

    def _blind_operators(self, now: int) -> set[str]:
        """Operators whose newest answers to an aggregator's questions were `blind`."""
        oldest = now - self.sources.committee.rounds.checkpoint_every
        newest: dict[str, tuple[int, str]] = {}
        for report in self.sources.board.aggregators():
            for each in report.rounds.value or ():
                for gathering in each.gatherings if each.start >= oldest else ():
                    for said in gathering.answers:
                        if each.start >= newest.get(said.operator, (0, ""))[0]:
                            newest[said.operator] = (each.start, said.answer)
        return {operator for operator, (_, answer) in newest.items() if answer == BLIND}

    def _checkpoint(self, now: int) -> Iterator[Problem]:
        """No checkpoint for three intervals, in a log that was read to its end once."""
        sources, rounds = self.sources, self.sources.committee.rounds
        since = sources.log.state.log_time(sources.committee)
        age = now - since
        if sources.follower.has_read_all and age > CHECKPOINT_INTERVALS * rounds.checkpoint_every:
            sentence = (
                f"No checkpoint is certified since {utc(since)}; one is due every "
                f"{rounds.checkpoint_every} s. Nothing that happens now is certified."
            )
            yield Problem(Condition.CHECKPOINT, str(Condition.CHECKPOINT), sentence, since)

    def _ledger(self, state: FleetHealth) -> Iterator[Problem]:
        if not state.caught_up and not state.alarm:
            why = state.ledger_error or f"{state.ledger_behind} batches behind"
            yield Problem(
                Condition.LEDGER,
                "explorer",
                f"The explorer cannot read the ledger to its end ({why[:MAX_QUOTED_CHARS]}).",
            )

    def _services(self, state: FleetHealth) -> Iterator[Problem]:
        """What services state in their readiness, and how requests to them fail."""
        if state.alarm:
            sentence = f"The explorer's log has stopped: {state.alarm[:MAX_QUOTED_CHARS]}."
            yield Problem(Condition.LOG_ALARM, "explorer", sentence)
        for fault in sorted({fault for disk in self.disks if (fault := disk.fault())}):
            yield Problem(Condition.DISK, "explorer", f"The explorer's disk: {fault}.")
        for name, report in self.sources.board.reports().items():
            for reason in _reasons(report):
                yield from _stated(name, reason)
            error = next(filter(_is_about_tls, _errors(report)), "")
            if error:
                yield Problem(
                    Condition.TLS, name, f"The explorer cannot connect to {name}: {error}."
                )

    def _windows(self, now: int) -> Iterator[Problem]:
        """The oldest window of each stream that is closed and not certified."""
        for report in self.sources.board.stream_services():
            if not _is_fresh(report.readiness, now):
                continue
            for stream, part in report.windows.items():
                waiting = [each for each in part.value or () if each.position is None]
                if not waiting:
                    continue
                oldest = min(waiting, key=lambda each: each.number)
                closed = oldest.closed_ms // 1000
                name = _stream_name(report, stream)
                sentence = (
                    f"Window {oldest.number} of stream {name} is closed since {utc(closed)} and "
                    "not certified."
                )
                yield Problem(Condition.WINDOW_WAITING, name, sentence, closed)


def _stream_name(report: StreamReport, stream: str) -> str:
    found = (report.streams.value or {}).get(stream)
    return f"{found.name} ({stream[:10]}…)" if found else stream


def _quorum(state: FleetHealth) -> Iterator[Problem]:
    if state.margin <= 0:
        yield Problem(Condition.QUORUM, str(Condition.QUORUM), state.sentence)


def _operator_trouble(state: OperatorState, is_blind: bool) -> str:
    """What is wrong with an operator, as the end of a sentence; empty if nothing is."""
    if state.agreement == "silent":
        return f"does not respond to the explorer ({state.error or 'no answer'})"
    if state.agreement == "different":
        return "has another log than the explorer"
    if state.agreement == "foreign":
        return "has another committee file than the explorer"
    if is_blind:
        return "sees too few of its peers to judge a node (blind)"
    for reason in state.reasons:
        if reason.startswith(OPERATOR_REASONS):
            return f"states: {reason[:MAX_QUOTED_CHARS]}"
    return ""


def _stated(name: str, reason: str) -> Iterator[Problem]:
    """The problem behind one reason of a service's readiness."""
    by_word: list[tuple[Condition, tuple[str, ...]]] = [
        (Condition.LOG_ALARM, ("alarm:",)),
        (Condition.DISK, ("disk:",)),
        (Condition.TLS, TLS_REASONS),
        (Condition.LEDGER, ("ledger:",)),
    ]
    for condition, words in by_word:
        if reason.startswith(words):
            yield Problem(condition, name, f"{name} states: {reason[:MAX_QUOTED_CHARS]}.")


def _reasons(report: Report) -> list[str]:
    said = report.readiness
    return list(said.value.reasons) if said.value and not said.error else []


def _errors(report: Report) -> Iterator[str]:
    for name in report.__slots__:
        if isinstance(part := getattr(report, name), Part) and part.error:
            yield part.error


def _is_about_tls(error: str) -> bool:
    return any(words in error for words in TLS_WORDS)


def _is_fresh(part: Part[Readiness], now: int) -> bool:
    return part.at is not None and now - part.at <= FRESH_SECONDS
