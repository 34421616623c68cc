"""Claims on streams: what a majority found a window to be, and what an expert says of windows."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from dragon import errors
from dragon.encoding import Json, Members, to_hex
from dragon.protocol.signing import root
from dragon.stark.parameter_sets import SETS
from dragon.stark.parameters import Slack

# The parameter sets whose proofs keep the secrets of many chunks.
WINDOW_SETS: Final = tuple(name for name, each in SETS.items() if each.slack is Slack.STRICT)


class Verdict(enum.StrEnum):
    VALID = "valid"
    INVALID = "invalid"


class InvalidReason(enum.StrEnum):
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
    reason: InvalidReason
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
            InvalidReason(members.word("reason", InvalidReason)),
            members.hex("proof", size=32),
            members.word("parameters", WINDOW_SETS),
            members.integer("timestamp"),
        )
        if (claim.verdict is Verdict.VALID) is not (claim.reason is InvalidReason.NONE):
            message = "the reason is none if the verdict is valid, and only then"
            raise errors.UnknownValue(message, member="reason", value=str(claim.reason))
        return claim

    def to_json(self) -> dict[str, Json]:
        return {"kind": self.KIND, **self.members()}
