"""Downtime claims: how many seconds of an interval a node was down or unknown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from dragon.encoding import Json, Members, to_hex
from dragon.protocol.signing import root


@dataclass(frozen=True, slots=True)
class DowntimeClaim:
    """In [begin, end) a node was down, and unknown, for so many seconds, by the log of that size.

    The size is no choice of whoever asks: it follows from `end` (see `dragon.log.downtime`).
    """

    KIND: ClassVar[str] = "downtime"

    node_id: str
    begin: int  # Unix seconds; `from` in JSON
    end: int  # Unix seconds, not counted; `to` in JSON
    seconds_down: int
    seconds_unknown: int
    size: int
    log_root: bytes

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

    def root(self, committee_id: bytes) -> bytes:
        return root(self.KIND, committee_id, self.members())

    @classmethod
    def take(cls, members: Members) -> Self:
        node_id, begin = members.id("node_id"), members.integer("from")
        end = members.integer("to", least=begin + 1)
        down = members.integer("seconds_down", most=end - begin)
        unknown = members.integer("seconds_unknown", most=end - begin - down)
        size = members.integer("size")
        return cls(node_id, begin, end, down, unknown, size, members.hex("root", size=32))

    def to_json(self) -> dict[str, Json]:
        return {"kind": self.KIND, **self.members()}
