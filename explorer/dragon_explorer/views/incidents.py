"""The pages `/incidents` and `/incidents/<position>`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final

from pydantic import ValidationError

from dragon import errors
from dragon.encoding import to_hex
from dragon.protocol.claims.base import kind_of
from dragon.protocol.claims.status import StatusClaim
from dragon.protocol.log_entry import ProvenEntry
from dragon_explorer.history.store import Gathering as StoredGathering
from dragon_explorer.index import Outage
from dragon_explorer.live import answers
from dragon_explorer.sources import Sources
from dragon_explorer.views.maintenance import MaintenanceRow, maintenance_row
from dragon_explorer.views.rounds import GatheringRow, SuspicionRow, gathering_row, suspicion_row

PAGE_INCIDENTS: Final = 50
MAX_WINDOWS: Final = 20


@dataclass(frozen=True, slots=True)
class IncidentRow:
    """An outage of a node, certified. Times are Unix seconds."""

    position: int  # of the `down` event; names the incident
    node_id: str
    begun: int
    ended: int | None  # None: it lasts
    seconds: int  # until now while it lasts
    end_position: int | None  # of the event that ended it: `up`, or a handover
    has_left: bool  # it ended because the node left the committee; nothing says that it is up
    seconds_maintenance: int  # of its seconds, those in announced maintenance


@dataclass(frozen=True, slots=True)
class SeenRow:
    """An aggregator's probe of the node."""

    seen: str  # "up" or "down"
    reason: str  # "answered", or the fault
    detail: str  # what differed from what was expected; empty: nothing is stated
    latency_ms: int


@dataclass(frozen=True, slots=True)
class GatheredRow(GatheringRow):
    """A question, and what its round had about the same node."""

    round: int | None  # its number; None: kept by an earlier release
    begun_late_ms: int | None
    took_ms: int | None  # None: the round was running, or an earlier release kept it
    probes: tuple[SeenRow, ...]  # in the order in which they were made
    suspicions: tuple[SuspicionRow, ...]  # in the order in which they arrived


@dataclass(frozen=True, slots=True)
class Incidents:
    """A page of incidents, newest first."""

    now: int
    total: int
    incidents: tuple[IncidentRow, ...]
    next: int | None  # `before` of the next page; None: this is the last


@dataclass(frozen=True, slots=True)
class Incident:
    """One change of a node's status, with everything that proves it."""

    now: int
    position: int
    node_id: str
    status: str  # "up" or "down"
    timestamp: int  # Unix seconds, the start of the round
    round: int
    epoch: int  # of the committee that signed
    sentence: str
    ledger_index: int
    ledger_time: int | None  # Unix seconds; not certified
    signers: tuple[str, ...]
    others: tuple[str, ...]  # operators that are not among the signers
    needed: int
    certificate: Mapping[str, object]
    inclusion: tuple[str, ...]  # hashes from the leaf to the root
    log_size: int
    log_root: str
    command: str  # verifies the download offline
    outage: IncidentRow | None  # the outage that this change begins or ends
    maintenance: tuple[MaintenanceRow, ...]  # announced for some of it; at most `MAX_WINDOWS`
    gatherings: tuple[GatheredRow, ...]  # how every operator answered. Uncertified, if still kept


def incident_row(sources: Sources, outage: Outage, now: int) -> IncidentRow:
    """Return an outage as a row."""
    end = now if outage.ended is None else outage.ended
    return IncidentRow(
        outage.position,
        outage.node_id,
        outage.begun,
        outage.ended,
        max(0, end - outage.begun),
        outage.end_position,
        outage.has_left,
        sources.maintenance.seconds(outage.node_id, outage.begun, end),
    )


def incidents(sources: Sources, now: int, before: int, limit: int = PAGE_INCIDENTS) -> Incidents:
    """Return the incidents that begin before a position of the log."""
    found = sources.index.outages(before, limit + 1)
    rows = tuple(incident_row(sources, each, now) for each in found[:limit])
    following = rows[-1].position if len(found) > limit else None
    return Incidents(now, sources.index.count, rows, following)


def incident(sources: Sources, now: int, position: int) -> Incident:
    """Return one change of status. Raises NotFound: the entry is no status event."""
    proven = proven_entry(sources, position)
    event, claim = proven.entry.event, proven.entry.event.claim
    if not isinstance(claim, StatusClaim):
        message = f"entry {position} of the log is a {claim.KIND} event, not a change of status"
        raise errors.NotFound(message, position=position)
    outage = sources.index.outage_at(position)
    committee = sources.epochs.committee(event.committee_id)
    signers = tuple(event.signers)
    kept = sources.history.gatherings(claim.node_id, str(claim.status), claim.timestamp)
    return Incident(
        now=now,
        position=position,
        node_id=claim.node_id,
        status=str(claim.status),
        timestamp=claim.timestamp,
        round=committee.rounds.number(claim.timestamp),
        epoch=committee.epoch,
        sentence=kind_of(claim).sentence(claim),
        ledger_index=proven.entry.ledger_index,
        ledger_time=sources.log.entry(position).ledger_time,
        signers=signers,
        others=tuple(each for each in committee.keys if each not in signers),
        needed=committee.quorum(claim.KIND),
        certificate=event.to_json(),
        inclusion=tuple(to_hex(each) for each in proven.inclusion),
        log_size=proven.size,
        log_root=to_hex(proven.root),
        command=verify_command(sources, position),
        outage=incident_row(sources, outage, now) if outage else None,
        maintenance=tuple(_maintenance(sources, outage, now)) if outage else (),
        gatherings=tuple(_gatherings(kept)),
    )


def _maintenance(sources: Sources, outage: Outage, now: int) -> Iterator[MaintenanceRow]:
    """Yield the announced maintenance that an outage shares a second with."""
    end = now if outage.ended is None else outage.ended
    found = sources.maintenance.between(outage.node_id, outage.begun, end)
    return (maintenance_row(each, now) for each in found[:MAX_WINDOWS])


def proven_entry(sources: Sources, position: int) -> ProvenEntry:
    """Return an entry of the log with its proof of inclusion. Raises NotFound."""
    return sources.log.proven(position)


def trust_file(sources: Sources) -> str:
    """The name of the download that commands verify with.

    What a committee of an earlier epoch signed takes the lineage of all committees.
    """
    return "lineage.json" if sources.committee.epoch else "committee.json"


def verify_command(sources: Sources, position: int) -> str:
    """The command that verifies the downloaded entry offline."""
    return f"dragon verify event event-{position}.json --committee {trust_file(sources)}"


def _gatherings(kept: Sequence[StoredGathering]) -> list[GatheredRow]:
    rows = []
    for each in kept:
        try:
            found = answers.KeptGathering.model_validate_json(each.answers, by_name=True)
        except ValidationError:
            continue  # written by another release; it is not certified, and may be lost
        rows.append(_gathered(each.aggregator, found))
    return rows


def _gathered(aggregator: str, kept: answers.KeptGathering) -> GatheredRow:
    row = gathering_row(aggregator, kept)
    return GatheredRow(
        **{each.name: getattr(row, each.name) for each in fields(row)},
        round=kept.round,
        begun_late_ms=kept.begun_late_ms,
        took_ms=kept.took_ms,
        probes=tuple(
            SeenRow(each.seen, each.reason, each.detail, each.latency_ms) for each in kept.probes
        ),
        suspicions=tuple(suspicion_row(each) for each in kept.suspicions),
    )
