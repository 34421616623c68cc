"""What a stream's readings require of window headers and chunk headers (section 19.16).

The descriptor fixes which members a header has, how many chunks a window may have, and the length
that every chunk header states. The public headers say nothing else about readings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dragon.protocol.streams.chunks import ChunkHeader
from dragon.protocol.streams.closing import HeaderClaim
from dragon.protocol.streams.reading_sums import StatedSum
from dragon.protocol.streams.readings import Readings

if TYPE_CHECKING:
    from dragon.protocol.streams.window import WindowHeader


def readings_header_fault(
    readings: Readings | None, header: WindowHeader, previous: WindowHeader | None
) -> str:
    """Return what in a header contradicts the descriptor's readings; "" if nothing does.

    Args:
        readings: of the stream's descriptor; None: the stream has no readings.
        previous: the header of the previous window; None: there is none, or it is unknown.
    """
    if readings is None:
        present = header.claim, header.last, header.stated
        unexpected = any(each is not None for each in present)
        return "it has a member of streams with readings" if unexpected else ""
    return _presence_fault(readings, header) or _order_fault(readings, header, previous)


def _presence_fault(readings: Readings, header: WindowHeader) -> str:
    if header.claim is None:
        return "it lacks the member claim, which every window of a stream with readings has"
    if (header.last is not None) is not readings.carry:
        why = "requires" if readings.carry else "does not allow"
        return f"its stream {why} the member last"
    has_sum = header.claim is HeaderClaim.READINGS and isinstance(readings.sum, StatedSum)
    if (header.stated is not None) is not has_sum:
        why = "must" if has_sum else "must not"
        return f"with the claim {header.claim}, it {why} state a sum in its stream"
    return ""


def _order_fault(readings: Readings, header: WindowHeader, previous: WindowHeader | None) -> str:
    carried = readings.is_carried(header.number)
    if carried and previous and previous.last is None:
        return "the previous header lacks the member last"
    if header.count > (most := readings.most_chunks(carried)):
        return f"it states {header.count} chunks; in its stream, a window has at most {most}"
    return ""


def readings_chunks_fault(
    readings: Readings | None, header: WindowHeader, chunks: Sequence[ChunkHeader]
) -> str:
    """Return what in chunk headers contradicts the descriptor's readings; "" if nothing does.

    The chunk headers must have the header's root.
    """
    if readings is None:
        return ""
    for chunk in chunks:
        if chunk.length != readings.length:
            return (
                f"chunk {chunk.sequence} states a length of {chunk.length} bytes; in its stream, "
                f"every chunk states {readings.length}"
            )
    if readings.carry and header.last != chunks[-1].commitment:
        return "the header's member last is not the commitment of the last chunk"
    return ""
