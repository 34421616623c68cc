"""Moves certified data to the archive, and keeps the local disk within its bound.

Each step is on disk before the next one: the intent, the upload, the object read back and compared
with its digest, its row `stored`; much later the deletion of the local copy. After a crash anywhere
the next step is repeated: names contain digests, so an upload that is repeated changes nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog
from prometheus_client import Counter

from dragon.encoding import to_hex
from dragon.errors import ArchiveUnavailable, ChunkDamaged, DiskError
from dragon.net.runtime import Runtime
from dragon_stream.archive.index import ArchiveIndex, Total
from dragon_stream.archive.objects import (
    ArchivedObject,
    Kind,
    ObjectDiffers,
    ObjectMissing,
    ObjectStore,
    State,
    check_size,
    check_stored,
)
from dragon_stream.archive.room import Room
from dragon_stream.archive.waiting import Waiting, WaitingObjects
from dragon_stream.archive.windows import ProvenWindows
from dragon_stream.damage import Damaged, DamageReports
from dragon_stream.records import HEAD_BYTES
from dragon_stream.store import Store
from dragon_stream.streams import Stream, Streams

STEP_SECONDS: Final = 1.0  # time between two steps
CONCURRENT_UPLOADS: Final = 4  # objects that are uploaded at the same time
MAX_UPLOADS: Final = 64  # of one step
MAX_DELETIONS: Final = 64  # local copies that one step deletes
MAX_BACKOFF_SECONDS: Final = 60.0  # between two attempts while the archive fails
FAULTS: Final = ("unavailable", "differs", "damaged", "disk")  # labels of the failures

logger = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an attempt failed."""

    reason: str  # one of FAULTS
    what: str


