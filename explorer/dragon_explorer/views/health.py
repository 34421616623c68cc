"""The health of the certification itself: checkpoint, ledger, quorum and agreement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeVar

from dragon.encoding import from_hex, to_hex
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.committee import Committee
from dragon_explorer.certainty import doubt
from dragon_explorer.live.board import OperatorReport, Part
from dragon_explorer.sources import Sources

FRESH_SECONDS: Final = 10  # an answer counts as current, if the newest request failed
MAX_AGE_SECONDS: Final = 20  # an answer counts as current; nobody asks sooner if nobody looks
# Entries that an operator does not have: the newest ones may be on their way to it. Entries that
# only an operator has: the explorer may not have read them yet.
LAG_SECONDS: Final = 60
T = TypeVar("T")
Agreement = Literal["equal", "behind", "different", "ahead", "foreign", "silent"]


@dataclass(frozen=True, slots=True)
class OperatorState:
    """One operator beside the explorer's own log. Uncertified."""

    operator: str
    url: str
    # behind: it lacks entries; ahead: it has entries that the explorer has not read yet;
    # foreign: it has another committee
    agreement: Agreement
    ready: bool
    reasons: tuple[str, ...]
    size: int | None
    root: str | None
    answered_at: int | None  # Unix seconds of its last answer
    error: str  # why it did not answer the last time; empty if it did


@dataclass(frozen=True, slots=True)
class FleetHealth:
    """The health of the committee's work."""

    sentence: str  # for example "3 of 4 operators agree. One more fault stops certification."
    operators: int
    quorum: int  # signers that a certificate about a status needs
    agreeing: int  # operators that answer, are ready and have the same log. Uncertified
    margin: int  # further faults that certification survives; negative: nothing is certified
    certifying: bool  # whether a checkpoint is recent, and the log can be relied on
    doubt: str  # why the log says nothing about the present; empty if it does
    checkpoint_at: int | None  # Unix seconds of the last checkpoint. Certified
    checkpoint_age: int | None  # seconds
    checkpoint_size: int | None
    checkpoint_signers: tuple[str, ...]  # certified
    unknown_after: int  # seconds without a checkpoint, after which everything is unknown
    log_size: int
    log_root: str
    ledger_index: int
    ledger_behind: int  # batches that the ledger has and the log has not applied
    ledger_error: str  # why the ledger cannot be read; empty if it can
    caught_up: bool
    alarm: str  # why the log has stopped; empty if it has not
    refused_events: int
    committee: str  # id of the explorer's committee
    operator_states: tuple[OperatorState, ...]


def health(sources: Sources, now: int) -> FleetHealth:
    """Return the health of the committee's work."""
    committee, log, follower = sources.committee, sources.log, sources.follower
    head, last, alarm = log.head(), log.state.checkpoint, log.alarm()
    states = operator_states(sources, now, committee)
    agreeing = sum(each.ready and each.agreement in {"equal", "ahead"} for each in states)
    quorum = committee.quorum("status")
    why = doubt(sources, now)
    return FleetHealth(
        sentence=sentence(len(states), agreeing, quorum, why),
        operators=len(states),
        quorum=quorum,
        agreeing=agreeing,
        margin=agreeing - quorum,
        certifying=last is not None and not why,
        doubt=why,
        checkpoint_at=last.timestamp if last else None,
        checkpoint_age=max(0, now - last.timestamp) if last else None,
        checkpoint_size=last.size if last else None,
        checkpoint_signers=_signers(sources, last.position) if last else (),
        unknown_after=committee.rounds.unknown_after,
        log_size=head.size,
        log_root=to_hex(head.root),
        ledger_index=log.position.index,
        ledger_behind=follower.behind,
        ledger_error=follower.last_error,
        caught_up=follower.caught_up,
        alarm=f"{alarm.reason}: {alarm.detail}" if alarm else "",
        refused_events=sum(log.refusals().values()),
        committee=to_hex(committee.id),
        operator_states=states,
    )


