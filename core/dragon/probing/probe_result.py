"""The result of one probe of a node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from dragon.node.beat_book import NewestBeat
from dragon.probing.beats import NOT_HEARD_YET
from dragon.probing.judgement import Judgement
from dragon.protocol.claims.status import Status

NOT_LISTED: Final = "not_listed"  # why a node is not probed: no committee lists it any more
LOOKING: Final = "looking"  # the first look at a slow target has not ended yet
# Results that say nothing about the node. A service abstains from it.
NO_EVIDENCE: Final = frozenset({NOT_HEARD_YET, LOOKING})


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The result of one probe. The status is `down` if there was no valid answer in time."""

    node_id: str
    status: Status
    reason: str  # "answered", or a fault: timeout, refused, dns, tls, status_302, bad_signature, …
    begun: float  # monotonic seconds
    begun_at: float  # Unix seconds
    latency_ms: int
    offset_ms: int | None  # the node's clock minus the local one of `begun_at`; None if unsigned
    detail: str = ""  # see `Judgement`
    certificate_expires: int | None = None  # Unix seconds, of the TLS certificate of a target
    beat: NewestBeat | None = None  # of a target that sends heartbeats, at that time

    @classmethod
    def of(
        cls,
        node_id: str,
        judgement: Judgement,
        begun: tuple[float, float],
        ended: float,
        offset_ms: int | None = None,
    ) -> Self:
        """Make the result of a probe that began at `begun` (monotonic and Unix seconds).

        `ended`: monotonic seconds.
        """
        return cls(
            node_id,
            judgement.status,
            judgement.reason,
            *begun,
            round(1000 * (ended - begun[0])),
            offset_ms,
            judgement.detail,
            judgement.certificate_expires,
            judgement.beat,
        )

    @property
    def certain_offset_ms(self) -> int | None:
        """The offset, reduced by the part that network latency can explain."""
        if self.offset_ms is None:
            return None
        certain = max(0, abs(self.offset_ms) - self.latency_ms // 2)
        return certain if self.offset_ms > 0 else -certain

    @property
    def answered(self) -> bool:
        return self.status is Status.UP

    @property
    def is_evidence(self) -> bool:
        """Whether the result says anything about the node."""
        return self.reason not in NO_EVIDENCE

    def to_json(self) -> dict[str, object]:
        """Return the members that `GET /rounds` and `GET /probes` show."""
        return {
            "node_id": self.node_id,
            "seen": str(self.status),
            "reason": self.reason,
            "detail": self.detail,
            "at": int(self.begun_at),
            "latency_ms": self.latency_ms,
            "clock_offset_ms": self.offset_ms,
            "certificate_expires": self.certificate_expires,
            "beat": self.beat.to_json() if self.beat else None,
        }

    def as_seen(self) -> dict[str, object]:
        """Return the member `seen` of a node in `GET /nodes`."""
        return {
            "status": str(self.status),
            "reason": self.reason,
            "detail": self.detail,
            "at": int(self.begun_at),
            "latency_ms": self.latency_ms,
            "certificate_expires": self.certificate_expires,
        }
