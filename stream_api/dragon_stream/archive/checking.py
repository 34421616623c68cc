"""Reads archived objects as a whole, for the check of a data folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dragon.storage.database import Database
from dragon_stream.archive.index import ArchiveIndex
from dragon_stream.archive.objects import (
    ArchivedObject,
    Kind,
    ObjectStore,
    State,
    faults_as_damage,
    verified_pieces,
)
from dragon_stream.damage import Damaged
from dragon_stream.scrub_report import StreamReport


@dataclass(frozen=True, slots=True)
class ArchivedData:
    """What the archive holds of one stream. Without a store it is counted, and not read."""

    segments: Mapping[int, ArchivedObject] = field(default_factory=dict)  # by their first chunk
    bundles: tuple[ArchivedObject, ...] = ()
    store: ObjectStore | None = None

    @classmethod
    def of(
        cls, database: Database, stream: bytes, report: StreamReport, store: ObjectStore | None
    ) -> ArchivedData:
        """Raises ChunkDamaged: a row of the index is damaged; it is in the report."""
        index = ArchiveIndex(database, lambda _, damage: report.add(damage))
        segments = index.objects(stream, Kind.SEGMENT, State.STORED)
        bundles = index.objects(stream, Kind.PROOFS, State.STORED)
        report.archived = len(segments) + len(bundles)
        return cls({found.first: found for found in segments}, tuple(bundles), store)

    def read(self, found: ArchivedObject) -> bytes:
        """An object, compared with its digest. Raises Damaged, ArchiveUnavailable."""
        if self.store is None:
            raise LookupError("there is no store to read from")
        with faults_as_damage(found):
            return b"".join(verified_pieces(self.store, found))

    def check_bundles(self, report: StreamReport) -> None:
        """Compare all proofs in the archive with their digests. Raises ArchiveUnavailable."""
        for found in self.bundles:
            if self.store is None:
                report.unread += 1
                continue
            try:
                self.read(found)
            except Damaged as error:
                report.add(error.damage)