def operator_states(
    sources: Sources, now: int, committee: Committee | None = None
) -> tuple[OperatorState, ...]:
    """Return the log of each operator of a committee beside the explorer's own.

    Args: `committee`, by default the one that holds.
    """
    operators = (committee or sources.committee).operators
    return tuple(operator_state(sources, each.id, each.url, now) for each in operators)


def sentence(operators: int, agreeing: int, quorum: int, why_unknown: str = "") -> str:
    """Return the state of the quorum in words. Args: `why_unknown`, see `doubt`."""
    agree = f"{agreeing} of {operators} operators agree."
    margin = agreeing - quorum
    if margin < 0:
        return f"{agree} Certification needs {quorum}: nothing is certified now."
    if why_unknown:
        return f"{agree} The present is unknown: {why_unknown}."
    if margin == 0:
        return f"{agree} One more fault stops certification."
    faults = "one more fault" if margin == 1 else f"{margin} more faults"
    return f"{agree} Certification survives {faults}."


def _signers(sources: Sources, position: int) -> tuple[str, ...]:
    event = sources.log.entry(position).event
    return tuple(event.signers) if isinstance(event.claim, CheckpointClaim) else ()


def operator_state(sources: Sources, operator: str, url: str, now: float) -> OperatorState:
    """Return an operator's log beside the explorer's own."""
    report = sources.board.operator(operator) or OperatorReport(operator, url)
    head, readiness = report.head, report.readiness
    agreement = _agreement(sources, report, now) if is_fresh(head, now) else "silent"
    said = readiness.value if is_fresh(readiness, now) else None
    return OperatorState(
        operator=operator,
        url=url,
        agreement=agreement,
        ready=said is not None and not said.reasons,
        reasons=tuple(said.reasons) if said else (),
        size=head.value.size if head.value else None,
        root=head.value.root if head.value else None,
        answered_at=None if head.at is None else int(head.at),
        error=readiness.error or head.error,
    )


def is_fresh(part: Part[T], now: float) -> bool:
    """Whether the last good answer is current. One request may fail.

    An answer of the future is not current: the clock was set back.
    """
    most = FRESH_SECONDS if part.error else MAX_AGE_SECONDS
    return part.at is not None and abs(now - part.at) <= most


def _agreement(sources: Sources, report: OperatorReport, now: float) -> Agreement:
    said = report.head.value
    if said is None:
        return "silent"
    if _is_foreign(sources, report):
        return "foreign"
    size = sources.log.state.size
    if said.size > size:
        return "different" if _was_never_read(sources, report, size, now) else "ahead"
    if to_hex(sources.log.head(said.size).root) != said.root:
        return "different"
    return "behind" if said.size < size and _lags(sources, said.size, now) else "equal"


def _is_foreign(sources: Sources, report: OperatorReport) -> bool:
    """Whether an operator's log is of another network.

    Its committee may be an earlier one of this network. Or it is the next one, of a longer log,
    because logs pass a handover a second apart; then it says that it is of this network.
    """
    head, state = report.head.value, report.committee.value
    if head is None or head.committee is None:
        return False
    if sources.epochs.number_of(from_hex(head.committee, member="committee", size=32)) is not None:
        return False
    if state is None or head.size <= sources.log.state.size:
        return True
    said = state.network, state.committee
    return said != (to_hex(sources.committee.network_id), head.committee)


def _was_never_read(sources: Sources, report: OperatorReport, size: int, now: float) -> bool:
    """Whether an operator has stated for long more entries than the whole ledger has."""
    oldest = report.earlier_heads[0] if report.earlier_heads else report.head
    if oldest.value is None or oldest.at is None or now - oldest.at < LAG_SECONDS:
        return False
    return sources.follower.caught_up and oldest.value.size > size


def _lags(sources: Sources, position: int, now: float) -> bool:
    """Whether the first entry that an operator lacks was certified long ago."""
    timestamp = getattr(sources.log.entry(position).event.claim, "timestamp", now)
    rounds = sources.committee.rounds
    return bool(now - timestamp > LAG_SECONDS + rounds.seconds)
