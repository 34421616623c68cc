"""Downtime claims: the seconds of an interval in which a node was down or unknown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from dragon.protocol.claims.base import Claim, Kind, register, utc
from dragon.protocol.committee import DEFAULT_QUORUMS, Committee
from dragon.protocol.shape import Hex, Id, Integer


def _unaccounted(claim: Mapping[str, int]) -> int:
    """Return the seconds of the interval that the members before have not counted."""
    return claim["end"] - claim["begin"] - claim.get("seconds_down", 0)


@dataclass(frozen=True, slots=True)
class DowntimeClaim(Claim):
    """The seconds in [begin, end) in which a node was down, and in which its status was unknown.

    The requester does not choose the size: it follows from `end` (see `dragon.log.downtime`).
    """

    KIND: ClassVar[str] = "downtime"

    node_id: Annotated[str, Id()]
    begin: Annotated[int, Integer(name="from")]  # Unix seconds
    end: Annotated[int, Integer(name="to", least=lambda claim: claim["begin"] + 1)]  # exclusive
    seconds_down: Annotated[int, Integer(most=_unaccounted)]
    seconds_maintenance: Annotated[
        int, Integer(most=lambda claim: claim["seconds_down"])
    ]  # of those down, the seconds of announced maintenance
    seconds_unknown: Annotated[int, Integer(most=_unaccounted)]
    size: Annotated[int, Integer()]  # entries of the log
    log_root: Annotated[bytes, Hex(name="root")]  # the log's root at that size

    @property
    def seconds_up(self) -> int:
        """Seconds in which the node was certified up."""
        return self.end - self.begin - self.seconds_down - self.seconds_unknown


class DowntimeKind(Kind[DowntimeClaim]):
    """Downtime certificates answer requests. They are not sent to the ledger."""

    claim = DowntimeClaim
    default_quorum = DEFAULT_QUORUMS["downtime"]

    def check(self, claim: DowntimeClaim, committee: Committee) -> None:
        """Check nothing: the requester chose the times, so no round has to start then.

        Nor does the committee have to list the node: an earlier one may have. The signers know
        whether one has.
        """

    def ordering_key(self, claim: DowntimeClaim) -> str:
        return claim.node_id

    def sentence(self, claim: DowntimeClaim) -> str:
        seconds, begin, end = claim.end - claim.begin, utc(claim.begin), utc(claim.end)
        totals = f"down for {claim.seconds_down} s and unknown for {claim.seconds_unknown} s"
        return f"{claim.node_id} was {totals} of the {seconds} s from {begin} to {end}"


register(DowntimeKind())
