"""Downtime claims: how many seconds of an interval a node was down or unknown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from dragon.encoding import Json, Members, to_hex
from dragon.protocol.claims.base import Claim, Kind, register, utc
from dragon.protocol.committee import DEFAULT_QUORUMS, Committee


@dataclass(frozen=True, slots=True)
class DowntimeClaim(Claim):
    """In [begin, end) a node was down, and unknown, for these numbers of seconds.

    The requester does not choose the size: it follows from `end` (see `dragon.log.downtime`).
    """

    KIND: ClassVar[str] = "downtime"

    node_id: str
    begin: int  # Unix seconds; `from` in JSON
    end: int  # Unix seconds, exclusive; `to` in JSON
    seconds_down: int
    seconds_unknown: int
    size: int  # entries of the log
    log_root: bytes  # 32 bytes, the log's root at that size

    @property
    def seconds_up(self) -> int:
        return self.end - self.begin - self.seconds_down - self.seconds_unknown

    def members(self) -> dict[str, Json]:
        return {
            "node_id": self.node_id,
            "from": self.begin,
            "to": self.end,
            "seconds_down": self.seconds_down,
            "seconds_unknown": self.seconds_unknown,
            "size": self.size,
            "root": to_hex(self.log_root),
        }

    @classmethod
    def take(cls, members: Members) -> Self:
        node_id, begin = members.id("node_id"), members.integer("from")
        end = members.integer("to", least=begin + 1)
        down = members.integer("seconds_down", most=end - begin)
        unknown = members.integer("seconds_unknown", most=end - begin - down)
        size = members.integer("size")
        return cls(node_id, begin, end, down, unknown, size, members.hex("root", size=32))


class DowntimeKind(Kind[DowntimeClaim]):
    """Downtime certificates are answers: they are never put on the ledger."""

    claim = DowntimeClaim
    default_quorum = DEFAULT_QUORUMS["downtime"]

    def check(self, claim: DowntimeClaim, committee: Committee) -> None:
        """The requester chose the times, so they need not start a round."""
        committee.check_node(claim.node_id)

    def ordering_key(self, claim: DowntimeClaim) -> str:
        return claim.node_id

    def sentence(self, claim: DowntimeClaim) -> str:
        seconds, begin, end = claim.end - claim.begin, utc(claim.begin), utc(claim.end)
        totals = f"down for {claim.seconds_down} s and unknown for {claim.seconds_unknown} s"
        return f"{claim.node_id} was {totals} of the {seconds} s from {begin} to {end}"


register(DowntimeKind())
