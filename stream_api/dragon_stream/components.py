"""What a stream service is made of."""

from __future__ import annotations

from dataclasses import dataclass, field

from dragon.log.follower import Follower
from dragon.log.index_tables import StreamRecords
from dragon.log.store import Log
from dragon.node.websocket import Sockets
from dragon.protocol.committee import Committee
from dragon_stream.chunker import Writer
from dragon_stream.events import Events
from dragon_stream.pipeline import Pipeline
from dragon_stream.receipts import Receipts
from dragon_stream.store import Store
from dragon_stream.streams import Streams


@dataclass(frozen=True, slots=True)
class Components:
    """What a stream service's app is built around."""

    committee: Committee
    token: str = field(repr=False)
    streams: Streams
    store: Store
    writer: Writer
    pipeline: Pipeline
    events: Events
    sockets: Sockets
    receipts: Receipts
    log: Log
    records: StreamRecords
    follower: Follower
