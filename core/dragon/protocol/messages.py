"""Signed messages between services. They travel in requests and never become events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from dragon.encoding import Json, Members, to_hex
from dragon.protocol.claims.status import Status
from dragon.protocol.signing import root

NONCE_SIZES = range(16, 33)


@dataclass(frozen=True, slots=True)
class StatusAnswer:
    """An operator answers for itself. The nonce is the asker's: no old answer can be replayed."""

    KIND: ClassVar[str] = "status-answer"

    node_id: str
    status: Status
    time_ms: int  # Unix milliseconds by the answering operator's clock
    nonce: bytes  # 16 to 32 bytes

    def members(self) -> dict[str, Json]:
        return {
            "node_id": self.node_id,
            "status": str(self.status),
            "time_ms": self.time_ms,
            "nonce": to_hex(self.nonce),
        }

    def root(self, committee_id: bytes) -> bytes:
        return root(self.KIND, committee_id, self.members())

    @classmethod
    def take(cls, members: Members) -> Self:
        return cls(
            members.id("node_id"),
            Status(members.word("status", Status)),
            members.integer("time_ms"),
            members.hex("nonce", size=NONCE_SIZES),
        )


@dataclass(frozen=True, slots=True)
class Suspicion:
    """One operator's own probe says that a node changed. Starts a gathering, proves nothing."""

    KIND: ClassVar[str] = "suspicion"

    node_id: str
    status: Status
    timestamp: int  # Unix seconds, the start of a round
    operator: str

    def members(self) -> dict[str, Json]:
        return {
            "node_id": self.node_id,
            "status": str(self.status),
            "timestamp": self.timestamp,
            "operator": self.operator,
        }

    def root(self, committee_id: bytes) -> bytes:
        return root(self.KIND, committee_id, self.members())

    @classmethod
    def take(cls, members: Members) -> Self:
        node_id = members.id("node_id")
        status = Status(members.word("status", Status))
        return cls(node_id, status, members.integer("timestamp"), members.id("operator"))
