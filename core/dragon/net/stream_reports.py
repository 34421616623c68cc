"""Put together a stream report, from a stream's service and the logs of operators.

Nothing that they answer is verified here: verify the report when it is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dragon import errors
from dragon.net.log_client import LogClient
from dragon.net.stream_windows import ServedWindow, StreamWindows
from dragon.protocol.handover import SignedMark
from dragon.protocol.streams.certified_window import CertifiedWindow
from dragon.protocol.streams.descriptor import Descriptor
from dragon.protocol.streams.stream_report import (
    ReportedWindow,
    ReportHead,
    Shortener,
    StreamReport,
)
from dragon.protocol.trust import certified_log


@dataclass(frozen=True, slots=True)
class WindowRange:
    """The windows of a period that a certified mark covers."""

    descriptor: Descriptor
    first: int
    last: int  # included
    following: int | None  # the next window, if the mark covers it, too
    uncovered: int  # further closed windows of the period that no mark covers yet
    mark: SignedMark

    @property
    def lines(self) -> range:
        """Numbers of all windows of the report."""
        return range(self.first, (self.last if self.following is None else self.following) + 1)


def find_windows(windows: StreamWindows, log: LogClient, begin: int, end: int) -> WindowRange:
    """Return the windows with a chunk that arrived in [begin, end), Unix seconds.

    Raises:
        NotFound: the period has no window, or none that a certified mark covers yet.
        PeerError: no usable answer.
    """
    descriptor, closed = windows.descriptor()
    size = head.size if (head := log.certified()) else 0
    first = windows.first_where(lambda each: each.header.last_received_ms >= 1000 * begin, closed)
    behind = windows.first_where(lambda each: each.header.first_received_ms >= 1000 * end, closed)
    if first >= behind:
        raise errors.NotFound("No closed window of the stream has a chunk of this period.")
    covered = windows.first_where(lambda each: not _is_covered(each, size), closed)
    if first >= covered:
        message = f"No certified checkpoint covers window {first}, the first of the period, yet."
        raise errors.NotFound(message, window=first)
    last = min(behind, covered) - 1
    following = behind if behind < covered else None
    mark = _mark(windows, log, last if following is None else following)
    return WindowRange(descriptor, first, last, following, behind - 1 - last, mark)


def assemble(
    windows: StreamWindows,
    log: LogClient,
    found: WindowRange,
    period: tuple[int, int],
    *,
    with_proofs: bool,
) -> StreamReport:
    """Return a report whose windows are fetched while they are iterated, which is possible once.

    Args:
        found: as `find_windows` returns it for the same period.
        period: begin and end, Unix seconds.
        with_proofs: add chunk headers and proof of every window of the period.

    Iterating raises PeerError; NotFound: the service has deleted a proof.
    """
    previous = windows.window(found.first - 1).header if found.first else None
    count = len(found.lines)
    head = ReportHead(found.descriptor, *period, count, with_proofs, previous, found.mark)
    return StreamReport(head, _lines(windows, log, found, with_proofs=with_proofs))


def _lines(
    windows: StreamWindows, log: LogClient, found: WindowRange, *, with_proofs: bool
) -> Iterator[ReportedWindow]:
    size, _ = certified_log(found.mark)
    shortener = Shortener()
    for number in found.lines:
        window = certified_window(windows.window(number), log, size)
        proven = None
        if with_proofs and number <= found.last:
            proven = windows.proven(window.header)
        yield ReportedWindow(shortener.shortened(window), proven)


def certified_window(served: ServedWindow, log: LogClient, size: int) -> CertifiedWindow:
    """Return a window with its place in the log of `size` entries.

    Raises PeerError; NotFound: the window is not certified yet.
    """
    if served.position is None:
        number = served.header.number
        raise errors.NotFound(f"Window {number} is not certified yet.", number=number)
    proven = log.entry(served.position, size=size)
    event = proven.entry.event
    if served.event is None or event != served.event:
        message = f"entry {served.position} of the log is not the event of the window"
        raise errors.BadAnswer(message, number=served.header.number)
    return CertifiedWindow(
        served.header,
        served.signature,
        served.event,
        served.position,
        proven.entry.ledger_index,
        proven.inclusion,
    )


def _is_covered(window: ServedWindow, size: int) -> bool:
    return window.position is not None and window.position < size


def _mark(windows: StreamWindows, log: LogClient, number: int) -> SignedMark:
    """Return the mark that vouches for a window for longest. Raises NotFound."""
    position = windows.window(number).position
    proven = None if position is None else log.anchored(position)
    if proven is None or proven.anchor is None:
        raise errors.NotFound(f"No certified checkpoint covers window {number} yet.", window=number)
    return proven.anchor
