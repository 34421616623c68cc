"""Live conditions: what is wrong now, by the explorer's log and by what services state.

Everything but flapping is uncertified.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dragon.protocol.claims.base import utc
from dragon.protocol.claims.status import Transition
from dragon.storage.disk import Disk
from dragon_explorer.alerts.conditions import Condition
from dragon_explorer.live.board import Part, Report, StreamReport
from dragon_explorer.sources import Sources
from dragon_explorer.views.health import FleetHealth, OperatorState, health, sentence
from dragon_explorer.views.observations import certificate
from dragon_explorer.views.proposals import proposals

CHECKPOINT_INTERVALS: Final = 3  # without a checkpoint
FLAPPING_CHANGES: Final = 6  # of a node's status
FLAPPING_SECONDS: Final = 3600  # in which they happen
STABLE_SECONDS: Final = 1800  # without a change, after which a node no longer flaps
CERTIFICATE_SECONDS: Final = 14 * 86_400  # until a TLS certificate expires
# Reasons of `/readyz` with which an operator says that it cannot judge, sign or be heard.
OPERATOR_REASONS: Final = ("silent:", "blind:", "clock:", "journal:", "not_certifying:")
# Reasons of `/readyz` of any service, by the condition that they belong to.
SERVICE_REASONS: Final[Mapping[Condition, tuple[str, ...]]] = {
    Condition.LOG_ALARM: ("alarm:", "log:"),
    Condition.DISK: ("disk:", "damaged:"),
    Condition.LEDGER: ("ledger:",),
}
TLS_WORDS: Final = ("its certificate", "does not support TLS")  # of a failed request
BLIND: Final = "blind"
MAX_QUOTED_CHARS: Final = 200  # of what a service states
SHORT_ID_CHARS: Final = 19  # of the subject of an approval: four groups of four digits


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
        listed = self.sources.committee.urls
        for node_id, transitions in self.sources.log.state.nodes.items():
            if node_id not in listed:  # it has left
                continue
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
        yield from self._services(state, now)
        yield from self._windows(now)
        yield from self._approvals(now)
        yield from self._certificates(now)

    def _certificates(self, now: int) -> Iterator[Problem]:
        """Certificates of targets that expire soon."""
        for target in self.sources.committee.targets:
            found = certificate(self.sources, target.id, now)
            if found is not None and found.is_warning:
                sentence = (
                    f"The TLS certificate of {target.id} expires at {utc(found.expires)}, as "
                    f"{found.operators} operators saw."
                )
                yield Problem(Condition.TARGET_CERTIFICATE, target.id, sentence)

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
        since = sources.log.state.log_time
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

    def _services(self, state: FleetHealth, now: int) -> Iterator[Problem]:
        """What services state in their readiness, and how requests to them fail."""
        if state.alarm:
            sentence = f"The explorer's log has stopped: {state.alarm[:MAX_QUOTED_CHARS]}."
            yield Problem(Condition.LOG_ALARM, "explorer", sentence)
        for fault in sorted({fault for disk in self.disks if (fault := disk.fault())}):
            yield Problem(Condition.DISK, "explorer", f"The explorer's disk: {fault}.")
        for name, report in self.sources.board.reports().items():
            for reason in _reasons(report):
                yield from _stated(name, reason)
            yield from _tls(name, report, now)

    def _windows(self, now: int) -> Iterator[Problem]:
        """The oldest window of each stream that is closed and not certified.

        The log says whether it is. A stream service that no longer answers changes nothing.
        """
        for report in self.sources.board.stream_services():
            for stream, part in report.windows.items():
                certified = self.sources.log.state.stream(bytes.fromhex(stream[2:])).windows
                waiting = [each for each in part.value or () if each.number >= certified]
                if not waiting:
                    continue
                oldest = min(waiting, key=lambda each: each.number)
                closed = min(oldest.closed_ms // 1000, now)
                name = _stream_name(report, stream)
                sentence = (
                    f"Window {oldest.number} of stream {name} is closed since {utc(closed)} and "
                    "not certified."
                )
                yield Problem(Condition.WINDOW_WAITING, name, sentence, closed)

    def _approvals(self, now: int) -> Iterator[Problem]:
        """Next committees that wait for their handover.

        One that no more operators name than may be faulty may be an invention.
        """
        for each in proposals(self.sources, now):
            if each.is_believable and not each.fault:
                sentence = (
                    f"Operators say that their owners have approved {each.short_id}. A handover "
                    f"needs {each.needed} of {len(each.operators)}."
                )
                subject = each.short_id[:SHORT_ID_CHARS]
                yield Problem(Condition.APPROVAL_PENDING, subject, sentence)

    def unheard(self) -> set[tuple[Condition, str]]:
        """Conditions that a service can only state itself, and now it does not answer.

        Whether they have ended is unknown: a service with a full disk may have stopped.
        """
        silent = [
            name for name, each in self.sources.board.reports().items() if each.readiness.error
        ]
        conditions = (*SERVICE_REASONS, Condition.TLS)
        return {(condition, name) for condition in conditions for name in silent}


def _stream_name(report: StreamReport, stream: str) -> str:
    found = (report.streams.value or {}).get(stream)
    return f"{found.name} ({stream[:10]}…)" if found else stream


def _quorum(state: FleetHealth) -> Iterator[Problem]:
    if state.margin <= 0:
        words = sentence(state.operators, state.agreeing, state.quorum)
        yield Problem(Condition.QUORUM, str(Condition.QUORUM), words)


UNLIKE: Final = {
    "different": "has another log than the explorer",
    "behind": "lacks entries of the log that were certified long ago",
    "foreign": "has another committee file than the explorer",
}


def _operator_trouble(state: OperatorState, is_blind: bool) -> str:
    """What is wrong with an operator, as the end of a sentence; empty if nothing is."""
    if state.agreement == "silent":
        return f"does not respond to the explorer ({state.error or 'no answer'})"
    if (unlike := UNLIKE.get(state.agreement)) is not None:
        return unlike
    if is_blind:
        return "sees too few of its peers to judge a node (blind)"
    for reason in state.reasons:
        if reason.startswith(OPERATOR_REASONS):
            return f"states: {reason[:MAX_QUOTED_CHARS]}"
    return ""


def _stated(name: str, reason: str) -> Iterator[Problem]:
    """The problem behind one reason of a service's readiness."""
    for condition, words in SERVICE_REASONS.items():
        if reason.startswith(words):
            yield Problem(condition, name, f"{name} states: {reason[:MAX_QUOTED_CHARS]}.")


def _tls(name: str, report: Report, now: int) -> Iterator[Problem]:
    """What is wrong with a service's TLS certificate, as the explorer's own requests show it."""
    if error := next(filter(_is_about_tls, _errors(report)), ""):
        yield Problem(Condition.TLS, name, f"The explorer cannot connect to {name}: {error}.")
    elif said := report.readiness.value:
        expires = said.certificate_expires
        if expires is not None and expires - now < CERTIFICATE_SECONDS:
            sentence = f"The TLS certificate of {name} expires at {utc(expires)}."
            yield Problem(Condition.TLS, name, sentence)


def _reasons(report: Report) -> list[str]:
    said = report.readiness
    return list(said.value.reasons) if said.value and not said.error else []


def _errors(report: Report) -> Iterator[str]:
    for name in report.__slots__:
        if isinstance(part := getattr(report, name), Part) and part.error:
            yield part.error


def _is_about_tls(error: str) -> bool:
    return any(words in error for words in TLS_WORDS)
