"""The page `/streams/<id>`: one stream with its windows."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, islice
from typing import Final

from dragon.log.index_tables import Applied
from dragon.protocol.claims.endorsement import EndorsementClaim
from dragon_explorer.sources import Sources
from dragon_explorer.views.stream_readings import StreamReadings, stream_readings
from dragon_explorer.views.streams import StreamRowView, find_stream
from dragon_explorer.views.window_rows import (
    PAGE_WINDOWS,
    WindowRow,
    window_numbers,
    window_rows,
)

MAX_ENDORSEMENTS: Final = 50


@dataclass(frozen=True, slots=True)
class EndorsementRow:
    """An expert's endorsement in the log."""

    position: int
    expert: str
    verdict: str
    first: int
    last: int
    timestamp: int


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream with its newest windows, newest first."""

    now: int
    stream: StreamRowView
    windows: tuple[WindowRow, ...]
    next: int | None  # `before` of the next page
    readings: StreamReadings | None  # None: a stream without readings
    endorsements: tuple[EndorsementRow, ...]


def stream(sources: Sources, now: int, stream_id: bytes, before: int | None = None) -> Stream:
    """Return one stream. Raises NotFound."""
    row = find_stream(sources, stream_id)
    certified, others = window_numbers(sources, stream_id)
    if before is not None:
        certified, others = min(certified, before), [each for each in others if each < before]
    newest_first = chain(others, range(certified - 1, -1, -1))
    numbers = list(islice(newest_first, PAGE_WINDOWS + 1))
    listed = numbers[:PAGE_WINDOWS]
    return Stream(
        now,
        row,
        tuple(window_rows(sources, stream_id, listed)),
        listed[-1] if len(numbers) > len(listed) else None,
        stream_readings(sources, stream_id),
        endorsement_rows(sources, stream_id),
    )


def endorsement_rows(
    sources: Sources, stream_id: bytes, number: int | None = None
) -> tuple[EndorsementRow, ...]:
    """Return the newest endorsements of a stream, or of one window."""
    found = sources.records.endorsements(stream_id, number, limit=MAX_ENDORSEMENTS)
    return tuple(_endorsement(each) for each in found)


def _endorsement(each: Applied[EndorsementClaim]) -> EndorsementRow:
    claim = each.claim
    return EndorsementRow(
        each.position, claim.expert, str(claim.verdict), claim.first, claim.last, claim.timestamp
    )
