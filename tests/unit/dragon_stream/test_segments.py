"""Chunks on disk: whatever a crash leaves of the last write, what was kept is found again whole."""

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


def places(kept: list[StoredChunk]) -> list[tuple[int, int]]:
    return [(each.sequence, each.length) for each in kept]


def the_file(folder: Path) -> Path:
    (only,) = folder.iterdir()
    return only


def test_what_was_appended_is_found_again(tmp_path: Path) -> None:
    kept = Segments(tmp_path).append(chunks(DATA))

    found = Segments(tmp_path).recover([], 0)

    assert found == kept
    assert [each.digest for each in found] == [hashlib.sha256(each).digest() for each in DATA]
    assert the_file(tmp_path).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("left", range(1, HEAD_BYTES + 4, 9))
def test_a_record_that_is_cut_short_goes_and_all_before_it_stays(tmp_path: Path, left: int) -> None:
    kept = Segments(tmp_path).append(chunks(DATA))
    os.truncate(the_file(tmp_path), kept[-1].at + left)

    again = Segments(tmp_path)
    found = again.recover([], 0)
    more = again.append(chunks([b"again"], first=3))

    assert found == kept[:3]
    assert Segments(tmp_path).recover([], 0) == [*found, *more]


@pytest.mark.parametrize("at", [3, 20, HEAD_BYTES - 2, HEAD_BYTES + 1])
def test_a_record_with_a_wrong_byte_goes_with_all_behind_it(tmp_path: Path, at: int) -> None:
    kept = Segments(tmp_path).append(chunks(DATA))
    raw = bytearray(the_file(tmp_path).read_bytes())
    raw[kept[2].at + at] ^= 1
    the_file(tmp_path).write_bytes(raw)

    assert Segments(tmp_path).recover([], 0) == kept[:2]
    assert the_file(tmp_path).stat().st_size == kept[2].at


def test_only_what_lies_behind_the_last_window_is_looked_for(tmp_path: Path) -> None:
    kept = Segments(tmp_path).append(chunks(DATA))

    assert Segments(tmp_path).recover(places(kept[:2]), 0) == kept[2:]
    assert Segments(tmp_path).recover(places(kept), 0) == []


def test_a_segment_is_followed_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST", 100)
    own = Segments(tmp_path)
    kept = [own.append(chunks([bytes(60)], first=number))[0] for number in range(5)]

    assert len(list(tmp_path.iterdir())) == 5
    assert Segments(tmp_path).recover([], 0) == kept
    assert own.size() == 5 * (60 + HEAD_BYTES)
    for number in range(5):
        assert own.read(places(kept[: number + 1]), kept[0].at) == bytes(60)


def test_a_segment_that_nothing_leads_up_to_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LARGEST", 1)
    own = Segments(tmp_path)
    kept = [own.append(chunks([b"some"], first=number))[0] for number in range(4)]
    sorted(tmp_path.iterdir())[1].unlink()

    assert Segments(tmp_path).recover([], 0) == kept[:1]
    assert len(list(tmp_path.iterdir())) == 1


def test_data_is_read_back_by_its_place(tmp_path: Path) -> None:
    own = Segments(tmp_path)
    kept = own.append(chunks(DATA))

    for number, data in enumerate(DATA):
        assert own.read(places(kept[: number + 1]), 0) == data
    assert own.read([(9, 4)], 0) is None


def test_what_is_forgotten_is_gone_and_the_newest_segment_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LARGEST", 1)
    own = Segments(tmp_path)
    kept = [own.append(chunks([b"some"], first=number))[0] for number in range(4)]

    own.forget(99, 0)

    assert len(list(tmp_path.iterdir())) == 1
    assert own.read(places(kept[:1]), 0) is None
    assert own.read(places(kept), 0) == b"some"


def test_an_old_segment_is_followed_by_another_so_that_it_can_go(tmp_path: Path) -> None:
    own = Segments(tmp_path)
    own.append([chunk(0, b"old", received_ms=1000)])
    own.forget(0, before_ms=2000)
    own.append([chunk(1, b"new", received_ms=3000)])
    own.append([chunk(2, b"too", received_ms=3001)])

    assert len(list(tmp_path.iterdir())) == 2


def test_a_disk_that_is_full_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Segments(tmp_path)
    kept = own.append(chunks([b"safe"]))

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fdatasync", full)
        with pytest.raises(OSError, match="No space left"):
            own.append(chunks([b"lost"], first=1))

    assert the_file(tmp_path).stat().st_size == HEAD_BYTES + 4
    kept += own.append(chunks([b"again"], first=1))
    assert Segments(tmp_path).recover([], 0) == kept


def test_a_write_that_comes_short_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = os.writev

    def short(file: int, parts: list[bytes]) -> int:
        return whole(file, [parts[0], parts[1][:1]])

    monkeypatch.setattr(os, "writev", short)
    kept = Segments(tmp_path).append(chunks(DATA))

    assert Segments(tmp_path).recover([], 0) == kept


def test_many_small_chunks_are_written_at_once(tmp_path: Path) -> None:
    many = [b"%d" % number for number in range(2 * module.TOGETHER + 3)]
    kept = Segments(tmp_path).append(chunks(many))

    assert [each.length for each in Segments(tmp_path).recover([], 0)] == list(map(len, many))
    assert kept[-1].sequence == len(many) - 1
