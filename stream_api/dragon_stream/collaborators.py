"""What a stream service is made of."""

from __future__ import annotations

from dataclasses import dataclass, field

from dragon.committee import Committee
from dragon.log.follow import Follower
from dragon.log.repository import Log
from dragon.log.rows import StreamRecords
from dragon.web.websocket import Sockets
from dragon_stream.events import Events
from dragon_stream.intake import Writer
from dragon_stream.pipeline import Pipeline
from dragon_stream.receipts import Receipts
from dragon_stream.store import Store
from dragon_stream.streams import Streams


@dataclass(frozen=True, slots=True)
class Collaborators:
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
