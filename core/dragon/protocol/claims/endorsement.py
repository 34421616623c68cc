"""Endorsement claims: an expert's verdict on windows, signed with the expert's key alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from dragon import errors
from dragon.encoding import to_hex
from dragon.protocol.claims.base import EventClaim, Kind, Row, Table, register, utc
from dragon.protocol.claims.verdict import Verdict
from dragon.protocol.shape import HASH, Id, Integer

if TYPE_CHECKING:
    from dragon.protocol.state import State

MAX_RANGES_PER_EXPERT: Final = 64  # endorsements kept per expert and stream


@dataclass(frozen=True, slots=True)
class EndorsementClaim(EventClaim):
    """An expert of the committee examined windows and found them valid or invalid."""

    KIND: ClassVar[str] = "endorsement"

    stream: Annotated[bytes, HASH]
    first: Annotated[int, Integer()]  # number of the first window
    last: Annotated[
        int, Integer(least=lambda claim: int(claim["first"]))
    ]  # number of the last window, inclusive
    verdict: Verdict
    note: Annotated[bytes, HASH]  # SHA-256 of a text that the expert stores, or of the empty string
    expert: Annotated[str, Id()]
    timestamp: Annotated[
        int, Integer()
    ]  # Unix seconds by the expert's clock; need not be the start of a round


@dataclass(frozen=True, slots=True)
class ExpertRecord:
    """One expert's endorsements of one stream, oldest first; newer ones replace covered ones."""

    claims: tuple[EndorsementClaim, ...] = ()
    floor: int = -1  # the newest timestamp of claims dropped because of MAX_RANGES_PER_EXPERT

    def latest_overlapping(self, claim: EndorsementClaim) -> int:
        """Return the newest timestamp of claims that may concern the same windows; -1 if none."""
        known = (each.timestamp for each in self.claims if overlap(each, claim))
        return max([self.floor, *known])

    def appended(self, claim: EndorsementClaim) -> ExpertRecord:
        """Return the record with `claim` added."""
        kept = [each for each in self.claims if not covers(claim, each)]
        claims = sorted([*kept, claim], key=lambda each: each.timestamp)
        dropped = claims[: max(0, len(claims) - MAX_RANGES_PER_EXPERT)]
        floor = max([self.floor, *(each.timestamp for each in dropped)])
        return ExpertRecord(tuple(claims[len(dropped) :]), floor)


def overlap(one: EndorsementClaim, other: EndorsementClaim) -> bool:
    """Return whether two claims concern at least one window in common."""
    return one.first <= other.last and other.first <= one.last


def covers(whole: EndorsementClaim, part: EndorsementClaim) -> bool:
    """Return whether `whole` concerns all windows of `part`."""
    return whole.first <= part.first and part.last <= whole.last


ENDORSEMENTS: Final = Table(
    "endorsements",
    ("position", "stream", "first", "last", "verdict", "note", "expert", "timestamp"),
    "position",
)


class EndorsementKind(Kind[EndorsementClaim]):
    claim = EndorsementClaim
    default_quorum = None
    tables = (ENDORSEMENTS,)

    def check_applicable(self, claim: EndorsementClaim, state: State) -> None:
        _check_not_early(claim, state)
        windows = state.stream(claim.stream).windows
        if claim.last >= windows:
            message = (
                f"window {claim.last} is not in the log, which has {windows} windows of this stream"
            )
            raise errors.NoSuchWindow(message, windows=windows)

    def advance(self, claim: EndorsementClaim, state: State) -> State:
        stream = state.stream(claim.stream)
        record = stream.by(claim.expert).appended(claim)
        stream = replace(stream, endorsed={**stream.endorsed, claim.expert: record})
        return replace(state, streams={**state.streams, claim.stream: stream})

    def superseded(self, claim: EndorsementClaim, state: State) -> errors.NotApplicable | None:
        """A later endorsement by the same expert supersedes earlier ones of the same windows."""
        record = state.stream(claim.stream).by(claim.expert)
        if claim in record.claims:
            return errors.AppliedAlready("the endorsement is in the log already")
        if claim.timestamp <= (last := record.latest_overlapping(claim)):
            message = f"{claim.expert} has endorsed some of these windows at the same time or later"
            return errors.NotLater(message, last=last)
        return None

    def ordering_key(self, claim: EndorsementClaim) -> str:
        return f"@expert:{claim.expert}"

    def rows(self, claim: EndorsementClaim, position: int, signature: bytes) -> Iterable[Row]:
        yield Row(ENDORSEMENTS, {"position": position, **claim.members()})

    def sentence(self, claim: EndorsementClaim) -> str:
        windows = f"windows {claim.first} to {claim.last} of stream {to_hex(claim.stream)}"
        return (
            f"the expert {claim.expert} called {windows} {claim.verdict} at {utc(claim.timestamp)}"
        )


def _check_not_early(claim: EndorsementClaim, state: State) -> None:
    """Refuse a timestamp far ahead of log time.

    One key signs an endorsement, at a time of its choice. A timestamp of the far future would
    supersede all later endorsements of these windows.
    """
    rounds = state.committee.rounds
    most = rounds.unknown_after + rounds.max_age
    if (early := claim.timestamp - state.log_time) > most:
        message = (
            f"the endorsement's timestamp is {early} s later than the log's last mark; "
            f"at most {most} s are allowed"
        )
        raise errors.Early(message, early=early, most=most)


register(EndorsementKind())
