"""Maintenance claims: the speaker of a node announces when the node may be down.

Announced maintenance never changes what is observed. Operators probe and certify the node as
before. Totals of downtime state how much of it lies in announced time.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from dragon import errors
from dragon.protocol.claims.base import EventClaim, Kind, Row, Table, register, utc
from dragon.protocol.history import History
from dragon.protocol.shape import Id, Integer

if TYPE_CHECKING:
    from dragon.protocol.state import State

MAX_AHEAD_SECONDS: Final = 90 * 86_400  # from log time to the start of a window
MAX_WINDOW_SECONDS: Final = 7 * 86_400  # from the start of a window to its end
MAX_ANNOUNCED: Final = 16  # windows of one node that have not ended by log time


@dataclass(frozen=True, slots=True)
class MaintenanceClaim(EventClaim):
    """A node may be down in [begin, end), as announced at `timestamp`. All are Unix seconds."""

    KIND: ClassVar[str] = "maintenance"

    node_id: Annotated[str, Id()]
    begin: Annotated[int, Integer(name="from")]
    end: Annotated[int, Integer(name="to")]  # exclusive
    timestamp: Annotated[int, Integer()]  # by the signer's clock; need not be a round's start


@dataclass(frozen=True, slots=True, order=True)
class MaintenanceWindow:
    """An announced window in the log. Windows are ordered by their ends."""

    end: int  # Unix seconds, exclusive
    begin: int  # Unix seconds
    timestamp: int = field(compare=False)  # Unix seconds by the signer's clock
    position: int = field(compare=False)  # of its event in the log


@dataclass(frozen=True, slots=True)
class Announced:
    """All announced windows of one node. They may overlap.

    Every window begins after the log time at which it is applied, so it ends after all those that
    have ended by then. Hence `ended` is sorted, and a window is found in it by binary search.
    """

    ended: History[MaintenanceWindow] = field(default_factory=History)  # in order
    # Those that had not ended when the newest one was applied, in order; `MAX_ANNOUNCED` at most.
    latest: tuple[MaintenanceWindow, ...] = ()

    def has(self, begin: int, end: int) -> bool:
        """Return whether the window [begin, end) is announced."""
        wanted = MaintenanceWindow(end, begin, 0, 0)
        at = bisect_left(self.ended, wanted)
        return wanted in self.latest or (at < len(self.ended) and self.ended[at] == wanted)

    def after(self, time: int) -> tuple[MaintenanceWindow, ...]:
        """Return the windows that end after a log time (Unix seconds), the first end first.

        The log time is at least that of the newest window.
        """
        return tuple(window for window in self.latest if window.end > time)

    def appended(self, window: MaintenanceWindow, time: int) -> Announced:
        """Return these with a new window, which was applied at a log time (Unix seconds)."""
        ended = self.ended
        for each in self.latest:
            if each.end <= time:
                ended = ended.appended(each)
        return Announced(ended, tuple(sorted((*self.after(time), window))))


NOTHING_ANNOUNCED: Final = Announced()
MAINTENANCE: Final = Table(
    "maintenance", ("position", "node_id", "begin", "end", "timestamp"), "position"
)


class MaintenanceKind(Kind[MaintenanceClaim]):
    claim = MaintenanceClaim
    default_quorum = None
    tables = (MAINTENANCE,)

    def check_applicable(self, claim: MaintenanceClaim, state: State) -> None:
        """Check who speaks for the node, the times, and the number of windows, in this order."""
        state.committee.speaker(claim.node_id)
        _check_not_late(claim, state)
        _check_not_far(claim, state)
        if len(state.announced(claim.node_id).after(state.log_time)) >= MAX_ANNOUNCED:
            message = (
                f"{MAX_ANNOUNCED} windows of {claim.node_id} are announced and have not ended, the "
                "maximum"
            )
            raise errors.EnoughAnnounced(message, most=MAX_ANNOUNCED)

    def advance(self, claim: MaintenanceClaim, state: State) -> State:
        window = MaintenanceWindow(claim.end, claim.begin, claim.timestamp, state.size)
        announced = state.announced(claim.node_id).appended(window, state.log_time)
        return replace(state, maintenance={**state.maintenance, claim.node_id: announced})

    def superseded(self, claim: MaintenanceClaim, state: State) -> errors.NotApplicable | None:
        """A window is announced once. Nothing changes or cancels it."""
        if state.announced(claim.node_id).has(claim.begin, claim.end):
            return errors.AppliedAlready("this window of maintenance is in the log already")
        return None

    def ordering_key(self, claim: MaintenanceClaim) -> str:
        return f"@maintenance:{claim.node_id}"

    def rows(self, claim: MaintenanceClaim, position: int, signature: bytes) -> Iterable[Row]:
        columns = (position, claim.node_id, claim.begin, claim.end, claim.timestamp)
        yield Row(MAINTENANCE, dict(zip(MAINTENANCE.columns, columns, strict=True)))

    def sentence(self, claim: MaintenanceClaim) -> str:
        window = f"from {utc(claim.begin)} to {utc(claim.end)}"
        return f"maintenance of {claim.node_id} {window} was announced at {utc(claim.timestamp)}"


def _check_not_late(claim: MaintenanceClaim, state: State) -> None:
    """Refuse a window that begins less than the committee's notice after log time.

    Log time decides, not the timestamp: the signer could state any time.
    """
    notice = state.committee.maintenance_notice
    if claim.begin < (first := state.log_time + notice):
        message = (
            f"maintenance has to be announced {notice} s ahead by log time: the window may begin "
            f"at {utc(first)}, not at {utc(claim.begin)}"
        )
        raise errors.TooLate(message, first=first, notice=notice)


def _check_not_far(claim: MaintenanceClaim, state: State) -> None:
    if claim.begin > (last := state.log_time + MAX_AHEAD_SECONDS):
        message = (
            f"the window begins at {utc(claim.begin)}; maintenance may be announced at most "
            f"{MAX_AHEAD_SECONDS // 86_400} days ahead, now until {utc(last)}"
        )
        raise errors.TooFar(message, last=last)
    if not 1 <= (seconds := claim.end - claim.begin) <= MAX_WINDOW_SECONDS:
        message = f"the window has {seconds} s; it must have 1 to {MAX_WINDOW_SECONDS} s"
        raise errors.TooFar(message, seconds=seconds, most=MAX_WINDOW_SECONDS)


register(MaintenanceKind())
