"""What moves to the archive, when local copies are deleted, and what a crash between may leave."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from dragon.errors import ArchiveUnavailable, ChunkDamaged, DiskFull
from dragon_stream.archive import archiver as module
from dragon_stream.archive.objects import ArchivedObject, Kind, State
from dragon_stream.archive.room import MEGABYTE, OBJECTS_IN_ROOM, Room
from dragon_stream.archive.settings import MIN_LOCAL_MB
from dragon_stream.damage import Damage, Damaged
from dragon_stream.ingest_session import credit_for
from dragon_stream.records import HEAD_BYTES
from dragon_stream.scrub import check_folder
from dragon_stream.scrub_report import StreamReport
from dragon_stream.streams import MAX_STREAMS, Stream, StreamConfig
from object_stores import ArchivedStreams, MemoryStore, down

CONFIG = StreamConfig("one", "standard", 65_536, 4, 1000, "message", 3600)
DATA = [b"%03d" % number * 100 for number in range(24)]  # three records fill a segment
SMALL = 7000  # bytes of room: some segments, and not all
LATER_MS = 1000 * 601


@pytest.fixture
def bucket() -> MemoryStore:
    return MemoryStore()


@contextmanager
def opened(
    folder: Path, bucket: MemoryStore, local_bytes: int = 1_000_000
) -> Iterator[tuple[ArchivedStreams, Stream]]:
    with closing(ArchivedStreams(folder, bucket, local_bytes=local_bytes)) as streams:
        stream, _ = streams.streams.create(CONFIG)
        yield streams, stream


def fill(streams: ArchivedStreams, stream: Stream, *, certify: bool = True) -> None:
    for data in DATA:
        streams.upload(stream, data)
    if certify:
        streams.close_windows(stream)


def files(stream: Stream) -> list[int]:
    return sorted(int(path.stem) for path in stream.chunker.segments.folder.glob("*.chunks"))


def all_data(streams: ArchivedStreams, stream: Stream) -> list[bytes]:
    return [streams.receipts.data(stream, number) for number in range(len(DATA))]


def archive_all(streams: ArchivedStreams, *, later: bool = True) -> None:
    """Archive everything, also proofs that are few."""
    if later:
        streams.now_ms += LATER_MS
    streams.archiver.step()


def test_closed_segments_and_proofs_are_archived_byte_for_byte(
    tmp_path: Path, bucket: MemoryStore
) -> None:
    with opened(tmp_path, bucket) as (streams, stream):
        fill(streams, stream)
        archive_all(streams)
        names = files(stream)
        for first in names[:-1]:
            found = streams.index.find(stream.id, Kind.SEGMENT, first)
            assert found is not None
            assert found.state is State.STORED
            path = stream.chunker.segments.folder / f"{first:016d}.chunks"
            assert bucket.objects[found.name] == path.read_bytes()
            assert hashlib.sha256(path.read_bytes()).hexdigest() in found.name
        assert streams.index.find(stream.id, Kind.SEGMENT, names[-1]) is None  # still open
        [proofs] = [name for name in bucket.objects if name.endswith(".proofs")]
        assert bucket.objects[proofs] == b"a proof" * 6
        assert all(name.startswith(stream.id.hex()) for name in bucket.objects)
        assert files(stream) == names  # there is room, so nothing is deleted


def test_nothing_is_archived_before_it_is_certified(tmp_path: Path, bucket: MemoryStore) -> None:
    with opened(tmp_path, bucket, SMALL) as (streams, stream):
        fill(streams, stream, certify=False)
        archive_all(streams)
        assert not bucket.objects
        assert len(files(stream)) > 4
        assert not streams.room.is_free()


def test_a_segment_with_one_chunk_that_is_not_certified_stays(
    tmp_path: Path, bucket: MemoryStore
) -> None:
    with opened(tmp_path, bucket, SMALL) as (streams, stream):
        fill(streams, stream, certify=False)
        due = stream.chunker.due_chunks(0)
        row = stream.sealer.close(streams.store, due, 1)
        streams.store.certify(stream.id, row.number, 0)
        stream.sealer.close(streams.store, stream.chunker.due_chunks(0), 2)
        archive_all(streams)
        found = streams.index.objects(stream.id, Kind.SEGMENT, State.STORED)
        assert [(each.first, each.last) for each in found] == [(0, 2)]  # chunk 4 is not certified


def test_the_oldest_local_copies_go_first_and_are_read_from_the_archive(
    tmp_path: Path, bucket: MemoryStore
) -> None:
    with opened(tmp_path, bucket, SMALL) as (streams, stream):
        fill(streams, stream)
        names = files(stream)
        assert not streams.room.is_free()
        archive_all(streams)
        kept = files(stream)
        assert kept == names[-len(kept) :]
        assert 0 < len(kept) < len(names)
        assert streams.room.is_free()
        assert (
            streams.room.used
            == sum(path.stat().st_size for path in stream.chunker.segments.folder.glob("*.chunks"))
            + streams.index.local_proof_bytes()
        )
        assert all_data(streams, stream) == DATA


def test_a_restart_continues_with_archived_segments(tmp_path: Path, bucket: MemoryStore) -> None:
    with opened(tmp_path, bucket, SMALL) as (streams, stream):
        fill(streams, stream)
        archive_all(streams)
        assert files(stream)[0] > 0
    with opened(tmp_path, bucket, SMALL) as (streams, stream):
        assert not stream.chunker.last_error
        assert all_data(streams, stream) == DATA
        streams.upload(stream, b"more")
        assert stream.chunker.sequence == len(DATA) + 1


def test_a_local_segment_that_is_not_archived_is_missed(
    tmp_path: Path, bucket: MemoryStore
) -> None:
    with opened(tmp_path, bucket, SMALL) as (streams, stream):
        fill(streams, stream)
        archive_all(streams)
        for first in files(stream):
            (stream.chunker.segments.folder / f"{first:016d}.chunks").unlink()
    with opened(tmp_path, bucket, SMALL) as (_, stream):
        assert "is missing" in stream.chunker.last_error


def test_proofs_that_only_the_archive_has_are_read_there(
    tmp_path: Path, bucket: MemoryStore
) -> None:
    with opened(tmp_path, bucket) as (streams, stream):
        fill(streams, stream)
        archive_all(streams)
        streams.room.limit = 8
        streams.archiver.step()
        for number in range(6):
            row = streams.store.needed_window(stream.id, number)
            assert row.proof is None
            assert streams.reader.proof(stream.id, number) == b"a proof"
        assert streams.store.proof_sizes(stream.id, 0, 5) == dict.fromkeys(range(6), 7)
        assert streams.reader.proof(stream.id, 6) is None


def test_a_proof_that_was_changed_in_the_bucket_is_refused_and_read_again_later(
    tmp_path: Path, bucket: MemoryStore
) -> None:
    with opened(tmp_path, bucket) as (streams, stream):
        fill(streams, stream)
        archive_all(streams)
        [name] = [name for name in bucket.objects if name.endswith(".proofs")]
        genuine = bucket.objects[name]
        bucket.objects[name] = genuine[:7] + b"A proof" + genuine[14:]

        assert streams.reader.proof(stream.id, 0) == b"a proof"
        with pytest.raises(Damaged, match="another proof of window 1"):
            streams.reader.proof(stream.id, 1)

        bucket.objects[name] = genuine
        assert streams.reader.proof(stream.id, 1) == b"a proof"


def test_few_proofs_wait_for_others_and_many_do_not(tmp_path: Path, bucket: MemoryStore) -> None:
    with opened(tmp_path, bucket) as (streams, stream):
        fill(streams, stream)
        archive_all(streams, later=False)
        assert not [name for name in bucket.objects if name.endswith(".proofs")]
        streams.room.limit = 20 * 256  # a bundle is full at 20 bytes: three proofs
        archive_all(streams, later=False)
        assert [
            (each.first, each.last)
            for each in streams.index.objects(stream.id, Kind.PROOFS, State.STORED)
        ] == [(0, 2), (3, 5)]


def test_while_the_archive_is_down_everything_stays_and_sources_wait(
    tmp_path: Path, bucket: MemoryStore
) -> None:
    with opened(tmp_path, bucket, SMALL) as (streams, stream):
        fill(streams, stream)
        names, bucket.before = files(stream), down
        pauses = []
        for _ in range(9):
            archive_all(streams)
            assert streams.archiver.last_error == "s3://bucket cannot be reached: no connection"
            pauses.append(streams.archiver.retry_seconds)
            calls = len(bucket.calls)
            streams.archiver.step()
            assert len(bucket.calls) == calls  # not before its time
            streams.monotonic += streams.archiver.retry_seconds
        assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
        assert files(stream) == names
        assert not streams.room.is_free()
        assert streams.archiver.pending[stream.id] > 0

        bucket.before = lambda _operation, _name: None
        archive_all(streams)
        assert not streams.archiver.last_error
        assert streams.room.is_free()
        assert all_data(streams, stream) == DATA


@pytest.mark.parametrize("wrong", [b"", b"something else", None])
def test_an_upload_that_reads_back_differently_deletes_nothing(
    tmp_path: Path, bucket: MemoryStore, wrong: bytes | None
) -> None:
    def spoil(operation: str, name: str) -> None:
        if operation == "put" and wrong is None:
            del bucket.objects[name]
        elif operation == "put" and wrong is not None:
            bucket.objects[name] = wrong or bucket.objects[name][:-1] + b"?"

    with opened(tmp_path, bucket, SMALL) as (streams, stream):
        fill(streams, stream)
        names, bucket.after = files(stream), spoil
        archive_all(streams)
        assert files(stream) == names
        assert not streams.index.objects(stream.id, Kind.SEGMENT, State.STORED)
        error = streams.archiver.last_error
        assert "after its upload" in error
        # Everybody may read it: neither the digest of a segment nor its size.
        assert error.startswith(f"{stream.id.hex()}/segments/{0:016d} ")
        assert "bytes" not in error


def test_an_object_that_somebody_deleted_is_uploaded_again_before_the_local_copy_goes(
    tmp_path: Path, bucket: MemoryStore
) -> None:
    with opened(tmp_path, bucket) as (streams, stream):
        fill(streams, stream)
        archive_all(streams)
        bucket.objects.clear()
        streams.room.limit = SMALL
        archive_all(streams)
        names = files(stream)
        assert names[0] == 0
        streams.archiver.step()
        assert files(stream)[0] > 0
        assert all_data(streams, stream) == DATA


def test_an_object_that_is_uploaded_again_ends_where_an_archived_one_begins(
    tmp_path: Path, bucket: MemoryStore
) -> None:
    """The segment after it is not on the disk any more."""
    with opened(tmp_path, bucket) as (streams, stream):
        fill(streams, stream)
        archive_all(streams)
        lost = streams.index.find(stream.id, Kind.SEGMENT, 3)
        assert lost is not None
        del bucket.objects[lost.name]
        streams.room.limit = SMALL
        streams.archiver.step()
        assert files(stream)[0] == 3
        assert 6 not in files(stream)

        streams.archiver.step()
        assert lost.name in bucket.objects
        assert not streams.damages.of(stream.id)
        assert all_data(streams, stream) == DATA


def test_a_damaged_stream_does_not_keep_the_data_of_others_on_the_disk(
    tmp_path: Path, bucket: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_DELETIONS", 2)
    with opened(tmp_path, bucket) as (streams, damaged):
        fill(streams, damaged)
        archive_all(streams)
        other, _ = streams.streams.create(replace(CONFIG, name="two"))
        fill(streams, other)
        archive_all(streams)
        before = files(damaged)
        damaged.chunker.on_damaged(Damage("a file", None, None, "is damaged"))
        streams.room.limit = streams.room.used
        streams.archiver.step()
        assert files(damaged) == before
        assert files(other)[0] > 0
        assert all_data(streams, other) == DATA


def test_proofs_that_the_retention_has_deleted_take_no_room(
    tmp_path: Path, bucket: MemoryStore
) -> None:
    with opened(tmp_path, bucket) as (streams, stream):
        fill(streams, stream)
        streams.archiver.measure()
        assert streams.room.used == stream.chunker.segments.size() + 6 * len(b"a proof")
        archive_all(streams)
        streams.now_ms += 3_601_000
        streams.store.forget_proofs(stream.id, streams.now_ms - 3_600_000)
        for _ in range(2):
            streams.archiver.step()
        assert streams.index.last_window(stream.id) == -1  # no object is left
        assert streams.room.used == stream.chunker.segments.size()


def test_a_bucket_that_refuses_to_delete_does_not_keep_the_disk_full(
    tmp_path: Path, bucket: MemoryStore
) -> None:
    def refuse(operation: str, name: str) -> None:
        if operation == "delete":
            down(operation, name)

    with opened(tmp_path, bucket) as (streams, stream):
        fill(streams, stream)
        archive_all(streams)
        bucket.before = refuse
        streams.now_ms += 3_601_000
        streams.store.forget_proofs(stream.id, streams.now_ms - 3_600_000)
        streams.room.limit = SMALL
        streams.archiver.step()
        assert streams.archiver.last_error
        assert files(stream)[0] > 0


def test_a_full_disk_is_freed_though_nothing_can_be_noted_on_it(
    tmp_path: Path, bucket: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path, bucket) as (streams, stream):
        fill(streams, stream)
        archive_all(streams)
        mark_expired = streams.index.mark_expired

        def mark(found: ArchivedObject) -> None:
            if files(stream)[0] == 0:
                raise DiskFull("the disk is full")
            mark_expired(found)

        monkeypatch.setattr(streams.index, "mark_expired", mark)
        streams.now_ms += 3_601_000
        streams.store.forget_proofs(stream.id, streams.now_ms - 3_600_000)
        streams.room.limit = SMALL
        streams.archiver.step()
        assert streams.archiver.last_error == "the disk is full"
        assert files(stream)[0] > 0

        streams.monotonic += 60
        streams.archiver.step()
        assert streams.archiver.last_error == ""
        assert not streams.index.objects(stream.id, Kind.PROOFS, State.STORED)


def test_a_full_disk_is_freed_though_no_deletion_can_be_noted_on_it(
    tmp_path: Path, bucket: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path, bucket) as (streams, stream):
        fill(streams, stream)
        archive_all(streams)
        mark_remote = streams.index.mark_remote

        def mark(found: ArchivedObject) -> None:
            raise DiskFull("the disk is full")

        monkeypatch.setattr(streams.index, "mark_remote", mark)
        streams.room.limit = SMALL
        before = files(stream)
        streams.archiver.step()
        assert streams.archiver.last_error == "the disk is full"
        assert len(before) - len(files(stream)) > 1

        monkeypatch.setattr(streams.index, "mark_remote", mark_remote)
        streams.monotonic += 60
        streams.archiver.step()
        assert streams.archiver.last_error == ""
        assert streams.room.excess == 0


def test_after_a_failure_objects_are_uploaded_one_at_a_time(
    tmp_path: Path, bucket: MemoryStore
) -> None:
    with opened(tmp_path, bucket) as (streams, stream):
        fill(streams, stream)
        bucket.before = down
        streams.archiver.step()
        assert bucket.operations() == ["put"] * module.CONCURRENT_UPLOADS
        bucket.calls.clear()
        streams.monotonic += 60
        streams.archiver.step()
        assert bucket.operations() == ["put"]


def test_damaged_local_data_is_reported_and_never_archived(
    tmp_path: Path, bucket: MemoryStore
) -> None:
    with opened(tmp_path, bucket, SMALL) as (streams, stream):
        fill(streams, stream)
        path = stream.chunker.segments.folder / f"{3:016d}.chunks"
        raw = bytearray(path.read_bytes())
        raw[HEAD_BYTES + 5] ^= 1
        path.write_bytes(raw)
        archive_all(streams)
        [damage] = streams.damages.of(stream.id)
        assert (damage.file, damage.chunk) == (path.name, 3)
        assert streams.index.find(stream.id, Kind.SEGMENT, 3) is None
        assert streams.index.find(stream.id, Kind.SEGMENT, 6) is not None  # the others are
        assert path.read_bytes() == raw
        assert not streams.archiver.last_error
        bucket.calls.clear()
        streams.archiver.step()
        assert not [name for _, name in bucket.calls if f"/{3:016d}-" in name]


def test_a_segment_that_stays_on_the_disk_stops_no_start(
    tmp_path: Path, bucket: MemoryStore
) -> None:
    """Damaged data stays, and later segments do not: also that of the last closed window's end."""
    with opened(tmp_path, bucket) as (streams, stream):
        fill(streams, stream)
        streams.upload(stream, b"more")  # begins another segment
        path = stream.chunker.segments.folder / f"{3:016d}.chunks"
        path.write_bytes(path.read_bytes()[:-1] + b"?")
        archive_all(streams)
        streams.room.limit = 8
        streams.archiver.step()
        assert files(stream) == [3, len(DATA)]
    with opened(tmp_path, bucket) as (streams, stream):
        assert not stream.chunker.last_error
        streams.upload(stream, b"still more")
        assert streams.receipts.data(stream, len(DATA) - 1) == DATA[-1]


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("operation", ["put", "get", "size"])
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("place", [0, 2, 5])
def test_after_a_crash_at_any_step_nothing_is_lost_and_the_steps_go_on(
    tmp_path: Path, bucket: MemoryStore, operation: str, moment: str, place: int
) -> None:
    left = [place]

    def die(now: str, _name: str) -> None:
        if now == operation:
            left[0] -= 1
            if left[0] < 0:
                raise Killed

    with opened(tmp_path, bucket, SMALL) as (streams, stream):
        fill(streams, stream)
        setattr(bucket, moment if operation != "size" else "before", die)
        with suppress(Killed):
            archive_all(streams)
        bucket.before = bucket.after = lambda _operation, _name: None
    with opened(tmp_path, bucket, SMALL) as (streams, stream):
        assert not stream.chunker.last_error
        assert all_data(streams, stream) == DATA
        archive_all(streams)
        assert streams.room.is_free()
        assert all_data(streams, stream) == DATA
        known = {
            found.name for kind in Kind for found in streams.index.objects(stream.id, kind, *State)
        }
        assert set(bucket.objects) == known  # no object was left behind


