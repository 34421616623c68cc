"""The pages `/log` and `/log/<position>`: every entry, checkpoints, refused events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from dragon.encoding import MAX_INTEGER, to_hex
from dragon.protocol.claims.base import kind_of
from dragon.protocol.claims.handover import HandoverClaim
from dragon.protocol.event import signers_of
from dragon.protocol.log_entry import LogEntry
from dragon.protocol.single_signer import SingleSigned
from dragon_explorer.sources import Sources
from dragon_explorer.views.epochs import HandoverFacts, handover_facts
from dragon_explorer.views.health import FleetHealth, OperatorState, health, operator_states
from dragon_explorer.views.incidents import proven_entry, verify_command

PAGE_ENTRIES: Final = 50
MAX_MARKS_SHOWN: Final = 20
MAX_REFUSED_SHOWN: Final = 50


EntryAgreement = Literal["equal", "different", "missing", "ahead", "silent"]


@dataclass(frozen=True, slots=True)
class EntryRow:
    """One entry of the log. Certified."""

    position: int
    kind: str
    sentence: str
    timestamp: int  # Unix seconds, of the claim
    signers: int
    ledger_index: int


@dataclass(frozen=True, slots=True)
class CheckpointRow:
    """One mark of the log: a certified checkpoint, or a handover."""

    position: int
    epoch: int | None  # of the committee that a handover seated; None: a checkpoint
    size: int
    root: str
    timestamp: int


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """An event of the ledger that the log refused."""

    ledger_index: int
    place: int
    reason: str
    detail: str
    excerpt: str


@dataclass(frozen=True, slots=True)
class LogPage:
    """A page of entries, newest first."""

    now: int
    health: FleetHealth  # with the logs of the operators beside this one
    entries: tuple[EntryRow, ...]
    next: int | None  # `before` of the next page
    checkpoints: tuple[CheckpointRow, ...]  # newest first
    refused_counts: Mapping[str, int]  # by reason
    refused: tuple[RefusedRow, ...]  # newest first


@dataclass(frozen=True, slots=True)
class OperatorEntry:
    """Whether an operator's log has the same entry at this position. Uncertified."""

    operator: str
    # different: its log contradicts this one, at this entry or at another; missing: its log ends
    # before; ahead: its log cannot be compared until this explorer has read as much.
    entry: EntryAgreement
    size: int | None  # entries of its log
    answered_at: int | None  # Unix seconds of its last answer
    error: str  # why it did not answer the last time; empty if it did


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry with its proof."""

    now: int
    entry: EntryRow
    epoch: int  # of the committee that signed
    handover: HandoverFacts | None  # None: it is no handover
    seated: int | None  # epoch of the committee that a handover seated
    signers: tuple[str, ...]
    certificate: Mapping[str, object]
    ledger_time: int | None  # Unix seconds; not certified
    leaf: str
    inclusion: tuple[str, ...]
    log_size: int
    log_root: str
    command: str
    previous: int | None
    next: int | None
    operators: tuple[OperatorEntry, ...]


def log_page(sources: Sources, now: int, before: int = MAX_INTEGER) -> LogPage:
    """Return the entries before a position."""
    log = sources.log
    end = min(before, log.state.size)
    first = max(0, end - PAGE_ENTRIES)
    found = log.entries(first - 1, end - first) if end > first else []
    newest = log.state.marks[-MAX_MARKS_SHOWN:]
    return LogPage(
        now=now,
        health=health(sources, now),
        entries=tuple(_row(each) for each in reversed(found)),
        next=first if first else None,
        checkpoints=tuple(
            CheckpointRow(
                each.position,
                sources.epochs.number_of(each.next) if each.next else None,
                each.size,
                to_hex(each.log_root),
                each.timestamp,
            )
            for each in reversed(newest)
        ),
        refused_counts=log.refusals(),
        refused=tuple(
            RefusedRow(each.ledger_index, each.place, each.reason, each.detail, each.excerpt)
            for each in log.refused(MAX_REFUSED_SHOWN)
        ),
    )


def entry(sources: Sources, now: int, position: int) -> Entry:
    """Return one entry. Raises NotFound."""
    proven = proven_entry(sources, position)
    found = sources.log.entry(position)
    claim = found.event.claim
    committee = sources.epochs.committee(found.event.committee_id)
    seated = claim.epoch if isinstance(claim, HandoverClaim) else None
    return Entry(
        now=now,
        entry=_row(found),
        epoch=committee.epoch,
        handover=None if seated is None else handover_facts(sources, seated),
        seated=seated,
        signers=signers_of(found.event, committee),
        certificate=found.event.to_json(),
        ledger_time=found.ledger_time,
        leaf=to_hex(found.leaf_hash),
        inclusion=tuple(to_hex(each) for each in proven.inclusion),
        log_size=proven.size,
        log_root=to_hex(proven.root),
        command=verify_command(sources, position),
        previous=position - 1 if position else None,
        next=position + 1 if position + 1 < proven.size else None,
        operators=tuple(operator_entry(each, position) for each in operator_states(sources, now)),
    )


def operator_entry(state: OperatorState, position: int) -> OperatorEntry:
    """Return whether an operator's log has the entry at a position."""
    found: EntryAgreement
    match state.agreement:
        case "equal" | "behind":  # equal as far as it goes
            found = "missing" if (state.size or 0) <= position else "equal"
        case "foreign":
            found = "different"
        case other:
            found = other
    return OperatorEntry(
        state.operator,
        found,
        state.size,
        state.answered_at,
        state.error,
    )


def _row(found: LogEntry) -> EntryRow:
    claim = found.event.claim
    return EntryRow(
        position=found.position,
        kind=claim.KIND,
        sentence=kind_of(claim).sentence(claim),
        timestamp=getattr(claim, "timestamp", 0),
        signers=1 if isinstance(found.event, SingleSigned) else len(found.event.signers),
        ledger_index=found.ledger_index,
    )
