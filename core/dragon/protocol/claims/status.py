"""Status claims: a node is up, or down."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import ClassVar, Self

from dragon.encoding import Json, Members
from dragon.protocol.signing import root


class Status(enum.StrEnum):
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class StatusClaim:
    """A node is up, or down, in the round that begins at `timestamp`."""

    KIND: ClassVar[str] = "status"

    node_id: str
    status: Status
    timestamp: int  # Unix seconds: the start of a round, so that everybody signs the same bytes

    def members(self) -> dict[str, Json]:
        return {
            "node_id": self.node_id,
            "status": str(self.status),
            "timestamp": self.timestamp,
        }

    def root(self, committee_id: bytes) -> bytes:
        return root(self.KIND, committee_id, self.members())

    @classmethod
    def take(cls, members: Members) -> Self:
        """Take this claim's members out of a larger object. Raises InvalidEncoding."""
        node_id = members.id("node_id")
        return cls(node_id, Status(members.word("status", Status)), members.integer("timestamp"))

    def to_json(self) -> dict[str, Json]:
        """As `POST /attestations` takes it: the members, and the kind beside them."""
        return {"kind": self.KIND, **self.members()}

    @classmethod
    def from_json(cls, value: Json) -> Self:
        members = Members(value, "the claim")
        members.word("kind", [cls.KIND])
        claim = cls.take(members)
        members.end()
        return claim
