"""Damage to the disk of a stream service: what its clients and its operator are told."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy.exc

from committees import make_members
from dragon import errors
from dragon.stark.commitment import NO_READING
from dragon.storage.database import Database
from dragon.storage.process_lock import ProcessLock
from dragon_stream.chunk_readings import ChunkReading, decode, encode
from dragon_stream.damage import Damage
from dragon_stream.records import Chunk
from dragon_stream.scrub import ReadOnlyDatabase, check_folder
from dragon_stream.store import SCHEMA, Store, checksum
from dragon_stream.streams import StreamConfig
from local_streams import LocalStreams, cold_chain, with_readings
from stream_simulation import STREAMS, StreamWorld

Stream = Mapping[str, Any]
DATA = [b"21.5", b"21.7", b"21.9"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StreamWorld]:
    """Each test makes streams of its own here, and leaves them damaged."""
    with StreamWorld(tmp_path_factory.mktemp("damage"), make_members()) as made:
        made.run(1, peers=False)
        yield made


@pytest.fixture(scope="module")
def numbers() -> Iterator[int]:
    return itertools.count()


@pytest.fixture
def streams(world: StreamWorld, numbers: Iterator[int]) -> tuple[Stream, Stream]:
    """Two streams, each with a certified window of three chunks and an open one of three."""
    number = next(numbers)
    one, other = (world.make(f"{name}-{number}", mode="message") for name in ("one", "other"))
    found = one, other
    for stream in found:
        for data in DATA:
            world.upload(stream, data)
    world.run(1, peers=False)
    for stream in found:
        assert world.states(stream) == ["certified"]
        for data in DATA:
            world.upload(stream, data + b" open")
    return found


def folder(world: StreamWorld, stream: Stream) -> Path:
    return world.data / stream["stream"].removeprefix("0x")


def segment(world: StreamWorld, stream: Stream) -> Path:
    [found] = folder(world, stream).glob("*.chunks")
    return found


def flip(path: Path, at: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[at] ^= 4
    path.write_bytes(raw)


def ask(world: StreamWorld, stream: Stream, path: str, **more: Any) -> Any:
    url = f"http://streams:5300/streams/{stream['stream']}{path}"
    headers = {"Authorization": f"Bearer {stream['token']}"}
    return world.session("owner").request(more.pop("method", "GET"), url, headers=headers, **more)


def readiness(world: StreamWorld, stream: Stream) -> list[str]:
    """The reasons about this stream and about the disk, without the stream's name."""
    answer = world.session("owner").get("http://streams:5300/readyz").json()
    name = f"damaged: {stream['name']}: "
    return [
        reason.replace(name, "damaged: ")
        for reason in answer["reasons"]
        if reason.startswith((name, "disk"))
    ]


def metric(world: StreamWorld, name: str) -> float:
    text = world.session("owner").get("http://streams:5300/metrics").text
    [line] = [line for line in text.splitlines() if line.startswith(f"{name} ")]
    return float(line.split()[1])


def contents(path: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in path.iterdir()}


def assert_stopped(world: StreamWorld, stream: Stream, other: Stream) -> None:
    """Nothing is accepted or closed for the stream, and everything for the other one."""
    refused = ask(world, stream, "/data", method="POST", data=b"more")
    assert (refused.status_code, refused.json()["title"]) == (409, "stream_damaged")
    assert ask(world, stream, "").json()["stopped"].startswith("its data on disk is damaged")
    windows = len(world.states(stream))
    world.upload(other, b"more")
    world.run(1, peers=False)
    assert len(world.states(stream)) == windows
    assert set(world.states(other)) == {"certified"}
    assert ask(world, other, "/chunks/6/data").content == b"more"


def test_a_damaged_chunk_is_never_served(
    world: StreamWorld, streams: tuple[Stream, Stream]
) -> None:
    one, other = streams
    raw = segment(world, one).read_bytes()
    flip(segment(world, one), raw.index(DATA[1]))

    answer = ask(world, one, "/chunks/1/data")

    assert (answer.status_code, answer.json()["title"]) == (500, "chunk_damaged")
    assert answer.json()["chunk"] == 1
    assert ask(world, one, "/chunks/0/data").content == DATA[0]
    assert ask(world, one, "/chunks/2/data").content == DATA[2]
    [reason] = readiness(world, one)
    assert reason.startswith("damaged: 0000000000000000.chunks at byte")
    assert reason.endswith("chunk 1: has data that differs from its digest")
    found = metric(world, "datadragon_stream_damages")
    assert found >= 1
    ask(world, one, "/chunks/1/data")
    assert metric(world, "datadragon_stream_damages") == found
    # The receipt is made from the database. It does not contain the data, and is still right.
    assert world.receipt(one, 1).opening
    world.upload(one, b"the stream goes on")
    assert readiness(world, one) == [reason]
    assert ask(world, other, "/chunks/1/data").content == DATA[1]


