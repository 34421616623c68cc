"""Endorsement claims: an expert's verdict on windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from dragon.encoding import MAX_INTEGER, Json, Members, to_hex
from dragon.protocol.claims.window import Verdict
from dragon.protocol.signing import root


@dataclass(frozen=True, slots=True)
class EndorsementClaim:
    """An expert of the committee has looked at windows, and says what they are."""

    KIND: ClassVar[str] = "endorsement"

    stream: bytes
    first: int  # number of a window
    last: int  # the same or a later one, inclusive
    verdict: Verdict
    note: bytes  # SHA-256 of a text that the expert keeps; of no bytes if there is none
    expert: str
    timestamp: int  # Unix seconds, the expert's own: nobody else signs these bytes

    def members(self) -> dict[str, Json]:
        return {
            "stream": to_hex(self.stream),
            "first": self.first,
            "last": self.last,
            "verdict": str(self.verdict),
            "note": to_hex(self.note),
            "expert": self.expert,
            "timestamp": self.timestamp,
        }

    def root(self, committee_id: bytes) -> bytes:
        return root(self.KIND, committee_id, self.members())

    @classmethod
    def take(cls, members: Members) -> Self:
        stream, first = members.hex("stream", size=32), members.integer("first")
        return cls(
            stream,
            first,
            members.integer("last", least=first, most=MAX_INTEGER),
            Verdict(members.word("verdict", Verdict)),
            members.hex("note", size=32),
            members.id("expert"),
            members.integer("timestamp"),
        )

    def to_json(self) -> dict[str, Json]:
        return {"kind": self.KIND, **self.members()}
