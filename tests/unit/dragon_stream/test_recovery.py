"""A start after a crash, after damage, and with files of different ages.

Everything that was acknowledged is found exactly as it was, or is reported as damaged; damage
changes no file.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dragon_stream import records
from dragon_stream import segments as module
from dragon_stream.acknowledged import NAME as ACKNOWLEDGED
from dragon_stream.records import HEAD_BYTES, Chunk, StoredChunk, find_later, head_of
from dragon_stream.recovery import Closed, Recovered
from dragon_stream.segments import Segments

DATA = [b"21.5", b"", b"3", b"21.75", b"6", b"77"]
CLOSED = 2  # chunks in the closed window
SEGMENT_BYTES = 3 * HEAD_BYTES  # so that the chunks lie in two segments


def chunk(sequence: int, data: bytes) -> Chunk:
    return Chunk(sequence, 1_732_522_000_000, hashlib.sha256(data).digest(), data)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stream with a closed window and four more chunks, in two segments."""
    monkeypatch.setattr(module, "MAX_SEGMENT_BYTES", SEGMENT_BYTES)
    made = tmp_path / "stream"
    segments = Segments(made)
    segments.recover()
    for sequence, data in enumerate(DATA):
        segments.append([chunk(sequence, data)])
        if sequence == CLOSED:
            segments.window_closed(1)
    segments.close()
    assert len(files(made)) == 2
    return made


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.chunks"))


def closed() -> Closed:
    return Closed(1, [(sequence, len(DATA[sequence])) for sequence in range(CLOSED)])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def recover(folder: Path) -> tuple[Segments, Recovered]:
    segments = Segments(folder, create=False)
    return segments, segments.recover(closed())


def holds_property(folder: Path, before: dict[str, bytes]) -> bool:
    """Whether everything acknowledged is whole, or damage is reported and no file changed."""
    segments, found = recover(folder)
    if found.damage is None:
        expected = [hashlib.sha256(data).digest() for data in DATA[CLOSED:]]
        return [each.digest for each in found.stored] == expected and all(
            is_served_or_refused(segments, sequence) for sequence in range(CLOSED)
        )
    return contents(folder) == before


def is_served_or_refused(segments: Segments, sequence: int) -> bool:
    lengths = [(each, len(DATA[each])) for each in range(sequence + 1)]
    try:
        return segments.read(lengths, 0, hashlib.sha256(DATA[sequence]).digest()) == DATA[sequence]
    except module.Damaged:
        return True


def test_a_whole_folder_is_recovered(folder: Path) -> None:
    before = contents(folder)
    _, found = recover(folder)

    assert found.damage is None
    assert [each.sequence for each in found.stored] == [2, 3, 4, 5]
    assert contents(folder) == before


def test_each_flipped_byte_is_found_or_harmless(folder: Path) -> None:
    for path in (*files(folder), folder / ACKNOWLEDGED):
        whole = path.read_bytes()
        for at in range(len(whole)):
            for mask in (1, 0x80):
                broken = bytearray(whole)
                broken[at] ^= mask
                path.write_bytes(broken)
                assert holds_property(folder, contents(folder)), (path.name, at, mask)
        path.write_bytes(whole)
        assert recover(folder)[1].damage is None


def test_each_truncation_is_found(folder: Path) -> None:
    for path in (*files(folder), folder / ACKNOWLEDGED):
        whole = path.read_bytes()
        for size in range(len(whole)):
            path.write_bytes(whole[:size])
            before = contents(folder)
            _, found = recover(folder)
            assert found.damage is not None, (path.name, size)
            assert contents(folder) == before
        path.write_bytes(whole)


def test_each_missing_file_is_found(folder: Path, tmp_path: Path) -> None:
    for path in files(folder):
        kept = path.rename(tmp_path / "kept")
        _, found = recover(folder)
        assert found.damage is not None, path.name
        kept.rename(path)
    shutil.rmtree(folder)
    _, found = recover(folder)
    assert found.damage is not None
    assert not folder.exists()


def test_bytes_behind_the_end_are_cut_off(folder: Path) -> None:
    """A crash during a write that was not acknowledged, at each of its bytes."""
    newest = files(folder)[-1]
    whole, added = newest.read_bytes(), chunk(6, b"never acknowledged")
    record = head_of(added, 0) + added.data
    for size in range(1, len(record)):
        newest.write_bytes(whole + record[:size])
        _, found = recover(folder)
        assert (found.damage, len(found.stored)) == (None, 4), size
        assert newest.read_bytes() == whole


