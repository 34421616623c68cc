"""What the log certifies about the readings of a stream, for the page of the stream."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final

from dragon.encoding import canonical, to_hex
from dragon.errors import DragonError
from dragon.log.index_tables import Applied
from dragon.protocol.claims.window import Statement, WindowClaim
from dragon.protocol.streams.readings import Readings
from dragon.protocol.streams.stream_summary import bounds_of
from dragon_explorer.sources import Sources

MAX_UNCLAIMED: Final = 50


@dataclass(frozen=True, slots=True)
class UnclaimedRow:
    """A certified window that claims nothing about its readings."""

    number: int
    timestamp: int  # Unix seconds, of its event
    position: int  # of its event in the log


@dataclass(frozen=True, slots=True)
class StreamReadings:
    """The windows of a stream with readings, by what their proofs show."""

    with_claim: int  # windows of which every committed reading is within the bounds
    without_claim: int  # windows
    unclaimed: tuple[UnclaimedRow, ...]  # the newest of them, newest first
    bounds: str | None  # in words; None if no watched service states the stream's descriptor
    report: str  # the command that writes a report


def stream_readings(sources: Sources, stream_id: bytes) -> StreamReadings | None:
    """Return what is certified about a stream's readings; None if it has none."""
    last = sources.log.state.stream(stream_id).last
    readings = stated_readings(sources, stream_id)
    if readings is None and (last is None or last.statement is None):
        return None
    counts = sources.records.statements(stream_id)
    return StreamReadings(
        counts.get(Statement.READINGS, 0),
        counts.get(Statement.BLOCKS, 0),
        tuple(_row(each) for each in sources.records.unclaimed(stream_id, MAX_UNCLAIMED)),
        bounds_of(readings) if readings else None,
        f"dragon stream report {to_hex(stream_id)} --output report.jsonl",
    )


def stated_readings(sources: Sources, stream_id: bytes) -> Readings | None:
    """Return the readings in a stream's descriptor, which a stream service states.

    The id of a stream is the hash of its descriptor, so a service cannot state another one.
    """
    stream = to_hex(stream_id)
    for report in sources.board.stream_services():
        said = (report.streams.value or {}).get(stream)
        if said is not None and said.descriptor is not None:
            return _readings(said.descriptor, stream_id)
    return None


def _readings(descriptor: dict[str, Any], stream_id: bytes) -> Readings | None:
    try:
        if hashlib.sha256(canonical(descriptor)).digest() != stream_id:
            return None
        return Readings.from_json(descriptor["readings"]) if "readings" in descriptor else None
    except (DragonError, ValueError):  # whatever a service states
        return None


def _row(each: Applied[WindowClaim]) -> UnclaimedRow:
    return UnclaimedRow(each.claim.number, each.claim.timestamp, each.position)
