"""The rules of application for streams: windows in a chain, and what experts say of them.

What is kept of a stream is bounded, however long it runs: its last valid window, the proofs that
were found invalid for what follows that, and each expert's newest endorsements.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from dragon import errors
from dragon.protocol.claims.endorsement import EndorsementClaim
from dragon.protocol.claims.window import Verdict, WindowClaim

MOST_REFUTED: Final = 16  # proofs found invalid that are kept between two valid windows
MOST_ENDORSED: Final = 64  # ranges that are kept of one expert and stream


@dataclass(frozen=True, slots=True)
class Endorsed:
    """What one expert has said of one stream, oldest first; what newer ones cover is dropped."""

    claims: tuple[EndorsementClaim, ...] = ()
    floor: int = -1  # the newest timestamp among those that were forgotten

    def check_new(self, claim: EndorsementClaim) -> None:
        """Raises AppliedAlready: exactly this claim."""
        if claim in self.claims:
            raise errors.AppliedAlready("that endorsement is in the log already")

    def check_later(self, claim: EndorsementClaim) -> None:
        """Raises NotLater: the expert has spoken later, or then, of some of these windows."""
        last = max((each.timestamp for each in self.claims if overlap(each, claim)), default=-1)
        if claim.timestamp <= max(last, self.floor):
            message = f"the last endorsement of that range by {claim.expert} is as late or later"
            raise errors.NotLater(message, last=max(last, self.floor))

    def appended(self, claim: EndorsementClaim) -> Endorsed:
        kept = [each for each in self.claims if not covers(claim, each)]
        claims = sorted([*kept, claim], key=lambda each: each.timestamp)
        forgotten = claims[: max(0, len(claims) - MOST_ENDORSED)]
        floor = max([self.floor, *(each.timestamp for each in forgotten)])
        return Endorsed(tuple(claims[len(forgotten) :]), floor)


def overlap(one: EndorsementClaim, other: EndorsementClaim) -> bool:
    return one.first <= other.last and other.first <= one.last


def covers(whole: EndorsementClaim, part: EndorsementClaim) -> bool:
    return whole.first <= part.first and part.last <= whole.last


@dataclass(frozen=True, slots=True)
class Stream:
    """What the applied events say of one stream."""

    last: WindowClaim | None = None  # the last valid one
    position: int = -1  # of its event in the log
    refuted: frozenset[tuple[int, bytes]] = frozenset()  # numbers and proofs found invalid since
    endorsed: Mapping[str, Endorsed] = field(default_factory=dict)  # by expert

    @property
    def windows(self) -> int:
        """How many valid windows there are: the number of the next one."""
        return self.last.number + 1 if self.last else 0

    def by(self, expert: str) -> Endorsed:
        return self.endorsed.get(expert, Endorsed())


def check_new(stream: Stream, claim: WindowClaim) -> None:
    """Raises AppliedAlready: exactly this window is the last, or this proof was refuted."""
    if claim.verdict is Verdict.VALID and claim == stream.last:
        raise errors.AppliedAlready(f"window {claim.number} is in the log already")
    if claim.verdict is Verdict.INVALID and (claim.number, claim.proof) in stream.refuted:
        message = f"that proof for window {claim.number} has been found invalid already"
        raise errors.AppliedAlready(message)


def check_link(stream: Stream, claim: WindowClaim) -> None:
    """Whether a window follows the stream's last valid one.

    One that was found invalid may bear a wrong number: that may be what is wrong with it.

    Raises NotNext, EnoughRefuted.
    """
    expected = stream.last.header if stream.last else claim.stream
    if claim.previous != expected:
        message = f"window {claim.number} does not follow the stream's last valid window"
        raise errors.NotNext(message, number=claim.number, next=stream.windows)
    if claim.verdict is Verdict.VALID:
        if claim.number != stream.windows:
            message = f"the stream's next window is {stream.windows}, not {claim.number}"
            raise errors.NotNext(message, number=claim.number, next=stream.windows)
    elif len(stream.refuted) >= MOST_REFUTED:
        message = f"{MOST_REFUTED} proofs are known to be invalid here already"
        raise errors.EnoughRefuted(message, number=claim.number)


def check_endorsable(stream: Stream, claim: EndorsementClaim) -> None:
    """Raises NoSuchWindow, NotLater."""
    if claim.last >= stream.windows:
        message = f"the log has {stream.windows} windows of that stream, not window {claim.last}"
        raise errors.NoSuchWindow(message, windows=stream.windows)
    stream.by(claim.expert).check_later(claim)


def with_window(stream: Stream, claim: WindowClaim, position: int) -> Stream:
    if claim.verdict is Verdict.VALID:
        return Stream(claim, position, frozenset(), stream.endorsed)
    return replace(stream, refuted=stream.refuted | {(claim.number, claim.proof)})


def with_endorsement(stream: Stream, claim: EndorsementClaim) -> Stream:
    said = stream.by(claim.expert).appended(claim)
    return replace(stream, endorsed={**stream.endorsed, claim.expert: said})
