"""Receipts and pages about chunks: from the own record and the own log, for anyone to check."""

from __future__ import annotations

from dataclasses import dataclass

from dragon.errors import NotFound
from dragon.log.index_tables import StreamRecords
from dragon.log.store import Log
from dragon.protocol.certificate import Certificate
from dragon.protocol.endorsement import Endorsement
from dragon.protocol.streams.chunks import ChunkHeader, decode_chunks, tree_of
from dragon.protocol.streams.receipt import MAX_ENDORSEMENTS, Place, Proven, Receipt
from dragon_stream.segments import Place as ChunkPlace
from dragon_stream.store import Store, WindowRow
from dragon_stream.streams import Stream
from dragon_stream.window_sealer import window_openings


@dataclass(frozen=True, slots=True)
class Receipts:
    store: Store
    log: Log
    records: StreamRecords

    def chunk(self, stream: Stream, sequence: int) -> tuple[WindowRow, ChunkHeader]:
        """A chunk in its closed window. Raises NotFound: there is none, or none yet."""
        row = self.store.window_of(stream.id, sequence)
        if row is None:
            there = sequence < stream.intake.sequence
            why = "is in no closed window yet" if there else "has not come yet"
            raise NotFound(f"chunk {sequence} {why}", sequence=sequence)
        return row, decode_chunks(row.chunks)[sequence - row.header.first]

    def data(self, stream: Stream, sequence: int) -> bytes:
        """Raises NotFound: it was never here, or is no longer kept."""
        row, _ = self.chunk(stream, sequence)
        chunks = decode_chunks(row.chunks)[: sequence - row.header.first + 1]
        places: list[ChunkPlace] = [(chunk.sequence, chunk.length) for chunk in chunks]
        found = stream.intake.segments.read(places, row.at)
        if found is None:
            raise NotFound(f"the data of chunk {sequence} is no longer kept", sequence=sequence)
        return found

    def receipt(
        self, stream: Stream, sequence: int, *, disclose: bool, with_proof: bool
    ) -> Receipt:
        """For one chunk of a certified window; with its opening, and no other's, if asked.

        Raises NotFound: the window is not certified yet, or its proof is no longer kept.
        """
        row, chunk = self.chunk(stream, sequence)
        index = sequence - row.header.first
        chunks = decode_chunks(row.chunks)
        event = self.event(row)
        if with_proof and row.proof is None:
            raise NotFound(f"the proof of window {row.number} is no longer kept")
        return Receipt(
            stream.keys.descriptor,
            chunk,
            tuple(tree_of(chunks).inclusion(index)),
            row.header,
            row.signature,
            event,
            place=self._place(row),
            opening=window_openings(stream.keys, row)[index] if disclose else None,
            proven=Proven(chunks, row.proof) if with_proof and row.proof else None,
            endorsements=self._endorsements(row),
        )

    def event(self, row: WindowRow) -> Certificate:
        """The certificate on a window, from the own log. Raises NotFound: there is none yet."""
        if row.position is None:
            raise NotFound(f"window {row.number} is not certified yet", number=row.number)
        found = self.log.entry(row.position).event
        if not isinstance(found, Certificate):
            raise NotFound("the log has something else in its place", number=row.number)
        return found

    def _endorsements(self, row: WindowRow) -> tuple[Endorsement, ...]:
        """Each expert's last word on the window."""
        last: dict[str, Endorsement] = {}
        page = self.records.endorsements(row.stream, row.number)
        while page:
            events = (self.log.entry(each.position).event for each in page)
            last |= {each.claim.expert: each for each in events if isinstance(each, Endorsement)}
            page = self.records.endorsements(row.stream, row.number, after=page[-1].position)
        return tuple(last[expert] for expert in sorted(last))[:MAX_ENDORSEMENTS]

    def _place(self, row: WindowRow) -> Place | None:
        """In the log of the newest certified checkpoint, if that covers it."""
        mark, position = self.log.state.checkpoint, row.position
        if mark is None or position is None or mark.size <= position:
            return None
        entry = self.log.entry(position)
        checkpoint = self.log.entry(mark.position).event
        if not isinstance(checkpoint, Certificate):
            return None
        inclusion = tuple(self.log.inclusion(position, mark.size))
        return Place(position, entry.ledger_index, entry.ledger_time, inclusion, checkpoint)
