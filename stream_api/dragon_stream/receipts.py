"""Makes receipts of chunks from the service's store and its copy of the log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from dragon.errors import ChunkDamaged, NotFound
from dragon.log.index_tables import StreamRecords
from dragon.log.store import Log
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.window import WindowClaim
from dragon.protocol.endorsement import Endorsement
from dragon.protocol.streams.chunks import ChunkHeader, decode_chunks, tree_of
from dragon.protocol.streams.receipt import MAX_ENDORSEMENTS, Place, Proven, Receipt
from dragon_stream.damage import Damage, Damaged, DamageReports
from dragon_stream.proof_request import carried_window
from dragon_stream.store import Store, WindowRow, digests_of
from dragon_stream.stream_tables import FILE
from dragon_stream.streams import Stream, chunk_lengths
from dragon_stream.window_sealer import window_openings


@dataclass(frozen=True, slots=True)
class ChunkDigest:
    """Length and SHA-256 of a chunk's data, which only the stream's owner may see."""

    sequence: int
    length: int
    digest: bytes


class ArchivedProofs(Protocol):
    """The proofs that are in the archive; see `dragon_stream.archive.reader`."""

    def proof(self, stream: bytes, number: int) -> bytes | None:
        """A window's proof; None if the archive has none. Raises Damaged, ArchiveUnavailable."""


