"""Random damage to the files of a stream service, compared with what it had acknowledged.

Nothing acknowledged is served wrong, and what cannot be served is reported. A stream goes on only
where it had stopped, and its files are never changed but for a torn end. The scrub finds what the
service finds.
"""

from __future__ import annotations

import hashlib
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from dragon import errors
from dragon_stream import segments
from dragon_stream.scrub import check_folder
from dragon_stream.streams import Stream, StreamConfig
from local_streams import LocalStreams, cold_chain, with_readings

CASES: Final = 20  # of each seed


@dataclass
class Scenario:
    """A folder, what its service had acknowledged, and a copy from while it was running."""

    folder: Path
    earlier: Path
    acknowledged: dict[bytes, list[bytes]] = field(default_factory=dict)

    @classmethod
    def make(cls, folder: Path, draw: random.Random) -> Scenario:
        made = cls(folder / "whole", folder / "earlier")
        service = LocalStreams(made.folder, draw)
        plain = StreamConfig("one", "standard", 300, draw.choice([2, 4]), 1000, "message", 60)
        read = with_readings(cold_chain(length=300), draw.choice([2, 4]), "other")
        for config in (plain, read):
            made.acknowledged[service.streams.create(config)[0].id] = []
        turns = draw.randrange(4, 9)
        for turn in range(turns):
            for stream in service.streams.all():
                data = [made.message(draw) for _ in range(draw.randrange(1, 5))]
                service.upload(stream, *data)
                made.acknowledged[stream.id] += data
                if draw.random() < 0.8:
                    service.close_windows(stream)
            if turn == turns // 2:
                shutil.copytree(made.folder, made.earlier)
        service.close()
        return made

    @staticmethod
    def message(draw: random.Random) -> bytes:
        size = draw.choice([0, 1, 20, 150, 300])
        return draw.choice([draw.randbytes, bytes, b"4.00".ljust])(size)


# Damage: what a disk, a file system or a person does to a file


def truncate(raw: bytes, draw: random.Random) -> bytes:
    return raw[: draw.randrange(len(raw) + 1)]


def flip(raw: bytes, draw: random.Random) -> bytes:
    broken = bytearray(raw)
    for _ in range(draw.choice([1, 1, 20])):
        broken[draw.randrange(len(broken))] ^= 1 << draw.randrange(8)
    return bytes(broken)


def zero_the_end(raw: bytes, draw: random.Random) -> bytes:
    kept = draw.randrange(len(raw) + 1)
    return raw[:kept] + bytes(len(raw) - kept)


def zero_a_block(raw: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(raw)) // 512 * 512
    return raw[:at] + bytes(min(512, len(raw) - at)) + raw[at + 512 :]


def append(raw: bytes, draw: random.Random) -> bytes:
    return raw + draw.choice([draw.randbytes, bytes])(draw.randrange(1, 9000))


CHANGES: Final[list[Callable[[bytes, random.Random], bytes]]] = [
    *(truncate, flip, zero_the_end, zero_a_block, append),
]


def files(folder: Path) -> list[Path]:
    names = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "lock")
    return [path for path in names if not path.name.endswith(("-wal", "-shm"))]


def damage(folder: Path, earlier: Path, draw: random.Random) -> str:
    """Damage one file. Returns what was done."""
    found = files(folder)
    if draw.random() < 0.7:
        found = [path for path in found if path.suffix == ".chunks"]
    path, other = draw.choice(found), draw.choice(found)
    raw, kind = path.read_bytes(), draw.randrange(9)
    old = earlier / path.relative_to(folder)
    if kind == 0:
        path.unlink()
    elif kind == 1:
        path.write_bytes(other.read_bytes())
        other.write_bytes(raw)
    elif kind == 2 and path.suffix == ".chunks":
        path.with_name(f"{draw.randrange(40):016d}.chunks").write_bytes(raw)
    elif kind == 3 and old.exists() and path.name != "windows.db":
        shutil.copy(old, path)
    elif raw:
        path.write_bytes(draw.choice(CHANGES)(raw, draw))
    return f"{kind} {path.relative_to(folder)}"


def contents(folder: Path) -> dict[Path, bytes]:
    found = (path for path in files(folder) if path.name != "windows.db")
    return {path.relative_to(folder): path.read_bytes() for path in found}


@pytest.mark.parametrize("seed", range(3))
def test_random_damage(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "MAX_SEGMENT_BYTES", 1500)  # so that there are several
    draw = random.Random(seed)
    scenario = Scenario.make(tmp_path, draw)
    assert check_folder(scenario.folder).is_whole
    check(scenario.folder, scenario, is_whole=True)
    shutil.rmtree(scenario.folder)
    scenario = Scenario.make(tmp_path / "again", draw)
    for number in range(CASES):
        folder = tmp_path / f"case-{number}"
        shutil.copytree(scenario.folder, folder)
        done = damage(folder, scenario.earlier, draw)
        try:
            check(folder, scenario, is_whole=scrub(folder))
        except Exception as error:
            error.add_note(f"case {number}: {done}")
            raise
        shutil.rmtree(folder)


def scrub(folder: Path) -> bool:
    """Whether everything is whole, as the scrub says."""
    before = contents(folder)
    try:
        return check_folder(folder).is_whole
    except errors.DragonError:
        return False  # the database cannot be read at all
    finally:
        assert contents(folder) == before


def check(folder: Path, scenario: Scenario, *, is_whole: bool) -> None:
    """Start a service on the folder and compare it with the truth.

    `is_whole`: what the scrub says.
    """
    before = contents(folder)
    try:
        service = LocalStreams(folder, random.Random(1))
    except errors.DragonError:
        assert not is_whole
        assert contents(folder) == before
        return
    for path, raw in contents(folder).items():  # only a torn end was cut off
        assert path.name == "acknowledged" or before[path].startswith(raw)
    streams = {stream.id: stream for stream in service.streams.all()}
    for stream, data in scenario.acknowledged.items():
        if stream in streams:
            check_stream(service, streams[stream], data, is_whole=is_whole)
        else:
            assert not is_whole
    service.close()
    stopped = {each.hex() for each, stream in streams.items() if stream.chunker.is_damaged}
    now = contents(folder)
    assert all(now[path] == raw for path, raw in before.items() if str(path.parent) in stopped)


def check_stream(
    service: LocalStreams, stream: Stream, data: list[bytes], *, is_whole: bool
) -> None:
    lost, refusals = [], []
    for sequence, expected in enumerate(data):
        try:
            assert service.receipts.data(stream, sequence) == expected
        except errors.ChunkDamaged:
            lost.append(sequence)
        except errors.NotFound as error:
            refusals.append(str(error))
    assert not [refusal for refusal in refusals if "was deleted" in refusal]
    with suppress(errors.ChunkDamaged):
        for chunk in service.receipts.digests(stream, -1, 1000):
            assert chunk.digest == hashlib.sha256(data[chunk.sequence]).digest()
    if stream.chunker.is_damaged:
        lost.append(-1)
        with pytest.raises(errors.StreamDamaged):
            service.upload(stream, b"more")
    else:
        assert stream.chunker.sequence == len(data)
        with suppress(errors.ChunkDamaged):
            service.upload(stream, b"more", b"and more")
            service.close_windows(stream)
    if lost:
        assert service.damages.of(stream.id)
        assert not is_whole
