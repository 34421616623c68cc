"""Streams whose windows are in a real log, and the reports on them, for tests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from committees import Members
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.window import InvalidReason
from dragon.protocol.handover import SignedMark
from dragon.protocol.log_entry import ProvenEntry
from dragon.protocol.streams.certified_window import CertifiedWindow
from dragon.protocol.streams.chunks import tree_of
from dragon.protocol.streams.finding import Finding
from dragon.protocol.streams.receipt import Proven
from dragon.protocol.streams.spot_check import (
    DisclosedChunk,
    SpotCheckAnswer,
    SpotCheckRequest,
    draw,
)
from dragon.protocol.streams.stream_report import (
    ReportedWindow,
    ReportHead,
    Shortener,
    StreamReport,
)
from dragon.protocol.streams.window import WindowHeader
from dragon.protocol.trust import certified_log
from epoch_log import EpochLog, opened
from streams import Owner, Window


@dataclass
class Ledger:
    """A log with the windows of one stream."""

    log: EpochLog
    owner: Owner
    windows: list[Window] = field(default_factory=list)
    events: list[Certificate] = field(default_factory=list)
    proofs: list[bytes] = field(default_factory=list)

    def claim(self, window: Window, round_: int, proof: bytes, **other: Any) -> Certificate:
        """The certificate that a window is valid."""
        found = Finding(InvalidReason.NONE)
        at = self.log.newest.committee.rounds.start(round_)
        digest = hashlib.sha256(proof).digest()
        made = found.claim(self.owner.descriptor, window.header, digest, at)
        return self.log.newest.certify(replace(made, **other), self.log.newest.secrets)

    def certify(self, window: Window, round_: int, proof: bytes = b"a proof") -> None:
        """Append a window to the log."""
        event = self.claim(window, round_, proof)
        self.log.take(event)
        self.windows.append(window)
        self.events.append(event)
        self.proofs.append(proof)

    def placed(self, number: int, mark: SignedMark) -> CertifiedWindow:
        """A window with its whole path in the log of a mark."""
        size, _ = certified_log(mark)
        event, window = self.events[number], self.windows[number]
        position = self.log.log.find(event)
        assert position is not None
        proven = self.log.log.proven(position, size)
        entry = proven.entry
        place = entry.position, entry.ledger_index, proven.inclusion
        return CertifiedWindow(window.header, window.signature, event, *place)

    def report(
        self,
        numbers: range,
        mark: SignedMark,
        period: tuple[int, int],
        *,
        with_proofs: bool = False,
        behind: int | None = None,
    ) -> StreamReport:
        """The report on windows. Args: `behind`, number of the window behind the period."""
        previous = self.header(numbers[0] - 1) if numbers[0] else None
        listed = [*numbers, *([] if behind is None else [behind])]
        head = ReportHead(self.owner.descriptor, *period, len(listed), with_proofs, previous, mark)
        shortener, lines = Shortener(), []
        for number in listed:
            placed = shortener.shortened(self.placed(number, mark))
            proven = None
            if with_proofs and number in numbers:
                proven = Proven(self.windows[number].chunks, self.proofs[number])
            lines.append(ReportedWindow(placed, proven))
        return StreamReport(head, tuple(lines))

    def header(self, number: int) -> WindowHeader:
        return self.windows[number].header

    def anchored(self, event: Certificate) -> ProvenEntry:
        """An event with the mark that vouches for it for longest."""
        position = self.log.log.find(event)
        assert position is not None
        found = self.log.log.anchored(position)
        assert found is not None
        return found

    def answer(self, request: SpotCheckRequest, checkpoint: Certificate) -> SpotCheckAnswer:
        """The honest answer to a request whose chunks this checkpoint draws."""
        first = self.header(request.first).first
        total = self.header(request.last).next_first - first
        _, root = certified_log(checkpoint)
        drawn = [first + each for each in draw(request, root, total)]
        homes = {request.first, request.last, *(self.home(each) for each in drawn)}
        return SpotCheckAnswer(
            request,
            self.owner.descriptor,
            self.anchored(checkpoint),
            tuple(self.placed(each, checkpoint) for each in sorted(homes)),
            tuple(self.disclosed(each) for each in drawn),
        )

    def home(self, sequence: int) -> int:
        """The number of the window that holds a chunk."""
        return next(
            number for number, each in enumerate(self.windows) if each.header.next_first > sequence
        )

    def disclosed(self, sequence: int) -> DisclosedChunk:
        """A chunk with its data and its opening."""
        window = self.windows[self.home(sequence)]
        index = sequence - window.header.first
        path = tuple(tree_of(window.chunks).inclusion(index))
        return DisclosedChunk(
            window.chunks[index], path, window.openings[index], window.data[index]
        )


@contextmanager
def ledger(folder: Path, members: Members, owner: Owner) -> Iterator[Ledger]:
    with opened(folder / "operator.db", members) as log:
        yield Ledger(log, owner)