@dataclass(frozen=True, slots=True)
class Receipts:
    """Finds windows, chunks, their data, and their receipts."""

    store: Store
    log: Log
    records: StreamRecords
    damages: DamageReports
    archive: ArchivedProofs | None = None

    def window(self, stream: Stream, number: int) -> WindowRow:
        """A closed window.

        Raises:
            NotFound: the stream has no such window.
            ChunkDamaged: its row is damaged or missing.
        """
        row, last = self.store.window(stream.id, number), stream.sealer.last
        if row is not None:
            return row
        if last is not None and number <= last.number:
            raise self._damaged(stream.id, Damage(FILE, None, None, f"lacks window {number}"))
        raise NotFound(f"the stream has no closed window {number}")

    def chunk(self, stream: Stream, sequence: int) -> tuple[WindowRow, ChunkHeader]:
        """A chunk and its closed window.

        Raises:
            NotFound: no closed window holds the chunk.
            ChunkDamaged: the window's row is damaged or missing.
        """
        row = self.store.window_of(stream.id, sequence)
        if row is None:
            last = stream.sealer.last
            if last is not None and sequence < last.next_first:
                what = "lacks the row of the chunk's window"
                raise self._damaged(stream.id, Damage(FILE, None, sequence, what))
            arrived = sequence < stream.chunker.sequence
            reason = "is in no closed window yet" if arrived else "has not arrived yet"
            raise NotFound(f"chunk {sequence} {reason}", sequence=sequence)
        return row, decode_chunks(row.chunks)[sequence - row.header.first]

    def data(self, stream: Stream, sequence: int) -> bytes:
        """The data of a chunk, compared with its digest.

        Raises:
            NotFound: it never arrived, or its retention has ended.
            ChunkDamaged: it is not on the disk, or in the archive, as it was stored.
            ArchiveUnavailable: it is in the archive, which cannot be read now.
        """
        row, _ = self.chunk(stream, sequence)
        index = sequence - row.header.first
        lengths = chunk_lengths(row)[: index + 1]
        try:
            found = stream.chunker.segments.read(lengths, row.offset, digests_of(row)[index])
        except Damaged as error:
            hides = stream.row.hides_sizes  # what is damaged is no secret of the owner's
            damage = error.damage.without_sizes() if hides else error.damage
            raise self._damaged(stream.id, damage) from None
        if found is None:
            message = f"the data of chunk {sequence} was deleted: its retention time has passed"
            raise NotFound(message, sequence=sequence)
        return found

    def _damaged(self, stream: bytes, damage: Damage) -> ChunkDamaged:
        """Report damage, and return the error that says so."""
        self.damages.report(stream, damage)
        return ChunkDamaged(f"the stored data is damaged: {damage}", **damage.facts())

    def digests(self, stream: Stream, after: int, limit: int) -> list[ChunkDigest]:
        """Chunks on disk with a sequence above `after`, in order, at most `limit`."""
        # Read before the windows: a chunk leaves this list when its window has been written.
        unclosed = stream.chunker.unclosed()
        found: list[ChunkDigest] = []
        following = after + 1
        while len(found) < limit and (row := self.store.window_of(stream.id, following)):
            found += _digests(row)[following - row.header.first :]
            following = row.header.next_first
        found += (
            ChunkDigest(chunk.sequence, chunk.length, chunk.digest)
            for chunk in unclosed
            if chunk.sequence >= following
        )
        return found[:limit]

    def receipt(
        self, stream: Stream, sequence: int, *, disclose: bool, with_proof: bool
    ) -> Receipt:
        """The receipt of one chunk of a certified window.

        Args:
            stream: the chunk's stream.
            sequence: the chunk's number.
            disclose: include the opening of this chunk's commitment, and of no other.
            with_proof: include the window's chunk headers and proof.

        Raises:
            NotFound: the window is not certified yet, or its proof was deleted.
            ChunkDamaged: the row of the window, or of the one before it, or the proof is damaged.
            ArchiveUnavailable: the proof is in the archive, which cannot be read now.
        """
        row, chunk = self.chunk(stream, sequence)
        index = sequence - row.header.first
        chunks = decode_chunks(row.chunks)
        event = self.event(row)
        return Receipt(
            stream.keys.descriptor,
            chunk,
            tuple(tree_of(chunks).inclusion(index)),
            row.header,
            row.signature,
            event,
            place=self._place(row),
            opening=window_openings(stream.keys, row)[index] if disclose else None,
            proven=self._proven(stream, row, chunks) if with_proof else None,
            endorsements=self._endorsements(row),
        )

    def _proven(self, stream: Stream, row: WindowRow, chunks: tuple[ChunkHeader, ...]) -> Proven:
        """The proof, and what its statement is about. Raises NotFound: the proof was deleted."""
        if (proof := self._proof(row)) is None:
            raise NotFound(
                f"the proof of window {row.number} was deleted: its retention time has passed"
            )
        previous = carried_window(self.store, stream.keys, row)
        return Proven(chunks, proof, previous.header if previous else None)

    def _proof(self, row: WindowRow) -> bytes | None:
        """The proof, from the database or the archive. Raises ChunkDamaged, ArchiveUnavailable."""
        if row.proof is not None or self.archive is None:
            return row.proof
        try:
            return self.archive.proof(row.stream, row.number)
        except Damaged as error:
            raise self._damaged(row.stream, error.damage) from None

    def event(self, row: WindowRow) -> Certificate:
        """The certificate of a window, from the log.

        Raises:
            NotFound: there is none yet.
            ChunkDamaged: the row names another entry of the log.
        """
        if row.position is None:
            raise NotFound(f"window {row.number} is not certified yet", number=row.number)
        found = self.log.entry(row.position).event
        if not isinstance(found, Certificate):
            message = f"log position {row.position} holds no certificate of window {row.number}"
            raise NotFound(message, number=row.number)
        claim = found.claim
        if not isinstance(claim, WindowClaim) or claim.header != row.header.hash:
            what = f"has a wrong log position ({row.position}) of window {row.number}"
            raise self._damaged(row.stream, Damage(FILE, None, row.header.first, what))
        return found

    def _endorsements(self, row: WindowRow) -> tuple[Endorsement, ...]:
        """The last endorsement of the window by each expert."""
        last: dict[str, Endorsement] = {}
        page = self.records.endorsements(row.stream, row.number)
        while page:
            events = (self.log.entry(each.position).event for each in page)
            last |= {each.claim.expert: each for each in events if isinstance(each, Endorsement)}
            page = self.records.endorsements(row.stream, row.number, after=page[-1].position)
        return tuple(last[expert] for expert in sorted(last))[:MAX_ENDORSEMENTS]

    def _place(self, row: WindowRow) -> Place | None:
        """The window's place in the log, once a certified mark covers it.

        After a handover has covered it, the receipt holds for every later committee.
        """
        found = None if row.position is None else self.log.anchored(row.position)
        if found is None or found.anchor is None:
            return None
        entry = found.entry
        return Place(entry.position, entry.ledger_index, found.inclusion, found.anchor)


def _digests(row: WindowRow) -> list[ChunkDigest]:
    pairs = zip(chunk_lengths(row), digests_of(row), strict=True)
    return [ChunkDigest(sequence, length, digest) for (sequence, length), digest in pairs]
