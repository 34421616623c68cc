"""Claims on streams: what a majority found a window to be, and what an expert says of windows."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from dragon import errors
from dragon.encoding import MAX_INTEGER, Json, Members, to_hex
from dragon.signing import root
from dragon.stark.parameters import Slack
from dragon.stark.sets import SETS

# The parameter sets whose proofs keep the secrets of many chunks.
WINDOW_SETS: Final = tuple(name for name, each in SETS.items() if each.slack is Slack.STRICT)


class Verdict(enum.StrEnum):
    VALID = "valid"
    INVALID = "invalid"


class Fault(enum.StrEnum):
    """Why a window is invalid: the first of these that its own objects prove."""

    NONE = "none"  # it is valid
    HEADER = "header"  # contradicts itself, or the window that it says it follows
    ROOT = "root"  # the chunk headers under its root contradict it or each other
    STATEMENT = "statement"  # the commitments are none, so nothing could be proven about them
    STARK = "stark"  # the proof proves something else, or nothing


@dataclass(frozen=True, slots=True)
class WindowClaim:
    """Not later than in the round that begins at `timestamp` a window was valid, or was not."""

    KIND: ClassVar[str] = "window"

    stream: bytes  # the stream's id
    number: int  # from 0
    previous: bytes  # hash of the header before; the stream's id for number 0
    header: bytes  # hash of the window header
    verdict: Verdict
    reason: Fault
    proof: bytes  # SHA-256 of the proof that was looked at
    parameters: str  # the parameter set that it was verified under
    timestamp: int  # Unix seconds, the start of a round

    def members(self) -> dict[str, Json]:
        return {
            "stream": to_hex(self.stream),
            "number": self.number,
            "previous": to_hex(self.previous),
            "header": to_hex(self.header),
            "verdict": str(self.verdict),
            "reason": str(self.reason),
            "proof": to_hex(self.proof),
            "parameters": self.parameters,
            "timestamp": self.timestamp,
        }

    def root(self, committee_id: bytes) -> bytes:
        return root(self.KIND, committee_id, self.members())

    @classmethod
    def take(cls, members: Members) -> Self:
        claim = cls(
            members.hex("stream", size=32),
            members.integer("number"),
            members.hex("previous", size=32),
            members.hex("header", size=32),
            Verdict(members.word("verdict", Verdict)),
            Fault(members.word("reason", Fault)),
            members.hex("proof", size=32),
            members.word("parameters", WINDOW_SETS),
            members.integer("timestamp"),
        )
        if (claim.verdict is Verdict.VALID) is not (claim.reason is Fault.NONE):
            message = "the reason is none if the verdict is valid, and only then"
            raise errors.UnknownValue(message, member="reason", value=str(claim.reason))
        return claim

    def to_json(self) -> dict[str, Json]:
        return {"kind": self.KIND, **self.members()}


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