def test_a_crash_between_deleting_a_segment_and_noting_it_loses_nothing(
    tmp_path: Path, bucket: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(_found: object) -> None:
        raise Killed

    with opened(tmp_path, bucket, SMALL) as (streams, stream):
        fill(streams, stream)
        monkeypatch.setattr(streams.index, "mark_remote", die)
        with pytest.raises(Killed):
            archive_all(streams)
        assert files(stream)[0] == 3
    with opened(tmp_path, bucket, SMALL) as (streams, stream):
        assert all_data(streams, stream) == DATA
        archive_all(streams)
        assert streams.room.is_free()
        assert all_data(streams, stream) == DATA


def test_the_retention_deletes_archived_objects_too(tmp_path: Path, bucket: MemoryStore) -> None:
    with opened(tmp_path, bucket, SMALL) as (streams, stream):
        fill(streams, stream)
        archive_all(streams)
        assert bucket.objects
        streams.now_ms += 3_601_000
        before_ms = streams.now_ms - 3_600_000
        sequence = streams.store.forget_proofs(stream.id, before_ms)
        stream.chunker.forget(sequence, before_ms)
        bucket.before = down
        streams.archiver.step()
        assert streams.reader.proof(stream.id, 0) is None  # also while the archive is down
        assert stream.chunker.segments.read([(0, 300)], 0, bytes(32)) is None

        bucket.before = lambda _operation, _name: None
        streams.monotonic += 60
        for _ in range(2):
            streams.archiver.step()
        assert not bucket.objects
        assert not any(streams.index.objects(stream.id, kind, *State) for kind in Kind)
    with opened(tmp_path, bucket, SMALL) as (_, stream):
        assert not stream.chunker.last_error


def test_without_the_library_or_the_setting_archived_data_has_a_typed_error(
    tmp_path: Path, bucket: MemoryStore
) -> None:
    with opened(tmp_path, bucket, SMALL) as (streams, stream):
        fill(streams, stream)
        archive_all(streams)
        bucket.before = down
        streams.reader.forget(streams.index.objects(stream.id, Kind.SEGMENT, State.STORED)[0])
        with pytest.raises(ArchiveUnavailable):
            streams.receipts.data(stream, 0)
        assert not streams.damages.of(stream.id)
        assert streams.receipts.data(stream, len(DATA) - 1) == DATA[-1]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda raw: None, "is missing in the archive"),
        (lambda raw: raw[:-1], "bytes instead of"),
        (lambda raw: b"", "has 0 bytes instead of"),
        (lambda raw: raw + bytes(1 << 20), "bytes instead of"),
        (lambda raw: bytes(len(raw)), "has no record of the chunk there, in the archive"),
        (lambda raw: raw[:60] + b"?" + raw[61:], "differs from its digest, in the archive"),
    ],
)
def test_a_changed_bucket_causes_a_named_damage(
    tmp_path: Path, bucket: MemoryStore, spoil: object, says: str
) -> None:
    assert callable(spoil)
    with opened(tmp_path, bucket, SMALL) as (streams, stream):
        fill(streams, stream)
        archive_all(streams)
        [found, *_] = streams.index.objects(stream.id, Kind.SEGMENT, State.STORED)
        raw = bucket.objects.pop(found.name)
        if (changed := spoil(raw)) is not None:
            bucket.objects[found.name] = changed
        with pytest.raises(ChunkDamaged, match=says):
            streams.receipts.data(stream, 0)
        [damage] = streams.damages.of(stream.id)
        assert damage.file == found.short_name
        bucket.objects[found.name] = raw
        assert streams.receipts.data(stream, 0) == DATA[0]  # the wrong bytes are not kept


