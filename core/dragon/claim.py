"""Claims: the statements that are signed, each with exactly one canonical encoding.

What is signed is a claim's *root* (`dragon.signing`). Claims on streams are in
`dragon.stream_claim`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import ClassVar, Final, Self, TypeAlias

from dragon.encoding import Json, Members, to_hex
from dragon.signing import root
from dragon.stream_claim import WindowClaim

NONCE_SIZES = range(16, 33)


class Status(enum.StrEnum):
    UP = "up"
    DOWN = "down"


class RefusalReason(enum.StrEnum):
    """Why an operator does not sign. The list is closed."""

    SEES_UP = "sees_up"
    SEES_DOWN = "sees_down"
    NO_CHANGE = "no_change"
    BLIND = "blind"
    CLOCK = "clock"
    BEHIND = "behind"
    OFF_ROUND = "off_round"
    UNKNOWN_NODE = "unknown_node"
    SUBJECT = "subject"
    EQUIVOCATION = "equivocation"
    BUSY = "busy"
    MALFORMED = "malformed"


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


@dataclass(frozen=True, slots=True)
class DowntimeClaim:
    """In [begin, end) a node was down, and unknown, for so many seconds, by the log of that size.

    The size is no choice of whoever asks: it follows from `end` (see `dragon.log.totals`).
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


Claim: TypeAlias = StatusClaim | CheckpointClaim | DowntimeClaim | WindowClaim

_CERTIFIED: Final[dict[str, type[Claim]]] = {
    claim.KIND: claim for claim in (StatusClaim, CheckpointClaim, DowntimeClaim, WindowClaim)
}


def take_certified(kind: str, members: Members) -> Claim | None:
    """A claim of a kind that certificates carry; None if they carry none of that kind."""
    claim = _CERTIFIED.get(kind)
    return claim.take(members) if claim else None


def from_json(value: Json) -> Claim:
    """A claim with its kind beside its members, as `POST /attestations` takes it.

    Raises InvalidEncoding.
    """
    members = Members(value, "the claim")
    claim = _CERTIFIED[members.word("kind", _CERTIFIED)].take(members)
    members.end()
    return claim


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
