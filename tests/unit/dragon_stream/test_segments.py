"""Chunks on disk: acknowledged chunks survive a crash during a later write."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from dragon_stream import segments as module
from dragon_stream.segments import HEAD_BYTES, Chunk, Segments, StoredChunk

DATA = [b"21.5", b"", b"x" * 65_536, b"21.7"]


def chunk(sequence: int, data: bytes, received_ms: int = 1000) -> Chunk:
    return Chunk(sequence, received_ms, hashlib.sha256(data).digest(), data)


def chunks(data: list[bytes], first: int = 0) -> list[Chunk]:
    return [chunk(sequence, each) for sequence, each in enumerate(data, start=first)]


def lengths(stored: list[StoredChunk]) -> list[tuple[int, int]]:
    return [(chunk.sequence, chunk.length) for chunk in stored]


def the_file(folder: Path) -> Path:
    (only,) = folder.iterdir()
    return only


def test_appended_chunks_are_recovered(tmp_path: Path) -> None:
    stored = Segments(tmp_path).append(chunks(DATA))

    found = Segments(tmp_path).recover([], 0)

    assert found == stored
    assert [each.digest for each in found] == [hashlib.sha256(each).digest() for each in DATA]
    assert the_file(tmp_path).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("left", range(1, HEAD_BYTES + 4, 9))
def test_only_an_incomplete_last_record_is_removed(tmp_path: Path, left: int) -> None:
    stored = Segments(tmp_path).append(chunks(DATA))
    os.truncate(the_file(tmp_path), stored[-1].offset + left)

    again = Segments(tmp_path)
    found = again.recover([], 0)
    more = again.append(chunks([b"again"], first=3))

    assert found == stored[:3]
    assert Segments(tmp_path).recover([], 0) == [*found, *more]


@pytest.mark.parametrize("at", [3, 20, HEAD_BYTES - 2, HEAD_BYTES + 1])
def test_a_damaged_record_is_removed_with_all_after_it(tmp_path: Path, at: int) -> None:
    stored = Segments(tmp_path).append(chunks(DATA))
    raw = bytearray(the_file(tmp_path).read_bytes())
    raw[stored[2].offset + at] ^= 1
    the_file(tmp_path).write_bytes(raw)

    assert Segments(tmp_path).recover([], 0) == stored[:2]
    assert the_file(tmp_path).stat().st_size == stored[2].offset


def test_recovery_returns_only_chunks_after_the_last_window(tmp_path: Path) -> None:
    stored = Segments(tmp_path).append(chunks(DATA))

    assert Segments(tmp_path).recover(lengths(stored[:2]), 0) == stored[2:]
    assert Segments(tmp_path).recover(lengths(stored), 0) == []


def test_a_full_segment_is_followed_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_SEGMENT_BYTES", 100)
    segments = Segments(tmp_path)
    stored = [segments.append(chunks([bytes(60)], first=number))[0] for number in range(5)]

    assert len(list(tmp_path.iterdir())) == 5
    assert Segments(tmp_path).recover([], 0) == stored
    assert segments.size() == 5 * (60 + HEAD_BYTES)
    for number in range(5):
        assert segments.read(lengths(stored[: number + 1]), stored[0].offset) == bytes(60)


def test_a_segment_after_a_gap_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SEGMENT_BYTES", 1)
    segments = Segments(tmp_path)
    stored = [segments.append(chunks([b"some"], first=number))[0] for number in range(4)]
    sorted(tmp_path.iterdir())[1].unlink()

    assert Segments(tmp_path).recover([], 0) == stored[:1]
    assert len(list(tmp_path.iterdir())) == 1


def test_the_data_of_each_chunk_can_be_read(tmp_path: Path) -> None:
    segments = Segments(tmp_path)
    stored = segments.append(chunks(DATA))

    for number, data in enumerate(DATA):
        assert segments.read(lengths(stored[: number + 1]), 0) == data
    assert segments.read([(9, 4)], 0) is None


def test_forget_deletes_all_segments_but_the_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_SEGMENT_BYTES", 1)
    segments = Segments(tmp_path)
    stored = [segments.append(chunks([b"some"], first=number))[0] for number in range(4)]

    segments.forget(99, 0)

    assert len(list(tmp_path.iterdir())) == 1
    assert segments.read(lengths(stored[:1]), 0) is None
    assert segments.read(lengths(stored), 0) == b"some"


def test_an_old_segment_is_followed_by_another_so_that_it_can_be_deleted(tmp_path: Path) -> None:
    segments = Segments(tmp_path)
    segments.append([chunk(0, b"old", received_ms=1000)])
    segments.forget(0, before_ms=2000)
    segments.append([chunk(1, b"new", received_ms=3000)])
    segments.append([chunk(2, b"too", received_ms=3001)])

    assert len(list(tmp_path.iterdir())) == 2


def test_a_full_disk_does_not_damage_earlier_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segments = Segments(tmp_path)
    stored = segments.append(chunks([b"safe"]))

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fdatasync", full)
        with pytest.raises(OSError, match="No space left"):
            segments.append(chunks([b"lost"], first=1))

    assert the_file(tmp_path).stat().st_size == HEAD_BYTES + 4
    stored += segments.append(chunks([b"again"], first=1))
    assert Segments(tmp_path).recover([], 0) == stored


def test_a_partial_write_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.writev

    def short(file: int, parts: list[bytes]) -> int:
        return whole(file, [parts[0], parts[1][:1]])

    monkeypatch.setattr(os, "writev", short)
    stored = Segments(tmp_path).append(chunks(DATA))

    assert Segments(tmp_path).recover([], 0) == stored


def test_many_small_chunks_are_written_in_several_calls(tmp_path: Path) -> None:
    many = [b"%d" % number for number in range(2 * module.MAX_CHUNKS_PER_WRITE + 3)]
    stored = Segments(tmp_path).append(chunks(many))

    assert [each.length for each in Segments(tmp_path).recover([], 0)] == list(map(len, many))
    assert stored[-1].sequence == len(many) - 1