def test_a_body_that_ends_early_is_damage(tmp_path: Path, bucket: MemoryStore) -> None:
    with opened(tmp_path, bucket, SMALL) as (streams, stream):
        fill(streams, stream)
        archive_all(streams)
        bucket.cut = 1000
        with pytest.raises(ChunkDamaged, match="sends 1000 bytes instead of 1068"):
            streams.receipts.data(stream, 0)


def test_reading_chunk_after_chunk_takes_one_request_for_many(
    tmp_path: Path, bucket: MemoryStore
) -> None:
    with opened(tmp_path, bucket, SMALL) as (streams, stream):
        fill(streams, stream)
        archive_all(streams)
        bucket.calls.clear()
        assert [streams.receipts.data(stream, number) for number in range(3)] == DATA[:3]
        assert bucket.operations() == ["get"]


def test_constants_leave_room_for_every_stream() -> None:
    assert 2 * 2 * MAX_STREAMS <= OBJECTS_IN_ROOM
    assert set(module.FAULTS) == {"unavailable", "differs", "damaged", "disk"}


def test_the_newest_segments_never_fill_the_room_alone() -> None:
    """Nothing of them can be archived before the next write, which waits for room."""
    limit = MIN_LOCAL_MB * MEGABYTE
    written = sum(credit_for(sockets) for sockets in range(1, MAX_STREAMS + 1))
    assert written + MAX_STREAMS * (Room(limit).object_bytes or 0) < limit


