"""Period claims: one signature on the downtime of all nodes in a period."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

from dragon.encoding import MAX_INTEGER, to_hex
from dragon.protocol.claims.base import Claim, Kind, register, utc
from dragon.protocol.claims.downtime import DowntimeClaim
from dragon.protocol.committee import DEFAULT_QUORUMS, Committee
from dragon.protocol.shape import Hex, Integer

MAX_PERIOD_SECONDS: Final = 366 * 86_400  # of the interval: any year
MAX_PERIOD_NODES: Final = 8192  # leaves of one report: as many as a committee can list


def _latest_end(claim: Mapping[str, int]) -> int:
    return min(claim["begin"] + MAX_PERIOD_SECONDS, MAX_INTEGER)


@dataclass(frozen=True, slots=True)
class PeriodClaim(Claim):
    """The report on all nodes in [begin, end) has this root.

    The report has one leaf for each operator and target that a committee has listed for at least a
    second of the period. See `dragon.protocol.period`. As for downtime, the size follows from
    `end`.
    """

    KIND: ClassVar[str] = "period"

    begin: Annotated[int, Integer(name="from")]  # Unix seconds
    end: Annotated[
        int, Integer(name="to", least=lambda claim: claim["begin"] + 1, most=_latest_end)
    ]  # exclusive
    nodes: Annotated[int, Integer(least=1, most=MAX_PERIOD_NODES)]  # leaves of the report
    report: Annotated[bytes, Hex()]  # RFC 6962, the root over the leaves
    log_root: Annotated[bytes, Hex(name="root")]  # the log's root at that size
    size: Annotated[int, Integer()]  # entries of the log

    @property
    def seconds(self) -> int:
        """The length of the period."""
        return self.end - self.begin


class PeriodKind(Kind[PeriodClaim]):
    """Period certificates answer requests. They are not sent to the ledger."""

    claim = PeriodClaim
    default_quorum = DEFAULT_QUORUMS["downtime"]

    @property
    def quorum_rule(self) -> str:
        """The rule for downtime: a period certificate says the same about more nodes."""
        return DowntimeClaim.KIND

    def check(self, claim: PeriodClaim, committee: Committee) -> None:
        """Check nothing: the requester chose the times, so no round has to start then."""

    def ordering_key(self, claim: PeriodClaim) -> str:
        return f"@period:{claim.begin}-{claim.end}"

    def sentence(self, claim: PeriodClaim) -> str:
        begin, end = utc(claim.begin), utc(claim.end)
        nodes = "1 node" if claim.nodes == 1 else f"{claim.nodes} nodes"
        which = f"the report on {nodes} in the {claim.seconds} s from {begin} to {end}"
        return f"{which} has the root {to_hex(claim.report)}"


register(PeriodKind())
