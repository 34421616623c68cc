"""TreeHead claims: size and root of the log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from dragon.encoding import Json, Members, to_hex
from dragon.protocol.signing import root


@dataclass(frozen=True, slots=True)
class CheckpointClaim:
    """In the round that begins at `timestamp` the log had this size and root.

    A quorum that says so vouches for two things: for every event up to there, and that it was at
    work then. Only checkpoints make silence mean that nothing happened.
    """

    KIND: ClassVar[str] = "checkpoint"

    size: int
    log_root: bytes  # 32 bytes, RFC 6962
    timestamp: int  # Unix seconds, the start of a round

    def members(self) -> dict[str, Json]:
        return {"size": self.size, "root": to_hex(self.log_root), "timestamp": self.timestamp}

    def root(self, committee_id: bytes) -> bytes:
        return root(self.KIND, committee_id, self.members())

    @classmethod
    def take(cls, members: Members) -> Self:
        size = members.integer("size", least=1)
        return cls(size, members.hex("root", size=32), members.integer("timestamp"))

    def to_json(self) -> dict[str, Json]:
        return {"kind": self.KIND, **self.members()}