def records_of(data: list[bytes], first: int, *, together: bool) -> list[bytes]:
    chunks = [chunk(sequence, each) for sequence, each in enumerate(data, start=first)]
    return [
        head_of(each, position if together else 0) + each.data
        for position, each in enumerate(chunks)
    ]


@pytest.mark.parametrize("together", [True, False])
def test_a_power_failure_may_tear_a_write_in_its_middle(folder: Path, together: bool) -> None:
    """Records of one write were acknowledged together or not at all; others follow a disk sync."""
    newest = files(folder)[-1]
    whole = newest.read_bytes()
    first, second, third = records_of([b"a" * 30, b"b" * 30, b"c"], 6, together=together)
    newest.write_bytes(whole + first + bytes(len(second)) + third)

    _, found = recover(folder)

    assert [each.sequence for each in found.stored] == [2, 3, 4, 5, 6]
    if together:
        assert found.damage is None
        assert newest.read_bytes() == whole + first
    else:
        assert found.damage is not None
        assert found.damage.what == "has a broken record before whole ones, from chunk 8 on"


def drop_bounds(folder: Path) -> None:
    (folder / ACKNOWLEDGED).unlink()


def test_a_folder_of_an_earlier_release_is_accepted(folder: Path) -> None:
    drop_bounds(folder)
    _, found = recover(folder)
    assert (found.damage, len(found.stored)) == (None, 4)
    assert (folder / ACKNOWLEDGED).exists()


def test_without_bounds_a_broken_record_before_whole_ones_is_damage(folder: Path) -> None:
    drop_bounds(folder)
    newest = files(folder)[-1]
    raw = bytearray(newest.read_bytes())
    raw[HEAD_BYTES - 1] ^= 1
    newest.write_bytes(raw)
    _, found = recover(folder)
    assert found.damage is not None
    assert newest.read_bytes() == raw


OLD_COPIES: dict[str, Callable[[Path], Closed]] = {
    # The database is a copy from before the first window was closed.
    "database": lambda _: Closed(),
    # The segments are a copy from before the database's last window.
    "segments": lambda _: Closed(9, [(0, len(DATA[0])), (1, 0), (2, 1), *((n, 1) for n in (7, 8))]),
}


@pytest.mark.parametrize("old", OLD_COPIES)
def test_files_of_different_ages_are_damage(folder: Path, old: str) -> None:
    before = contents(folder)
    found = Segments(folder).recover(OLD_COPIES[old](folder))
    assert found.damage is not None
    assert contents(folder) == before


def test_another_segment_of_the_same_length_is_damage(folder: Path) -> None:
    """The last record of the closed window is compared with the database's."""
    first = files(folder)[0]
    size = first.stat().st_size
    first.write_bytes(os.urandom(size))
    _, found = recover(folder)
    assert found.damage is not None
    assert found.damage.chunk == CLOSED - 1


def test_retention_is_no_damage(folder: Path) -> None:
    segments = Segments(folder)
    segments.recover(closed())
    names = files(folder)
    segments.forget(4, 0)
    assert len(files(folder)) == 1

    later = Closed(2, [(sequence, len(DATA[sequence])) for sequence in range(2, 4)], 0)
    again = Segments(folder)
    found = again.recover(later)

    assert found.damage is None
    assert again.read([(0, 4)], 0, bytes(32)) is None
    (folder / names[-1].name).unlink()
    assert Segments(folder).recover(later).damage is not None


POSITIONS = [(5, 6), (254, 255), (255, 256), (255, 257), (65_534, 65_536), (2**24 - 1, 2**24)]


@pytest.mark.parametrize(("broken", "whole"), POSITIONS)
@pytest.mark.parametrize("filler", [b"\0", b"\xff"])
def test_a_whole_record_is_found_behind_anything(broken: int, whole: int, filler: bytes) -> None:
    [record] = records_of([b"data"], whole, together=False)
    raw = filler * 200 + record

    found = find_later(raw, 0, broken)

    assert found is not None
    assert (found[0], found[1].sequence) == (200, whole)
    assert find_later(raw, 201, broken) is None
    assert find_later(raw, 0, whole) is None


def test_the_search_passes_a_large_hole() -> None:
    assert find_later(bytes(4 << 20), 0, 7) is None


def test_a_large_write_is_synced_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CHUNKS_PER_SYNC", 3)
    stored: list[StoredChunk] = Segments(tmp_path).append([chunk(n, b"%d" % n) for n in range(8)])
    [segment] = files(tmp_path)
    raw = segment.read_bytes()
    heads = [records.parse_head(raw[each.offset :][:HEAD_BYTES]) for each in stored]
    assert [head.position for head in heads if head] == [0, 1, 2, 0, 1, 2, 0, 1]
    assert Segments(tmp_path).recover().stored == stored
