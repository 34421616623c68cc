"""An object store in memory, which can fail and lie in every way, and streams with an archive."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any, cast

from dragon.errors import ArchiveUnavailable
from dragon.net.http_client import HttpClient
from dragon.net.runtime import Runtime
from dragon_stream.archive.archiver import Archiver
from dragon_stream.archive.index import ArchiveIndex
from dragon_stream.archive.objects import Body, ObjectMissing, ObjectStore
from dragon_stream.archive.reader import ArchiveReader
from dragon_stream.archive.room import Room
from dragon_stream.archive.windows import ProvenWindows
from local_streams import LocalStreams

Step = Callable[[str, str], None]  # is told of an operation and an object's name, and may raise


def nothing(_operation: str, _name: str) -> None:
    """Let every operation succeed."""


class MemoryStore:
    """A bucket. `before` and `after` are called around each operation, and may raise."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.calls: list[tuple[str, str]] = []
        self.before: Step = nothing
        self.after: Step = nothing
        self.cut = 0  # bytes that each body lacks at its end

    def _do(self, operation: str, name: str) -> None:
        self.calls.append((operation, name))
        self.before(operation, name)

    def put(self, name: str, data: bytes) -> None:
        self._do("put", name)
        self.objects[name] = data
        self.after("put", name)

    def get(self, name: str, start: int = 0, length: int | None = None) -> Body:
        self._do("get", name)
        found = self._find(name)
        end = len(found) if length is None else start + length
        data = found[start:end]
        pieces = [data[at : at + 1000] for at in range(0, len(data) - self.cut, 1000)]
        self.after("get", name)
        return Body(len(found), iter(pieces))

    def size(self, name: str) -> int:
        self._do("size", name)
        return len(self._find(name))

    def delete(self, name: str) -> None:
        self._do("delete", name)
        self.objects.pop(name, None)
        self.after("delete", name)

    def names(self, prefix: str) -> Iterator[str]:
        return iter(sorted(name for name in self.objects if name.startswith(prefix)))

    def _find(self, name: str) -> bytes:
        if name not in self.objects:
            raise ObjectMissing(name)
        return self.objects[name]

    def operations(self) -> list[str]:
        return [operation for operation, _ in self.calls]


def down(_operation: str, _name: str) -> None:
    raise ArchiveUnavailable("s3://bucket cannot be reached: no connection")


class Here(Executor):
    """Runs jobs at once."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


class ArchivedStreams(LocalStreams):
    """Streams of a service on a folder, with an archive. Segments have `segment_bytes`."""

    def __init__(
        self,
        folder: Path,
        store: ObjectStore,
        *,
        local_bytes: int = 1_000_000,
        segment_bytes: int = 1000,
        seed: int = 1,
    ) -> None:
        self.store_of_objects = store
        self.monotonic = 0.0
        self.room = Room(local_bytes)
        self._segment_bytes = segment_bytes
        super().__init__(folder, random.Random(seed))
        self.runtime = Runtime(
            http=cast(HttpClient, None),
            wall=lambda: self.now_ms / 1000,
            monotonic=lambda: self.monotonic,
            sleep=lambda _: None,
            entropy=random.Random(seed).randbytes,
            workers=lambda _: Here(),
        )
        self.archiver = Archiver(
            store,
            self.index,
            windows=self.store,
            proven=ProvenWindows(self.database),
            streams=self.streams,
            damages=self.damages,
            room=self.room,
            url="s3://bucket",
            runtime=self.runtime,
        )

    def options(self) -> dict[str, Any]:
        self.index = ArchiveIndex(self.database, self.damages.report)
        self.reader = ArchiveReader(self.store_of_objects, self.index, lambda: self.monotonic)
        return {"archive": self.reader, "segment_bytes": self._segment_bytes}
