"""What each observer saw of a node last, and what follows for its TLS certificate. Uncertified."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from dragon.probing.probe_result import NO_EVIDENCE
from dragon.protocol.committee import byzantine_faults
from dragon.protocol.target_checks import TlsCheck
from dragon_explorer.live import answers
from dragon_explorer.sources import Sources
from dragon_explorer.views.health import is_fresh

DAY_SECONDS = 86_400
Saw: TypeAlias = Literal["up", "down", "unknown"]


@dataclass(frozen=True, slots=True)
class Observation:
    """The last probe of a node by one observer."""

    observer: str  # an operator or an aggregator
    seen: Saw  # unknown: the probe says nothing about the node
    reason: str  # "answered", or the fault
    detail: str  # what differed from what was expected; empty: nothing is stated
    at: int  # Unix seconds
    latency_ms: int | None
    certificate_expires: int | None  # Unix seconds; None: no TLS certificate was seen


@dataclass(frozen=True, slots=True)
class CertificateRow:
    """The end of a target's TLS certificate, as more operators saw it than may be faulty."""

    expires: int  # Unix seconds, at the earliest
    operators: int  # that saw a certificate
    warn_days: int  # before the end, by the check of the target
    is_warning: bool


def observations(sources: Sources, node_id: str) -> Iterator[Observation]:
    """Yield the last probe of a node by each observer: aggregators, then operators."""
    for report in sources.board.aggregators():
        for round_ in reversed(report.rounds.value or ()):
            if (probe := round_.by_node.get(node_id)) is not None:
                yield _observation(report.name, probe, probe.seen, round_.start)
                break
    for operator in sources.board.operators():
        said = (operator.nodes.value or {}).get(node_id)
        if said is not None and said.seen is not None and operator.name != node_id:
            yield _observation(operator.name, said.seen, said.seen.status, said.seen.at)


def _observation(
    observer: str, found: answers.Probe | answers.Seen, status: str, at: int
) -> Observation:
    return Observation(
        observer=observer,
        seen=_saw(status, found.reason),
        reason=found.reason,
        detail=found.detail,
        at=at,
        latency_ms=found.latency_ms,
        certificate_expires=found.certificate_expires,
    )


def _saw(status: str, reason: str) -> Saw:
    if reason in NO_EVIDENCE:
        return "unknown"
    return "up" if status == answers.UP else "down" if status == "down" else "unknown"


def certificate(sources: Sources, node_id: str, now: float) -> CertificateRow | None:
    """Return when the certificate of a `tls` target ends.

    None: another kind of node, or no more operators saw a certificate than may be faulty. The end
    is not earlier than the earliest that an honest operator saw.
    """
    committee = sources.committee
    target = committee.targets_by_id.get(node_id)
    if target is None or not isinstance(target.check, TlsCheck):
        return None
    seen = [
        said.seen.certificate_expires
        for report in sources.board.operators()
        if report.name in committee.keys and is_fresh(report.nodes, now)
        for said in [(report.nodes.value or {}).get(node_id)]
        if said is not None and said.seen is not None
    ]
    ends = sorted(each for each in seen if each is not None)
    faulty = byzantine_faults(len(committee.operators))
    if len(ends) <= faulty:
        return None
    expires, warn_days = ends[faulty], target.check.warn_days
    is_warning = expires - now < warn_days * DAY_SECONDS
    return CertificateRow(expires, len(ends), warn_days, is_warning)