def check(folder: Path, bucket: MemoryStore | None) -> StreamReport:
    [report] = check_folder(folder, store=bucket).streams
    return report


def test_the_check_of_a_folder_reads_the_archive_too(tmp_path: Path, bucket: MemoryStore) -> None:
    with opened(tmp_path, bucket, SMALL) as (streams, stream):
        fill(streams, stream)
        archive_all(streams)
        local = len(files(stream))
        segments = streams.index.objects(stream.id, Kind.SEGMENT, State.STORED)
        bundles = streams.index.objects(stream.id, Kind.PROOFS, State.STORED)
        proofs = bundles[0]

    whole = check(tmp_path, bucket)
    assert (whole.chunks, whole.segments, whole.unread) == (len(DATA), 8, 0)
    assert whole.archived == len(segments) + len(bundles)
    assert not whole.damages

    without = check(tmp_path, None)
    assert (without.segments, without.unread) == (local, 8 - local + len(bundles))
    assert not without.damages

    del bucket.objects[segments[0].name]
    bucket.objects[segments[1].name] = bytes(segments[1].size)
    bucket.objects[proofs.name] += b"?"
    damaged = check(tmp_path, bucket)
    assert [(each.file, each.what) for each in damaged.damages] == [
        (segments[0].short_name, "is missing in the archive"),
        (segments[1].short_name, "has other content than its digest says, in the archive"),
        (
            proofs.short_name,
            f"has {proofs.size + 1} bytes instead of {proofs.size}, in the archive",
        ),
    ]

    bucket.before = down
    with pytest.raises(ArchiveUnavailable):
        check(tmp_path, bucket)
