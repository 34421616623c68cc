"""Chunks on disk: acknowledged chunks survive a crash during a later write."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from dragon.errors import DiskError, DiskFailed, DiskFull
from dragon_stream import segments as module
from dragon_stream.damage import Damaged
from dragon_stream.records import HEAD_BYTES, Chunk, StoredChunk
from dragon_stream.recovery import Closed
from dragon_stream.segments import Segments

DATA = [b"21.5", b"", b"x" * 65_536, b"21.7"]


def chunk(sequence: int, data: bytes, received_ms: int = 1000) -> Chunk:
    return Chunk(sequence, received_ms, hashlib.sha256(data).digest(), data)


def chunks(data: list[bytes], first: int = 0) -> list[Chunk]:
    return [chunk(sequence, each) for sequence, each in enumerate(data, start=first)]


def lengths(stored: list[StoredChunk]) -> list[tuple[int, int]]:
    return [(chunk.sequence, chunk.length) for chunk in stored]


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.chunks"))


def the_file(folder: Path) -> Path:
    (only,) = files(folder)
    return only


def recovered(folder: Path) -> list[StoredChunk]:
    """What a restart finds; there must be no damage."""
    found = Segments(folder).recover()
    assert found.damage is None
    return found.stored


def read(segments: Segments, stored: list[StoredChunk]) -> bytes | None:
    return segments.read(lengths(stored), stored[0].offset, stored[-1].digest)


def test_appended_chunks_are_recovered(tmp_path: Path) -> None:
    stored = Segments(tmp_path).append(chunks(DATA))

    found = recovered(tmp_path)

    assert found == stored
    assert [each.digest for each in found] == [hashlib.sha256(each).digest() for each in DATA]
    assert the_file(tmp_path).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("left", range(1, HEAD_BYTES + 4, 9))
def test_only_an_incomplete_last_record_is_removed(tmp_path: Path, left: int) -> None:
    """A crash during the write of the last chunk, which was not acknowledged."""
    segments = Segments(tmp_path)
    stored = segments.append(chunks(DATA[:3]))
    whole = the_file(tmp_path).read_bytes()
    bounds = (tmp_path / "acknowledged").read_bytes()
    last = segments.append(chunks([b"21.7"], first=3))
    the_file(tmp_path).write_bytes(the_file(tmp_path).read_bytes()[: len(whole) + left])
    (tmp_path / "acknowledged").write_bytes(bounds)
    assert HEAD_BYTES + last[0].length > left

    again = Segments(tmp_path)
    found = again.recover()
    more = again.append(chunks([b"again"], first=3))

    assert (found.stored, found.damage) == (stored, None)
    assert recovered(tmp_path) == [*stored, *more]


def test_recovery_returns_only_chunks_after_the_last_window(tmp_path: Path) -> None:
    stored = Segments(tmp_path).append(chunks(DATA))

    assert Segments(tmp_path).recover(Closed(1, lengths(stored[:2]))).stored == stored[2:]
    assert Segments(tmp_path).recover(Closed(1, lengths(stored))).stored == []


def test_a_full_segment_is_followed_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_SEGMENT_BYTES", 100)
    segments = Segments(tmp_path)
    stored = [segments.append(chunks([bytes(60)], first=number))[0] for number in range(5)]

    assert len(files(tmp_path)) == 5
    assert recovered(tmp_path) == stored
    assert segments.size() == 5 * (60 + HEAD_BYTES)
    for number in range(5):
        assert read(segments, stored[: number + 1]) == bytes(60)


def test_the_data_of_each_chunk_can_be_read(tmp_path: Path) -> None:
    segments = Segments(tmp_path)
    stored = segments.append(chunks(DATA))

    for number, data in enumerate(DATA):
        assert read(segments, stored[: number + 1]) == data
    with pytest.raises(Damaged, match="no record of the chunk"):
        segments.read([(9, 4)], 0, bytes(32))


def test_forget_deletes_all_segments_but_the_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_SEGMENT_BYTES", 1)
    segments = Segments(tmp_path)
    stored = [segments.append(chunks([b"some"], first=number))[0] for number in range(4)]

    segments.forget(99, 0)

    assert len(files(tmp_path)) == 1
    assert read(segments, stored[:1]) is None
    assert read(segments, stored) == b"some"
    again = Segments(tmp_path)
    assert again.recover(Closed(1, lengths(stored))).damage is None
    assert read(again, stored[:1]) is None


def test_an_old_segment_is_followed_by_another_so_that_it_can_be_deleted(tmp_path: Path) -> None:
    segments = Segments(tmp_path)
    segments.append([chunk(0, b"old", received_ms=1000)])
    segments.forget(0, before_ms=2000)
    segments.append([chunk(1, b"new", received_ms=3000)])
    segments.append([chunk(2, b"too", received_ms=3001)])

    assert len(files(tmp_path)) == 2


CALLS = ["writev", "fdatasync", "pwrite", "fsync", "open"]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("code", "error"),
    [
        (errno.ENOSPC, DiskFull),
        (errno.EDQUOT, DiskFull),
        (errno.EIO, DiskFailed),
        (errno.EROFS, DiskFailed),
    ],
)
def test_a_failing_disk_stores_nothing_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int, error: type[DiskError]
) -> None:
    """Each system call of a write fails once, at the begin of a segment; then the disk is back."""
    segments = Segments(tmp_path)
    stored = segments.append(chunks([b"safe"]))
    monkeypatch.setattr(module, "MAX_SEGMENT_BYTES", 1)

    def failing(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as broken:
        broken.setattr(os, call, failing)
        with pytest.raises(error):
            segments.append(chunks([b"lost", b"too"], first=1))

    assert recovered(tmp_path)[:1] == stored
    stored += segments.append(chunks([b"again"], first=1))
    stored += segments.append(chunks([b"and again"], first=2))
    assert recovered(tmp_path) == stored
    assert [read(segments, stored[: at + 1]) for at in range(3)] == [
        b"safe",
        b"again",
        b"and again",
    ]


def test_what_cannot_be_removed_at_once_is_removed_before_the_next_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segments = Segments(tmp_path)
    stored = segments.append(chunks([b"safe"]))

    def failing(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fdatasync", failing)
        broken.setattr(os, "ftruncate", failing)
        for _ in range(2):
            with pytest.raises(DiskFailed):
                segments.append(chunks([b"lost and long"], first=1))

    stored += segments.append(chunks([b"x"], first=1))
    assert recovered(tmp_path) == stored


def test_a_partial_write_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.writev

    def short(file: int, parts: list[bytes]) -> int:
        return whole(file, [parts[0], parts[1][:1]])

    monkeypatch.setattr(os, "writev", short)
    stored = Segments(tmp_path).append(chunks(DATA))

    assert recovered(tmp_path) == stored


def test_many_small_chunks_are_written_in_several_calls(tmp_path: Path) -> None:
    many = [b"%d" % number for number in range(2 * module.MAX_CHUNKS_PER_WRITE + 3)]
    stored = Segments(tmp_path).append(chunks(many))

    assert [each.length for each in recovered(tmp_path)] == list(map(len, many))
    assert stored[-1].sequence == len(many) - 1
