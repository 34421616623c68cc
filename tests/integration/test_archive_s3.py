"""The archive in a bucket of a real S3 server, over HTTP, with every failure on the way."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dragon.errors import ArchiveUnavailable, ChunkDamaged
from dragon_stream.archive.objects import Kind, ObjectDiffers, ObjectMissing, State, check_stored
from dragon_stream.archive.s3 import S3ObjectStore
from dragon_stream.archive.settings import ArchiveSettings
from dragon_stream.streams import Stream, StreamConfig
from object_stores import ArchivedStreams
from s3_server import ACCESS_KEY, SECRET_KEY, Answer, Proxy, S3Server, s3_server

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

CONFIG = StreamConfig("one", "standard", 65_536, 4, 1000, "message", 3600)
DATA = [b"%03d" % number * 100 for number in range(24)]
SMALL = 7000  # bytes of room


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as running:
        yield running


@pytest.fixture
def proxy(server: S3Server) -> Iterator[Proxy]:
    server.make_bucket("bucket")
    with Proxy(server.port) as running:
        yield running


def settings(url: str, bucket: str = "bucket") -> ArchiveSettings:
    return ArchiveSettings(
        bucket, "a/b/", SMALL, endpoint=url, access_key=ACCESS_KEY, secret_key=SECRET_KEY
    )


def connect(url: str, bucket: str = "bucket", seconds: float = 5.0) -> S3ObjectStore:
    return S3ObjectStore(settings(url, bucket), read_seconds=seconds, transfer_seconds=seconds)


@pytest.fixture
def store(proxy: Proxy) -> S3ObjectStore:
    return connect(proxy.url)


def test_objects_are_stored_read_in_parts_listed_and_deleted(store: S3ObjectStore) -> None:
    data = bytes(range(256)) * 10_000
    store.put("stream/x.chunks", data)
    store.put("stream/x.chunks", data)
    body = store.get("stream/x.chunks")
    assert (body.size, b"".join(body.pieces)) == (len(data), data)
    part = store.get("stream/x.chunks", 1000, 70)
    assert (part.size, b"".join(part.pieces)) == (len(data), data[1000:1070])
    assert store.size("stream/x.chunks") == len(data)
    assert list(store.names("stream")) == ["stream/x.chunks"]
    store.delete("stream/x.chunks")
    store.delete("stream/x.chunks")
    assert list(store.names("stream")) == []
    for ask in (store.get, store.size):
        with pytest.raises(ObjectMissing):
            ask("stream/x.chunks")


def test_a_part_behind_the_end_of_an_object_differs(store: S3ObjectStore) -> None:
    store.put("short", b"12345")
    with pytest.raises(ObjectDiffers):
        b"".join(store.get("short", 100, 50).pieces)


def refusal(store: S3ObjectStore) -> str:
    """The sentence with which every operation fails."""
    said = set()
    for ask in (
        lambda: store.put("x", b"data"),
        lambda: b"".join(store.get("x").pieces),
        lambda: b"".join(store.get("x", 0, 2).pieces),
        lambda: store.size("x"),
        lambda: store.delete("x"),
        lambda: list(store.names("")),
    ):
        with pytest.raises(ArchiveUnavailable) as refused:
            ask()
        said.add(str(refused.value))
    assert len(said) == 1
    [sentence] = said
    assert SECRET_KEY not in sentence
    assert ACCESS_KEY not in sentence
    return sentence


def test_a_server_that_refuses_connections() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        said = refusal(connect(url))
    assert said == "the archive cannot be reached: no connection"


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        (500, "InternalError", "answers with status 500 (InternalError)"),
        (503, "SlowDown", "answers with status 503 (SlowDown)"),
        (403, "AccessDenied", "refuses the access key: status 403 (AccessDenied)"),
        (401, "", "refuses the access key: status 401"),
        (404, "NoSuchBucket", "'s bucket does not exist (NoSuchBucket)"),
    ],
)
def test_errors_of_the_server_are_one_sentence(
    proxy: Proxy, store: S3ObjectStore, status: int, code: str, says: str
) -> None:
    # A hostile server may send anything; only the code is repeated.
    body = f"<Error><Code>{code}</Code><Message>{ACCESS_KEY}\n\x1b[31m</Message></Error>".encode()
    proxy.on_request = lambda _method, _path: Answer(status, body)
    if status == 404:
        with pytest.raises(ArchiveUnavailable, match="NoSuchBucket"):
            store.get("x")
        return
    said = {refusal_of(store, ask) for ask in ("put", "get")}
    assert said == {f"the archive {says}"}


def refusal_of(store: S3ObjectStore, operation: str) -> str:
    with pytest.raises(ArchiveUnavailable) as refused:
        store.put("x", b"data") if operation == "put" else store.get("x")
    assert "a/b" not in str(refused.value)  # everybody may read it
    return str(refused.value)


def test_a_bucket_that_does_not_exist(proxy: Proxy) -> None:
    assert "NoSuchBucket" in refusal_of(connect(proxy.url, "another"), "put")


def test_a_server_that_hangs_is_given_up_in_time(proxy: Proxy) -> None:
    def hang(_method: str, _path: str) -> None:
        time.sleep(3)

    proxy.on_request = hang
    store = connect(proxy.url, seconds=0.5)
    assert refusal_of(store, "put") == "the archive does not answer in time"
    assert refusal_of(store, "get") == "the archive does not answer in time"


def test_a_body_that_breaks_off_is_unavailable(proxy: Proxy, store: S3ObjectStore) -> None:
    store.put("x", bytes(5000))

    def cut(method: str, _path: str, answer: Answer) -> Answer:
        return replace(answer, body=answer.body[:100], length=5000) if method == "GET" else answer

    proxy.on_response = cut
    with pytest.raises(ArchiveUnavailable):
        b"".join(store.get("x").pieces)


# The whole way


@pytest.fixture
def streams(tmp_path: Path, proxy: Proxy) -> Iterator[ArchivedStreams]:
    made = ArchivedStreams(tmp_path, connect(proxy.url, seconds=20.0), local_bytes=SMALL)
    yield made
    made.close()


def fill(streams: ArchivedStreams) -> Stream:
    stream, _ = streams.streams.create(CONFIG)
    for data in DATA:
        streams.upload(stream, data)
    streams.close_windows(stream)
    streams.now_ms += 601_000
    return stream


def all_data(streams: ArchivedStreams, stream: Stream) -> list[bytes]:
    return [streams.receipts.data(stream, number) for number in range(len(DATA))]


def local(stream: Stream) -> list[str]:
    return sorted(path.name for path in stream.chunker.segments.folder.glob("*.chunks"))


def test_data_moves_to_the_bucket_and_is_read_there(
    tmp_path: Path, proxy: Proxy, streams: ArchivedStreams
) -> None:
    stream = fill(streams)
    streams.archiver.step()
    assert not streams.archiver.last_error
    assert streams.room.is_free()
    assert "0000000000000000.chunks" not in local(stream)
    assert all_data(streams, stream) == DATA
    assert streams.reader.proof(stream.id, 3) == b"a proof"
    for kind in Kind:
        for found in streams.index.objects(stream.id, kind, State.STORED):
            check_stored(streams.store_of_objects, found)
    streams.close()
    again = ArchivedStreams(tmp_path, connect(proxy.url, seconds=20.0), local_bytes=SMALL)
    [stream] = again.streams.all()
    assert all_data(again, stream) == DATA
    again.database.close()


@pytest.mark.parametrize("status", [403, 500, 503])
def test_a_failing_server_costs_nothing_but_time(
    proxy: Proxy, streams: ArchivedStreams, status: int
) -> None:
    stream = fill(streams)
    before = local(stream)
    proxy.on_request = lambda _method, _path: Answer(status)
    streams.archiver.step()
    assert str(status) in streams.archiver.last_error
    assert local(stream) == before

    proxy.on_request = lambda _method, _path: None
    streams.monotonic += 60
    streams.archiver.step()
    assert not streams.archiver.last_error
    assert all_data(streams, stream) == DATA


def test_content_that_is_spoiled_on_the_way_back_is_not_believed(
    proxy: Proxy, streams: ArchivedStreams
) -> None:
    stream = fill(streams)
    before = local(stream)

    def spoil(method: str, _path: str, answer: Answer) -> Answer:
        return replace(answer, body=bytes(len(answer.body))) if method == "GET" else answer

    proxy.on_response = spoil
    streams.archiver.step()
    assert "after its upload" in streams.archiver.last_error
    assert local(stream) == before
    assert not streams.index.objects(stream.id, Kind.SEGMENT, State.STORED)


def test_a_changed_object_is_a_named_damage(proxy: Proxy, streams: ArchivedStreams) -> None:
    stream = fill(streams)
    streams.archiver.step()
    [found, *_] = streams.index.objects(stream.id, Kind.SEGMENT, State.STORED)
    store = streams.store_of_objects
    for wrong, says in (
        (b"short", "has 5 bytes instead of"),
        (bytes(found.size), "has no record of the chunk there"),
        (bytes(found.size + 9), f"has {found.size + 9} bytes instead of"),
    ):
        store.put(found.name, wrong)
        with pytest.raises(ChunkDamaged, match=says):
            streams.receipts.data(stream, 0)
    store.delete(found.name)
    with pytest.raises(ChunkDamaged, match="is missing in the archive"):
        streams.receipts.data(stream, 0)
    assert {each.file for each in streams.damages.of(stream.id)} == {found.short_name}