def test_a_chunk_whose_record_is_lost_is_not_called_deleted(
    world: StreamWorld, streams: tuple[Stream, Stream]
) -> None:
    flip(segment(world, streams[0]), 70)
    assert ask(world, streams[0], "/chunks/1/data").json()["title"] == "chunk_damaged"
    segment(world, streams[0]).rename(world.data / "elsewhere")
    assert ask(world, streams[0], "/chunks/0/data").json()["title"] == "chunk_damaged"


def test_a_segment_that_is_shorter_than_the_database_says_stops_its_stream(
    world: StreamWorld, streams: tuple[Stream, Stream]
) -> None:
    one, other = streams
    world.crash(STREAMS)
    os.truncate(segment(world, one), 90)
    before = contents(folder(world, one))

    world.restart(STREAMS)

    [reason] = readiness(world, one)
    assert reason.startswith("damaged: 0000000000000000.chunks at byte 90, chunk 2: ends")
    assert_stopped(world, one, other)
    assert contents(folder(world, one)) == before
    assert ask(world, one, "/chunks/0/data").content == DATA[0]
    assert ask(world, one, "/chunks/2/data").json()["title"] == "chunk_damaged"


def test_a_flipped_bit_in_the_open_window_stops_its_stream(
    world: StreamWorld, streams: tuple[Stream, Stream]
) -> None:
    one, other = streams
    world.crash(STREAMS)
    flip(segment(world, one), segment(world, one).read_bytes().index(b"21.7 open"))
    before = contents(folder(world, one))

    world.restart(STREAMS)

    [reason] = readiness(world, one)
    assert "chunk 4: has a broken record that was acknowledged" in reason
    assert_stopped(world, one, other)
    assert contents(folder(world, one)) == before


