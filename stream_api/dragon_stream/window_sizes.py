"""How many chunks a window gets: always the same number, or more of them at a higher rate.

A window costs a committee c0 + c1·chunks, where c0 is as much as some hundred chunks: one vote of
each operator, one event on the ledger. So a stream without a named size closes larger windows
when chunks arrive faster, and when services have more to do than they can: a window that would only
wait behind others can meanwhile become larger.

* A window that is not of the largest size is closed as full only some time after the one before it,
  and only while no other window of the stream, and few of the service, wait for proofs or votes.
* A window that is older than `window_ms` waits, too, while several windows of the stream wait, or
  one does and the service has many.

So the queue stays short: each stream has one or a few windows in it, which grow until the services
keep up. No rate is estimated. So nothing has to be remembered over a restart, and the first window
after a pause is small and quick again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from dragon.protocol.streams.readings import Readings

# Blocks of a window's proof: its chunks, the identity, and with readings the carried chunk. Powers
# of two, because every other number is filled up to the next one.
ADAPTIVE_BLOCKS: Final = (64, 128, 256, 512, 1024)
PACE_MS: Final = 500  # between two windows that are not of the largest size: two in a second
MAX_QUEUED_WINDOWS: Final = 3  # of a stream, that wait for proofs or votes


@dataclass(frozen=True, slots=True)
class Backlog:
    """Closed windows that wait for their proof or for votes."""

    stream: int = 0  # of the stream
    is_long: bool = False  # whether those of all streams fill the places at the provers


NO_BACKLOG: Final = Backlog()


@dataclass(frozen=True, slots=True)
class WindowSizes:
    """The sizes at which a window is full, in ascending order; only one if the size is fixed."""

    sizes: tuple[int, ...]
    pace_ms: int = 0  # shortest time between two windows, except those of the largest size

    @classmethod
    def fixed(cls, chunks: int) -> Self:
        """Windows of always that many chunks."""
        return cls((chunks,))

    @classmethod
    def adaptive(cls, readings: Readings | None, window_ms: int) -> Self:
        """Windows that grow with the rate of chunks.

        Args:
            readings: what the stream's descriptor says about readings; it bounds the sizes.
            window_ms: milliseconds after which a window is closed with any number of chunks.
        """
        carried = readings is not None and readings.carry
        sizes = tuple(blocks - 1 - carried for blocks in ADAPTIVE_BLOCKS)
        if readings is not None:
            most = readings.most_chunks(readings.carry)
            sizes = tuple(size for size in sizes if size <= most) or (most,)
        return cls(sizes, min(PACE_MS, window_ms))

    @property
    def largest(self) -> int:
        return self.sizes[-1]

    @property
    def smallest(self) -> int:
        return self.sizes[0]

    def full(self, chunks: int, elapsed_ms: int | None, backlog: Backlog = NO_BACKLOG) -> int:
        """Return the number of chunks of the window to close, or 0 if none is full.

        Args:
            chunks: those that are in no closed window.
            elapsed_ms: since the last window was closed; None if none was since the start. It is
                negative if the clock was set back, and then counts as long enough.
            backlog: windows that wait.
        """
        if chunks >= self.largest:
            return self.largest
        if backlog.stream or backlog.is_long:
            return 0
        if elapsed_ms is not None and 0 <= elapsed_ms < self.pace_ms:
            return 0
        return chunks if chunks >= self.smallest else 0

    def may_expire(self, backlog: Backlog) -> bool:
        """Return whether a window older than `window_ms` may be closed. Args: as for `full`."""
        most = 1 if backlog.is_long else MAX_QUEUED_WINDOWS
        return not self.pace_ms or backlog.stream < most

    def is_reached(self, before: int, after: int) -> bool:
        """Return whether the number of waiting chunks has reached one of the sizes."""
        return any(before < size <= after for size in self.sizes)


def may_adapt(readings: Readings | None) -> bool:
    """Return whether windows of a stream may grow with the rate.

    Not if the descriptor bounds the total of a window: how many readings a window has decides
    whether it keeps that bound.
    """
    return readings is None or not readings.bounds_total
