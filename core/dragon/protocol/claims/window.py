"""Window claims: a majority of operators found a window of a stream valid or invalid."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from dragon import errors
from dragon.encoding import Json, to_hex
from dragon.protocol.claims.base import EventClaim, Kind, Row, Table, register, utc
from dragon.protocol.claims.verdict import Verdict
from dragon.protocol.committee import DEFAULT_QUORUMS, Committee
from dragon.protocol.shape import HASH, Integer, Word
from dragon.stark.parameter_sets import SETS
from dragon.stark.parameters import Slack

__all__ = [
    "MAX_REFUTED",
    "STREAMS",
    "WINDOWS",
    "WINDOW_SETS",
    "InvalidReason",
    "Statement",
    "Verdict",
    "WindowClaim",
    "WindowKind",
]

if TYPE_CHECKING:
    from dragon.protocol.claims.stream_state import StreamState
    from dragon.protocol.state import State

# Only these parameter sets hide the secrets of windows with many chunks.
WINDOW_SETS: Final = tuple(name for name, each in SETS.items() if each.slack is Slack.STRICT)
MAX_REFUTED: Final = 16  # invalid proofs of one window that the log records


class InvalidReason(enum.StrEnum):
    """Why a window is invalid: the first of these reasons that its objects prove."""

    NONE = "none"  # the window is valid
    HEADER = "header"  # the header contradicts itself or the previous window's header
    ROOT = "root"  # the chunk headers contradict the window header or each other
    STATEMENT = "statement"  # a commitment or a bound is malformed: nothing can be proven
    STARK = "stark"  # the proof does not prove the statement


class Statement(enum.StrEnum):
    """What the proof of a window in a stream with readings is about."""

    READINGS = "readings"  # the committed readings are within the bounds of the descriptor
    BLOCKS = "blocks"  # the commitments alone, as in streams without readings


@dataclass(frozen=True, slots=True)
class WindowClaim(EventClaim):
    """A window was found valid or invalid in the round that begins at `timestamp`."""

    KIND: ClassVar[str] = "window"

    stream: Annotated[bytes, HASH]  # the stream's id
    number: Annotated[int, Integer()]  # from 0
    previous: Annotated[
        bytes, HASH
    ]  # hash of the previous window's header; the stream's id for number 0
    header: Annotated[bytes, HASH]  # hash of the window header
    verdict: Verdict
    reason: InvalidReason
    proof: Annotated[bytes, HASH]  # SHA-256 of the proof that was verified
    parameters: Annotated[str, Word(words=WINDOW_SETS)]  # the parameter set it was verified under
    timestamp: Annotated[int, Integer()]  # Unix seconds, the start of a round
    # What was proven. Present exactly in streams with readings, and equal to what the header says.
    statement: Annotated[
        Statement | None, Word(words=list(Statement), type=Statement, optional=True)
    ] = None

    def check_members(self) -> None:
        if (self.verdict is Verdict.VALID) is not (self.reason is InvalidReason.NONE):
            message = (
                "the reason must be `none` for a valid window, and another for an invalid one; "
                f"it is `{self.reason}` for the verdict `{self.verdict}`"
            )
            raise errors.UnknownValue(message, member="reason", value=str(self.reason))


# What the sentence of a valid window says about its readings.
_PROVEN: Final[Mapping[Statement | None, str]] = {
    Statement.READINGS: ", all committed readings within bounds,",
    Statement.BLOCKS: ", without a claim about its readings,",
    None: "",
}
WINDOWS: Final = Table(
    "windows",
    (
        *("position", "stream", "number", "previous", "header"),
        *("verdict", "reason", "proof", "parameters", "timestamp", "statement"),
    ),
    "position",
)
STREAMS: Final = Table(
    "streams", ("stream", "windows", "header", "timestamp", "position"), "stream", key="stream"
)


class WindowKind(Kind[WindowClaim]):
    """Windows of a stream form a chain: each names the hash of the previous valid header."""

    claim = WindowClaim
    default_quorum = DEFAULT_QUORUMS["window"]
    tables = (WINDOWS, STREAMS)

    def check(self, claim: WindowClaim, committee: Committee) -> None:
        committee.rounds.check_start(claim.timestamp)

    def check_applicable(self, claim: WindowClaim, state: State) -> None:
        """Check that a window follows the stream's last valid window.

        An invalid window may have a wrong number, because that can be the reason why it is invalid.
        """
        stream = state.stream(claim.stream)
        if claim.previous != (stream.last.header if stream.last else claim.stream):
            raise _not_next(
                claim,
                stream,
                f"window {claim.number} does not follow the stream's last valid window",
            )
        if claim.verdict is Verdict.VALID:
            if claim.number != stream.windows:
                message = f"the stream's next window is {stream.windows}, not {claim.number}"
                raise _not_next(claim, stream, message)
        elif len(stream.refuted) >= MAX_REFUTED:
            message = (
                f"the log already has {MAX_REFUTED} invalid proofs of this window, the maximum"
            )
            raise errors.EnoughRefuted(message, number=claim.number)

    def advance(self, claim: WindowClaim, state: State) -> State:
        stream = state.stream(claim.stream)
        if claim.verdict is Verdict.VALID:
            stream = replace(stream, last=claim, position=state.size, refuted=frozenset())
        else:
            stream = replace(stream, refuted=stream.refuted | {(claim.number, claim.proof)})
        return replace(state, streams={**state.streams, claim.stream: stream})

    def superseded(self, claim: WindowClaim, state: State) -> errors.NotApplicable | None:
        """The log accepts one valid window per number, and each invalid proof once."""
        stream = state.stream(claim.stream)
        if claim.verdict is Verdict.VALID:
            if claim == stream.last:
                return errors.AppliedAlready(f"window {claim.number} is in the log already")
        elif (claim.number, claim.proof) in stream.refuted:
            message = f"the log already says that this proof of window {claim.number} is invalid"
            return errors.AppliedAlready(message)
        follows = claim.previous == (stream.last.header if stream.last else claim.stream)
        if claim.number < stream.windows and (claim.verdict is Verdict.VALID or not follows):
            message = f"the stream's next window is {stream.windows}, not {claim.number}"
            return _not_next(claim, stream, message)
        return None

    def ordering_key(self, claim: WindowClaim) -> str:
        return f"@{to_hex(claim.stream)}"

    def rows(self, claim: WindowClaim, position: int, signature: bytes) -> Iterable[Row]:
        yield Row(WINDOWS, {"position": position, "statement": None, **claim.members()})
        if claim.verdict is Verdict.VALID:
            head: dict[str, Json] = {
                "stream": to_hex(claim.stream),
                "windows": claim.number + 1,
                "header": to_hex(claim.header),
                "timestamp": claim.timestamp,
                "position": position,
            }
            yield Row(STREAMS, head)

    def sentence(self, claim: WindowClaim) -> str:
        reason = "" if claim.verdict is Verdict.VALID else f" ({claim.reason})"
        window = f"window {claim.number} of stream {to_hex(claim.stream)}"
        proven = _PROVEN[claim.statement] if claim.verdict is Verdict.VALID else ""
        return (
            f"{window} was {claim.verdict}{reason}{proven} in the round from {utc(claim.timestamp)}"
        )


def _not_next(claim: WindowClaim, stream: StreamState, message: str) -> errors.NotNext:
    return errors.NotNext(message, number=claim.number, next=stream.windows)


register(WindowKind())
