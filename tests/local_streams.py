"""The streams of a service on a folder, without prover, ledger and threads.

streams = LocalStreams(folder, random.Random(1))
stream, _ = streams.streams.create(StreamConfig(...))
streams.upload(stream, b"21.5")
streams.close_windows(stream)
streams.close()             # another `LocalStreams` on the folder is a restart
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from committees import secret
from dragon import errors
from dragon.encoding import Json
from dragon.protocol.streams.readings import Readings
from dragon.storage.database import Database
from dragon_stream.archive.index import SCHEMA as ARCHIVE_SCHEMA
from dragon_stream.chunker import Chunker
from dragon_stream.damage import DamageReports
from dragon_stream.events import Events
from dragon_stream.ingest_session import Upload
from dragon_stream.receipts import Receipts
from dragon_stream.store import SCHEMA, Store
from dragon_stream.streams import Stream, StreamConfig, Streams
from dragon_stream.writer import Writer

COMMITTEE: Final = bytes(32)
KEY: Final = secret("the stream service")
LATER_MS: Final = 1 << 50
COLD_CHAIN: Final[Mapping[str, Json]] = {
    "form": "plain", "scale": 2, "rounding": "exact", "unit": "°C", "length": 12,
    "low": "200", "high": "800", "fall": "50", "rise": "50",
    "sum": {"kind": "none"}, "carry": True, "most": 63,
}  # fmt: skip


def cold_chain(**other: Json) -> Readings:
    """Temperatures from 2 to 8 °C that change by at most half a degree, with changes to that."""
    return Readings.from_json({**COLD_CHAIN, **other})


def with_readings(readings: Readings, window_chunks: int = 3, name: str = "truck") -> StreamConfig:
    """The settings of a stream with these readings."""
    config = StreamConfig(name, "standard", readings.length, window_chunks, 1000, "message", 60)
    return replace(config, readings=readings)


def ignore(_: Chunker) -> None:
    """Windows are closed by the test."""


class LocalStreams:
    """Real files, database, keys and commitments. A window is closed when it is full."""

    def __init__(self, folder: Path, draw: random.Random) -> None:
        self.now_ms = 1_000_000
        self.database = Database(folder / "windows.db", SCHEMA, ARCHIVE_SCHEMA)
        self.writer, self.damages = Writer(), DamageReports(Events())
        self.store = Store(self.database, self.damages.report)
        try:
            self.streams = Streams(
                *(self.store, folder, KEY, COMMITTEE, self.writer),
                damages=self.damages,
                disk=self.database.disk,
                entropy=draw.randbytes,
                now_ms=self._clock,
                on_full_window=ignore,
                **self.options(),
            )
        except errors.DragonError:
            self.database.close()
            raise
        self.receipts = Receipts(self.store, None, None, self.damages)  # type: ignore[arg-type]

    def options(self) -> dict[str, Any]:
        """Further arguments of `Streams`."""
        return {}

    def _clock(self) -> int:
        self.now_ms += 7
        return self.now_ms

    def upload(self, stream: Stream, *messages: bytes) -> None:
        source, chunker = Upload(), stream.chunker
        chunker.attach(source)
        for message in messages:
            chunker.feed(source, message, finished=True)
        self.writer.step()
        chunker.wait_for(chunker.flush(source))
        chunker.detach(source)

    def close_windows(self, stream: Stream, *, all_chunks: bool = False) -> None:
        """Close the full windows, and with `all_chunks` also one that is not full."""
        now_ms = LATER_MS if all_chunks else 0
        while due := stream.chunker.due_chunks(now_ms):
            row = stream.sealer.close(self.store, due, self._clock())
            self.store.prove(stream.id, row.number, b"a proof")
            self.store.certify(stream.id, row.number, row.number)

    def close(self) -> None:
        self.streams.close()
        self.database.close()
