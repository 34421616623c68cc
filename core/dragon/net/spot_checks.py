"""Answer a spot check, from the stream's service and the logs of operators."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from dragon import errors
from dragon.encoding import to_hex
from dragon.net.log_client import LogClient
from dragon.net.stream_reports import certified_window
from dragon.net.stream_windows import StreamWindows
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.log_entry import ProvenEntry
from dragon.protocol.streams.spot_check import (
    DisclosedChunk,
    SpotCheckAnswer,
    SpotCheckRequest,
    draw,
)


def answer_spot_check(
    request: SpotCheckRequest, windows: StreamWindows, log: LogClient
) -> SpotCheckAnswer:
    """Return the answer to a request. It discloses the drawn chunks, and no other.

    A chunk whose data the service does not have any more is in the answer without its data.

    Args: `windows`, with a client that has the token of the stream.

    Raises:
        NotFound: the log has no checkpoint yet that draws the chunks, or the checkpoint does not
            cover the windows.
        PeerError, Unauthorized.
    """
    descriptor, _ = windows.descriptor()
    if descriptor.id != request.stream:
        raise errors.BadAnswer(f"the service describes stream {to_hex(descriptor.id)}")
    checkpoint = log.first_checkpoint(request.timestamp)
    claim = _claim(checkpoint)
    for number in (request.first, request.last):
        _check_covered(windows, number, claim.size)
    first = windows.window(request.first).header.first
    total = windows.window(request.last).header.next_first - first
    drawn = [first + each for each in draw(request, claim.log_root, total)]
    homes = {each: _window_of(windows, request, each) for each in drawn}
    shown = sorted({request.first, request.last, *homes.values()})
    return SpotCheckAnswer(
        request,
        descriptor,
        checkpoint,
        tuple(certified_window(windows.window(each), log, claim.size) for each in shown),
        tuple(_disclosed(windows, each) for each in drawn),
    )


def numbers_of(answer: SpotCheckAnswer) -> Sequence[int]:
    """Return the numbers of the chunks that an answer discloses."""
    return [each.header.sequence for each in answer.chunks if each.data is not None]


def _claim(checkpoint: ProvenEntry) -> CheckpointClaim:
    claim = checkpoint.entry.event.claim
    if not isinstance(claim, CheckpointClaim):
        raise errors.BadAnswer(f"an operator answered with a {claim.KIND}, not with a checkpoint")
    return claim


def _check_covered(windows: StreamWindows, number: int, size: int) -> None:
    """Raises NotFound: the checkpoint is older than the window's event."""
    position = windows.window(number).position
    if position is None or position >= size:
        message = f"Window {number} was certified after the checkpoint that draws the chunks."
        raise errors.NotFound(message, window=number)


def _window_of(windows: StreamWindows, request: SpotCheckRequest, sequence: int) -> int:
    """Return the number of the window that holds a chunk."""
    numbers = range(request.first, request.last + 1)
    found = bisect_right(numbers, sequence, key=lambda each: windows.window(each).header.next_first)
    return request.first + found


def _disclosed(windows: StreamWindows, sequence: int) -> DisclosedChunk:
    receipt = windows.disclosed(sequence)
    data = windows.client.data(windows.stream, sequence)
    opening = None if data is None else receipt.opening
    return DisclosedChunk(receipt.chunk, receipt.path, opening, data)
