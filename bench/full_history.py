"""A history file that is full: every series has all minutes, hours and days that are kept."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TypeAlias

from dragon.protocol.committee import Committee
from dragon_explorer.history.recorder import observers
from dragon_explorer.history.spans import SPANS, Block, Span, Sums
from dragon_explorer.history.store import ANSWER, MAX_SERIES, RESPONSE

OUTCOMES = ("signed", "busy", "timeout", "no_change")
KINDS = (RESPONSE, ANSWER)
ROW_BYTES = 250  # of a row besides its sums: its key, twice, and the space that pages leave free
Series: TypeAlias = tuple[str, str, str]


def series(committee: Committee) -> Iterator[Series]:
    """Yield the kind, subject and source of each series that such a committee has."""
    kept = observers(committee)
    yield from ((RESPONSE, node, name) for node in committee.urls for name in kept)
    yield from ((ANSWER, each.id, word) for each in committee.operators for word in OUTCOMES)


def fill(path: Path, committee: Committee, now: int) -> int:
    """Fill the history at `path`, whose tables exist. Return its size in bytes."""
    with closing(sqlite3.connect(path)) as file, file:
        for span in SPANS:
            blocks = list(packed_blocks(span, now))  # the same for all series
            for each in series(committee):
                rows = [(*each, span.seconds, begin, packed) for begin, packed in blocks]
                file.executemany("INSERT INTO blocks VALUES (?, ?, ?, ?, ?, ?)", rows)
    return path.stat().st_size


def packed_blocks(span: Span, now: int) -> Iterator[tuple[int, bytes]]:
    """Yield begin and sums of each block that is kept."""
    sums = Sums(span.seconds // 5, 1, span.seconds * 12, 90)
    first = span.block_of(now - span.kept_seconds)
    for begin in range(first, span.block_of(now) + 1, span.block_seconds):
        block = Block(span, begin)
        for time in range(begin, min(begin + span.block_seconds, now + 1), span.seconds):
            block.add(time, sums)
        yield begin, block.packed()


def largest_bytes() -> int:
    """Return the bound of the file: the most series of each kind, with all their rows."""
    row_bytes = [each.max_blocks * (16 * each.per_block + ROW_BYTES) for each in SPANS]
    return len(KINDS) * MAX_SERIES * sum(row_bytes)
