"""The parts of a stream service."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from dragon.log.follower import Follower
from dragon.log.index_tables import StreamRecords
from dragon.log.store import Log
from dragon.node.certification import Certification
from dragon.node.sockets import Sockets
from dragon.protocol.committee import Committee
from dragon.storage.disk import Disk
from dragon_stream.archive.archiver import Archiver
from dragon_stream.archive.room import Room
from dragon_stream.damage import DamageReports
from dragon_stream.events import Events
from dragon_stream.pipeline import Pipeline
from dragon_stream.receipts import Receipts
from dragon_stream.store import Store
from dragon_stream.streams import Streams
from dragon_stream.writer import Writer


@dataclass(frozen=True, slots=True)
class Components:
    """Everything that the app's routes use."""

    token: str = field(repr=False)
    streams: Streams
    store: Store
    writer: Writer
    pipeline: Pipeline
    events: Events
    sockets: Sockets
    receipts: Receipts
    damages: DamageReports
    log: Log
    records: StreamRecords
    follower: Follower
    certification: Certification
    room: Room
    archive: Archiver | None  # None without STREAM_ARCHIVE
    wall: Callable[[], float]
    disks: Sequence[Disk]  # under the files; usually one, several times

    @property
    def committee(self) -> Committee:
        """The committee that holds now."""
        return self.log.committee