class Archiver:
    """One thread steps; `status` values may be read by any."""

    def __init__(
        self,
        store: ObjectStore,
        index: ArchiveIndex,
        *,
        windows: Store,
        proven: ProvenWindows,
        streams: Streams,
        damages: DamageReports,
        room: Room,
        url: str,
        runtime: Runtime,
    ) -> None:
        """
        Args:
            store: the bucket.
            index: the rows of its objects.
            windows: the rows of windows.
            proven: which windows are certified.
            streams: the streams, whose files are archived.
            damages: is told of local data that is not as it was certified.
            room: how much of the disk they may take.
            url: where the bucket is, for people.
            runtime: clock and threads.
        """
        self.url = url
        self._store = store
        self._index = index
        self._proven = proven
        self._waiting = WaitingObjects(index, windows, proven, room=room, wall=runtime.wall)
        self._streams = streams
        self._damages = damages
        self._room = room
        self._runtime = runtime
        self._pool = runtime.workers(CONCURRENT_UPLOADS)
        self._attempts = 0  # failures since the last success
        self._not_before = runtime.monotonic()
        self._set_aside: set[tuple[bytes, Kind, int]] = set()  # damaged, so never archived
        self.last_error = ""  # why the last attempt failed; empty after a success
        self.pending: dict[bytes, int] = {}  # bytes of each stream that wait to be archived
        self.failures = Counter(
            "datadragon_stream_archive_failures",
            "Failed attempts to move an object to the archive, or to delete one, by reason.",
            ["reason"],
            registry=None,
        )
        for fault in FAULTS:
            self.failures.labels(fault)
        room.watch(self._accepted)
        self.measure()

    @property
    def retry_seconds(self) -> float:
        """The time until the next attempt, after a failure."""
        return max(0.0, self._not_before - self._runtime.monotonic()) if self.last_error else 0.0

    @property
    def index(self) -> ArchiveIndex:
        return self._index

    def run(self, stop: threading.Event) -> None:
        """Call `step` until `stop` is set."""
        while not stop.wait(STEP_SECONDS):
            self.step()

    def step(self) -> None:
        """Archive what can be archived, and delete local copies if the disk has too much."""
        # Also while the archive fails: what has expired must not be read any more.
        faults = self._attempt(self._mark_expired)
        waiting = [
            each for each in self._waiting.of(self._usable()) if each.key not in self._set_aside
        ]
        pending: dict[bytes, int] = {}
        for each in waiting:
            pending[each.stream.id] = pending.get(each.stream.id, 0) + each.size
        self.pending = pending
        if self._runtime.monotonic() >= self._not_before:
            self._work(waiting, faults)
        self.measure()

    def close(self) -> None:
        """Release the threads, without waiting for them."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def measure(self) -> None:
        """Count the bytes on disk again."""
        with suppress(ChunkDamaged):
            self._room.measure(self._count_local)

    # What to do

    def _work(self, waiting: Sequence[Waiting], faults: Sequence[Fault]) -> None:
        """Upload and delete. Args: `faults`, those of this step until now."""
        faults = [*faults, *self._upload_all(waiting[:MAX_UPLOADS])]
        # In this order: a bucket that refuses to delete must not keep the disk full.
        for job in (self._delete_local, self._delete_expired):
            if not any(fault.reason == "unavailable" for fault in faults):
                faults += self._attempt(job)
        if not faults:
            if self.last_error:
                logger.info("archive_recovered")
            self._attempts, self.last_error = 0, ""
            return
        pause = min(MAX_BACKOFF_SECONDS, 2.0**self._attempts)
        self._attempts = min(self._attempts + 1, 16)
        self.last_error = faults[0].what
        self._not_before = self._runtime.monotonic() + pause
        logger.warning("archive_failed", detail=faults[0].what, retry_seconds=pause)

    def _upload_all(self, waiting: Sequence[Waiting]) -> list[Fault]:
        """Upload objects until the archive is unavailable. Returns the faults."""
        faults: list[Fault] = []
        # After a failure one at a time: each then has the whole of a slow line within its deadline.
        together = 1 if self._attempts else CONCURRENT_UPLOADS
        for at in range(0, len(waiting), together):
            group = waiting[at : at + together]
            jobs = [partial(self._attempt, partial(self._upload, each)) for each in group]
            for future in [self._pool.submit(job) for job in jobs]:
                faults += future.result()
            if any(fault.reason == "unavailable" for fault in faults):
                break
        return faults

    def _attempt(self, job: Callable[[], None]) -> list[Fault]:
        """Run a job. Return the fault, if it failed."""
        try:
            job()
        except ArchiveUnavailable as error:
            fault = Fault("unavailable", str(error))
        except ObjectDiffers as error:
            fault = Fault("differs", str(error))
        except ChunkDamaged as error:
            fault = Fault("damaged", str(error))
        except DiskError as error:
            fault = Fault("disk", str(error))
        except OSError:
            fault = Fault("disk", "a local file cannot be read or written")
        else:
            return []
        self.failures.labels(fault.reason).inc()
        return [fault]

    # How it is done

    def _usable(self) -> list[Stream]:
        return [stream for stream in self._streams.all() if not stream.chunker.is_damaged]

    def _upload(self, waiting: Waiting) -> None:
        """Upload one object and read it back. Nothing local is deleted."""
        try:
            packed = waiting.pack()
        except Damaged as error:
            self._report(waiting, error)
            return
        found = self._index.find(waiting.stream.id, waiting.kind, waiting.first)
        if packed is None or (found is not None and found.sha256 != packed.object.sha256):
            # Begun before a restart, and since then the retention has deleted a part of it.
            if found is not None:
                self._index.mark_expired(found)
            return
        if found is None:
            self._index.add(packed.object)
        self._store.put(packed.object.name, packed.data)
        try:
            check_stored(self._store, packed.object)
        except ObjectMissing:
            raise ObjectDiffers(f"{packed.object.place} is missing after its upload") from None
        except ObjectDiffers:
            # Everybody may read this. With readings, size and digest of a segment are secret.
            what = "has other content after its upload"
            raise ObjectDiffers(f"{packed.object.place} {what}") from None
        self._index.mark_stored(packed.object, packed.proofs)
        facts = {"object": packed.object.name, "kind": str(waiting.kind)}
        logger.info("object_archived", stream=to_hex(waiting.stream.id), **facts)

    def _report(self, waiting: Waiting, error: Damaged) -> None:
        """Damaged data stays where it is: it is reported, and not archived."""
        self._set_aside.add(waiting.key)
        self.failures.labels("damaged").inc()
        hides = waiting.stream.row.hides_sizes
        damage = error.damage.without_sizes() if hides else error.damage
        self._damages.report(waiting.stream.id, damage)

    def _mark_expired(self) -> None:
        """Note which objects hold only what the retention has deleted."""
        for stream in self._usable():
            with suppress(ChunkDamaged):
                for kind in Kind:
                    oldest = self._index.objects(
                        stream.id, kind, State.PENDING, State.STORED, limit=MAX_DELETIONS
                    )
                    for found in filter(partial(self._is_expired, stream), oldest):
                        self._index.mark_expired(found)

    def _is_expired(self, stream: Stream, found: ArchivedObject) -> bool:
        if found.kind is Kind.SEGMENT:
            return found.last < stream.chunker.segments.kept
        return found.newest_ms < self._now_ms() - 1000 * stream.row.retention_seconds

    def _delete_expired(self) -> None:
        """Delete expired objects from the archive, then their rows."""
        for stream in self._usable():
            for kind in Kind:
                for found in self._index.objects(
                    stream.id, kind, State.EXPIRED, limit=MAX_DELETIONS
                ):
                    self._store.delete(found.name)
                    self._index.drop(found)

    def _delete_local(self) -> None:
        """Delete the oldest local copies until the room has a free part again.

        Raises DiskError: a full disk had no room to note a deletion. Files are deleted
        nevertheless: after that there is room.
        """
        streams = {stream.id: stream for stream in self._usable()}
        excess, failed = self._room.excess, list[DiskError]()
        for found in self._index.oldest_local(streams, MAX_DELETIONS) if excess else ():
            if excess <= 0:
                break
            try:
                excess -= self._delete_copy(streams[found.stream], found)
            except DiskError as error:
                failed.append(error)
        if failed:
            raise failed[0]

    def _delete_copy(self, stream: Stream, found: ArchivedObject) -> int:
        """Delete the local copy of one object. Return its bytes, 0 if the archive lacks it."""
        try:
            # Somebody may have deleted it since it was read back.
            check_size(found, self._store.size(found.name))
        except (ObjectMissing, ObjectDiffers):
            self._index.mark_pending(found)
            return 0
        if found.kind is Kind.SEGMENT:
            stream.chunker.segments.evict(found.first)
        self._index.mark_remote(found)
        self._room.freed(found.size)
        return found.size

    # Measuring

    def _now_ms(self) -> int:
        return round(1000 * self._runtime.wall())

    def _accepted(self) -> int:
        chunkers = [stream.chunker for stream in self._streams.all()]
        return sum(chunker.total + HEAD_BYTES * chunker.sequence for chunker in chunkers)

    def _count_local(self) -> int:
        streams = self._streams.all()
        files = sum(stream.chunker.segments.size() for stream in streams)
        return (
            files
            + self._index.local_proof_bytes()
            + sum(self._unpacked(stream.id) for stream in streams)
        )

    def _unpacked(self, stream: bytes) -> int:
        """Bytes of the proofs that are in no object yet."""
        return self._proven.proof_bytes_after(stream, self._index.last_window(stream))

    def totals(self) -> list[Total]:
        """What the index knows, by stream, kind and state."""
        return self._index.totals()
