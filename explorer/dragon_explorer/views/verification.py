"""The verdict on a document: its form, and checks that several kinds of documents share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from dragon.errors import DragonError, WrongCommittee
from dragon.log.store import Log
from dragon.protocol.claims.base import kind_of
from dragon.protocol.endorsement import Endorsement
from dragon.protocol.event import Event
from dragon.protocol.handover import Handover
from dragon.protocol.maintenance import Maintenance
from dragon.protocol.trust import Trust

LineOutcome = Literal["holds", "refused", "absent"]
Verdict = Literal["verified", "incomplete", "refused"]
What = Literal[
    "receipt",
    "event",
    "certificate",
    "endorsement",
    "announcement",
    "period",
    "leaf",
    "report",
    "evidence",
    "stream report",
    "unknown",
]


@dataclass(frozen=True, slots=True)
class Line:
    """The outcome of one check."""

    name: str
    outcome: LineOutcome
    detail: str


@dataclass(frozen=True, slots=True)
class Verification:
    """The verdict on a document."""

    what: What
    verdict: Verdict
    sentence: str  # what is proven, or why it is refused
    lines: tuple[Line, ...]
    command: str = ""  # checks the same document offline; empty if there is none


def is_superseded(event: Event, trust: Trust) -> bool:
    """Whether the committee of an event has handed over."""
    try:
        return trust.lineage.named(event.committee_id).epoch < trust.least_epoch
    except WrongCommittee:
        return False  # its signatures are refused


def line(name: str, check: Callable[[], tuple[LineOutcome, str]]) -> Line:
    try:
        outcome, detail = check()
    except DragonError as error:
        return Line(name, "refused", str(error))
    return Line(name, outcome, detail)


def check_signatures(event: Event, trust: Trust) -> tuple[LineOutcome, str]:
    committee = trust.lineage.named(event.committee_id)
    event.verify(committee)
    if isinstance(event, Endorsement):
        return "holds", f"signed by the expert {event.claim.expert}"
    if isinstance(event, Maintenance):
        return "holds", f"signed by {event.signer_in(committee)}, who may announce it"
    if isinstance(event, Handover):
        event.verify_acceptance(committee, trust.lineage.named(event.claim.next))
    signers = ", ".join(event.signers)
    return "holds", f"signed by {len(event.signers)} of {len(committee.operators)}: {signers}"


def check_logged(event: Event, log: Log) -> tuple[LineOutcome, str]:
    """Check that this explorer's log has what an older committee has certified."""
    handed_over = "the committee has handed over"
    position = log.find(event) if kind_of(event.claim).is_event else None
    if position is None:
        return "refused", f"{handed_over}, and this explorer's log does not have what it signed"
    return "holds", f"{handed_over}, and this explorer's log has the same claim as entry {position}"