def test_the_retention_of_other_streams_goes_on_beside_a_damaged_one(
    world: StreamWorld, streams: tuple[Stream, Stream], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = streams
    components = world.components(STREAMS)
    damaged, forget, asked = world.known(one).id, Store.forget_proofs, list[bytes]()

    def fail(store: Store, stream: bytes, before_ms: int) -> int:
        asked.append(stream)
        if stream == damaged:
            raise errors.ChunkDamaged("windows.db is damaged")
        return forget(store, stream, before_ms)

    monkeypatch.setattr(Store, "forget_proofs", fail)
    components.pipeline.delete_expired(components.streams)
    assert world.known(other).id in asked[asked.index(damaged) :]


def test_when_the_files_are_put_back_the_stream_goes_on(
    world: StreamWorld, streams: tuple[Stream, Stream]
) -> None:
    one, _ = streams
    world.crash(STREAMS)
    shutil.move(folder(world, one), world.folder / "kept")
    world.restart(STREAMS)
    assert "is missing" in readiness(world, one)[0]
    assert not folder(world, one).exists()

    world.crash(STREAMS)
    shutil.move(world.folder / "kept", folder(world, one))
    world.restart(STREAMS)

    assert readiness(world, one) == []
    world.upload(one, b"again")
    world.run(1, peers=False)
    assert ask(world, one, "/chunks/6/data").content == b"again"


def test_an_old_copy_of_everything_is_found_by_the_ledger(
    world: StreamWorld, streams: tuple[Stream, Stream]
) -> None:
    """Its windows would get numbers that are taken."""
    one, other = streams
    world.crash(STREAMS)
    shutil.copytree(world.data, world.folder / "old")
    world.restart(STREAMS)
    world.run(1, peers=False)
    assert len(world.states(one)) == 2

    world.crash(STREAMS)
    shutil.rmtree(world.data)
    shutil.move(world.folder / "old", world.data)
    world.restart(STREAMS)
    world.step_pipeline()

    for stream in (one, other):
        assert len(world.states(stream)) == 1
        assert "it is an old copy" in ask(world, stream, "").json()["stopped"]


def test_data_of_streams_that_the_database_lacks_is_not_met_with_silence(
    world: StreamWorld, streams: tuple[Stream, Stream]
) -> None:
    """Without `windows.db` the service would begin anew, as if there had never been a stream."""
    world.crash(STREAMS)
    segments = {stream["stream"]: contents(folder(world, stream)) for stream in streams}
    kept = {each.name: each.read_bytes() for each in world.data.glob("windows.db*")}
    for name in kept:
        (world.data / name).unlink()
    world.restart(STREAMS)

    reasons = world.session("owner").get("http://streams:5300/readyz").json()["reasons"]
    what = "holds segments of a stream that windows.db does not know"
    for stream in streams:
        assert f"damaged: {folder(world, stream).name}: {what}" in reasons
        assert contents(folder(world, stream)) == segments[stream["stream"]]
    assert metric(world, "datadragon_stream_damages") >= len(streams)

    world.crash(STREAMS)
    for path in world.data.glob("windows.db*"):
        path.unlink()
    for name, raw in kept.items():
        (world.data / name).write_bytes(raw)
    world.restart(STREAMS)
    assert not any(what in each for each in readiness(world, streams[0]))


def test_lost_segments_are_named(world: StreamWorld, streams: tuple[Stream, Stream]) -> None:
    world.crash(STREAMS)
    segment(world, streams[0]).unlink()
    world.restart(STREAMS)
    assert readiness(world, streams[0]) == ["damaged: 0000000000000000.chunks, chunk 0: is missing"]


def test_a_listener_is_told_of_damage(
    world: StreamWorld, streams: tuple[Stream, Stream], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[str, object]] = []
    events = world.components(STREAMS).events
    monkeypatch.setattr(
        events, "publish", lambda _, kind, **facts: sent.append((kind, facts["chunk"]))
    )
    flip(segment(world, streams[0]), segment(world, streams[0]).read_bytes().index(DATA[0]))
    ask(world, streams[0], "/chunks/0/data")
    assert sent == [("damaged", 0)]


def test_a_wrong_log_position_gives_no_receipt(
    world: StreamWorld, streams: tuple[Stream, Stream]
) -> None:
    one, other = streams
    row = world.row(other, 0)
    world.components(STREAMS).store.certify(world.known(one).id, 0, row.position)
    answer = ask(world, one, "/chunks/0/receipt?disclose=1")
    assert (answer.status_code, answer.json()["title"]) == (500, "chunk_damaged")


def test_a_full_disk_refuses_uploads_until_there_is_space(
    world: StreamWorld, streams: tuple[Stream, Stream], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = streams

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fdatasync", full)
        broken.setattr(os, "fsync", full)
        answer = ask(world, one, "/data", method="POST", data=b"more")
        assert (answer.status_code, answer.json()["title"]) == (507, "disk_full")
        assert [reason[:5] for reason in readiness(world, one)] == ["disk:"]
    assert ask(world, one, "").json()["chunks"] == 6
    assert world.upload(one, b"more")["sequence"] == 7
    world.run(1, peers=False)
    assert ask(world, one, "/chunks/6/data").content == b"more"


# -- the scrub -----------------------------------------------------------------------------------


def test_the_scrub_reads_everything(world: StreamWorld, streams: tuple[Stream, Stream]) -> None:
    one, other = streams
    names = {one["name"], other["name"]}
    world.crash(STREAMS)
    found = [each for each in check_folder(world.data).streams if each.name in names]
    assert [(each.chunks, each.windows, each.damages) for each in found] == [(6, 1, []), (6, 1, [])]
    flip(segment(world, one), segment(world, one).read_bytes().index(b"21.7"))
    flip(segment(world, other), 3)
    (world.data / "ab").mkdir()
    (world.data / "ab" / "0000000000000000.chunks").write_bytes(b"")

    report = check_folder(world.data)
    world.restart(STREAMS)

    found = [each for each in report.streams if each.name in names]
    [data], [head] = (each.damages for each in found)
    assert (data.chunk, data.what) == (1, "has data that differs from its digest")
    assert (head.chunk, head.what) == (0, "chunks 0 to 0 are broken before here")
    assert [each.chunks for each in found] == [5, 5]
    assert [damage.file for damage in report.damages] == ["ab"]
    assert not report.is_whole


def test_a_stream_whose_id_is_lost_is_reported(
    world: StreamWorld, streams: tuple[Stream, Stream]
) -> None:
    """SQLite allows NULL in a primary key, and damage can bring it there."""
    one, other = streams
    world.crash(STREAMS)
    kept = (world.data / "windows.db").read_bytes()
    with closing(sqlite3.connect(world.data / "windows.db")) as connection, connection:
        lose = "UPDATE own_streams SET stream = NULL WHERE name = ?"
        connection.execute(lose, (one["name"],))

    report = check_folder(world.data)
    world.restart(STREAMS)

    what = f"has a damaged row of the stream {one['name']}"
    assert [each.what for each in report.damages if each.file == "windows.db"] == [what]
    assert one["name"] not in {each.name for each in report.streams}
    reasons = world.session("owner").get("http://streams:5300/readyz").json()["reasons"]
    assert any(one["name"] in each for each in reasons)
    config = StreamConfig(one["name"], "standard", 300, 3, 1000, "message", 60)
    with pytest.raises(errors.StreamDamaged):
        world.components(STREAMS).streams.create(config)
    assert ask(world, other, "").status_code == 200

    world.crash(STREAMS)
    (world.data / "windows.db").write_bytes(kept)
    world.restart(STREAMS)
    assert ask(world, one, "").status_code == 200


def test_the_scrub_says_why_the_database_cannot_be_read(
    world: StreamWorld, streams: tuple[Stream, Stream], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR
        raise error

    assert streams
    with monkeypatch.context() as broken:
        broken.setattr(ReadOnlyDatabase, "query", fail)
        with pytest.raises(errors.LogDamaged, match="cannot be read: the disk reports an error"):
            check_folder(world.data, running=True)


def test_the_scrub_refuses_a_running_service_and_other_folders(
    world: StreamWorld, streams: tuple[Stream, Stream], tmp_path: Path
) -> None:
    lock = ProcessLock.on_folder(world.data)
    with pytest.raises(errors.InUse):
        check_folder(world.data)
    assert check_folder(world.data, running=True).streams
    lock.close()
    with pytest.raises(errors.NotFound, match="it has no windows"):
        check_folder(tmp_path)


def test_no_flipped_byte_of_the_database_changes_what_is_served(
    world: StreamWorld, streams: tuple[Stream, Stream]
) -> None:
    """A row is as it was stored, or missing, or a typed error."""
    components = world.components(STREAMS)
    expected = {
        stream.row.name: (stream.row, components.store.last_window(stream.id))
        for stream in components.streams.all()
    }
    world.crash(STREAMS)
    path = world.data / "windows.db"
    whole = path.read_bytes()
    assert not path.with_name("windows.db-wal").exists()
    for at in random.Random(5).sample(range(len(whole)), 60):
        broken = bytearray(whole)
        broken[at] ^= 0x10
        path.write_bytes(broken)
        assert_rows_are_exact_or_refused(path, expected)
    path.write_bytes(whole)
    world.restart(STREAMS)


def assert_rows_are_exact_or_refused(path: Path, expected: dict[str, tuple[Any, Any]]) -> None:
    try:
        database = Database(path, SCHEMA)
    except (errors.LogError, UnicodeDecodeError):
        return
    store = Store(database)
    try:
        for row in store.streams():
            if store.is_whole(row):
                stream, window = expected[row.name]
                found = store.last_window(row.stream)
                assert row == stream
                if found is not None and found.number == window.number:
                    assert found.header == window.header
                    assert (found.total, found.offset) == (window.total, window.offset)
                    assert (found.chunks, found.digests) == (window.chunks, window.digests)
                    assert found.proof in (None, window.proof)
    except (errors.ChunkDamaged, errors.LogError, sqlalchemy.exc.DatabaseError):
        pass
    finally:
        database.close()


# -- streams with readings -----------------------------------------------------------------------


def change_readings(folder: Path, change: Callable[[ChunkReading], ChunkReading]) -> None:
    """Change what the database keeps of the first chunk of window 0, with a valid checksum."""
    with closing(sqlite3.connect(folder / "windows.db")) as connection, connection:
        query = "SELECT stream, number, statement, readings FROM own_window_readings"
        stream, number, statement, raw = connection.execute(f"{query} WHERE number = 0").fetchone()
        first, *others = decode(raw)
        readings = encode([change(first), *others])
        crc = checksum([stream, number, statement, readings])
        update = "UPDATE own_window_readings SET readings = ?, crc = ? WHERE number = 0"
        connection.execute(update, (readings, crc))


@pytest.mark.parametrize(
    "change",
    [
        lambda kept: replace(kept, value=kept.value + 1),
        lambda kept: replace(kept, value=NO_READING),
        lambda kept: replace(kept, length=kept.length + 1),
    ],
)
def test_the_scrub_compares_readings_with_the_data(
    tmp_path: Path, change: Callable[[ChunkReading], ChunkReading]
) -> None:
    local = LocalStreams(tmp_path, random.Random(1))
    stream, _ = local.streams.create(with_readings(cold_chain()))
    local.upload(stream, b"4.00", b"none", b"4.10")
    local.close_windows(stream)
    local.close()
    assert check_folder(tmp_path).is_whole

    change_readings(tmp_path, change)

    [found] = check_folder(tmp_path).streams
    assert [damage.what for damage in found.damages] == ["has another reading than windows.db"]
    assert (found.damages[0].chunk, found.chunks) == (0, 2)


def test_the_scrub_reports_data_that_is_too_long_for_the_readings(tmp_path: Path) -> None:
    local = LocalStreams(tmp_path, random.Random(1))
    stream, _ = local.streams.create(with_readings(cold_chain(length=12)))
    local.upload(stream, b"4.00")
    data = b"4.10".ljust(13)
    stream.chunker.segments.append([Chunk(1, 1_000_999, hashlib.sha256(data).digest(), data, 410)])
    local.close()

    [found] = check_folder(tmp_path).streams

    what = "has more data than 12 bytes, the stream's `length`"
    assert [(each.chunk, each.what) for each in found.damages] == [(1, what)]


def test_readings_that_cannot_be_decoded_are_damage(tmp_path: Path) -> None:
    local = LocalStreams(tmp_path, random.Random(1))
    local.streams.create(with_readings(cold_chain()))
    local.close()
    with closing(sqlite3.connect(tmp_path / "windows.db")) as connection, connection:
        connection.execute("UPDATE own_streams SET readings = '{}'")

    [found] = check_folder(tmp_path).streams

    assert [each.what.partition(":")[0] for each in found.damages] == [
        "has a damaged row of the stream",
        "has invalid readings of the stream",
    ]


@pytest.mark.parametrize(
    ("damage", "public"),
    [
        (
            Damage("0000000000000064.chunks", 512, 70, "ends at byte 512, before byte 700"),
            "*.chunks: is damaged; run `dragon stream check` on the data folder to find the place",
        ),
        (Damage("acknowledged", 0, None, "is broken"), "acknowledged: is broken"),
        (Damage("windows.db", None, 70, "lacks window 3"), "windows.db, chunk 70: lacks window 3"),
    ],
)
def test_public_damage_names_no_place_in_segments(damage: Damage, public: str) -> None:
    assert str(damage.without_sizes()) == public


# -- last: it leaves rows that SQLite cannot read --------------------


def make_unreadable(world: StreamWorld, stream: Stream) -> None:
    """Damage the rows of all windows of a stream, so that SQLite itself refuses to read them."""
    change = (
        "UPDATE own_windows SET header = CAST(x'ff' AS TEXT), state = 'proven' WHERE stream = ?"
    )
    with closing(sqlite3.connect(world.data / "windows.db")) as connection, connection:
        connection.execute(change, (bytes.fromhex(stream["stream"][2:]),))


def test_a_row_that_sqlite_cannot_read_stops_its_stream_and_no_other(
    world: StreamWorld, streams: tuple[Stream, Stream]
) -> None:
    one, other = streams
    make_unreadable(world, one)

    answer = ask(world, one, "/windows/0")
    assert (answer.status_code, answer.json()["title"]) == (500, "chunk_damaged")
    world.components(STREAMS).pipeline.load(world.components(STREAMS).streams)
    world.upload(other, b"more")
    world.run(1, peers=False)
    assert set(world.states(other)) == {"certified"}
    [reason] = readiness(world, one)
    assert reason == "damaged: windows.db: is damaged: text is not UTF-8"

    world.crash(STREAMS)
    make_unreadable(world, one)
    world.restart(STREAMS)
    assert reason in readiness(world, one)
    refused = ask(world, one, "/data", method="POST", data=b"more")
    assert (refused.status_code, refused.json()["title"]) == (409, "stream_damaged")
    assert ask(world, other, "/chunks/6/data").content == b"more"
