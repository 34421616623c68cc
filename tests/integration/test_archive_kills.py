"""`kill -9` of a process that archives, at each of its requests: nothing acknowledged is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import archive_process
from dragon_stream.archive.objects import Kind, State
from dragon_stream.streams import StreamConfig
from object_stores import ArchivedStreams, MemoryStore
from s3_server import Answer, Proxy, S3Server, s3_server

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

CONFIG = StreamConfig("one", "standard", 65_536, 4, 1000, "message", 360_000)
DATA = [b"%03d" % number * 100 for number in range(24)]
SMALL = 7000  # bytes of room
PATIENCE = 120.0  # seconds


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as running:
        yield running


def fill(folder: Path) -> None:
    streams = ArchivedStreams(folder, MemoryStore(), local_bytes=SMALL)
    stream, _ = streams.streams.create(CONFIG)
    for data in DATA:
        streams.upload(stream, data)
    streams.close_windows(stream)
    streams.close()


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(("method", "place"), [("PUT", 2), ("GET", 2), ("HEAD", 0), ("HEAD", 1)])
def test_a_process_that_is_killed_while_it_archives_loses_nothing(
    tmp_path: Path, server: S3Server, method: str, place: int, moment: str
) -> None:
    server.make_bucket("bucket")
    fill(tmp_path)
    with Proxy(server.port) as proxy:
        script = str(Path(archive_process.__file__))
        process = subprocess.Popen(
            [sys.executable, script, str(tmp_path), proxy.url, str(SMALL)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        left = [place]

        def kill(now: str, _path: str) -> None:
            if now == method:
                left[0] -= 1
                if left[0] == -1:
                    process.send_signal(signal.SIGKILL)

        def kill_after(now: str, path: str, answer: Answer) -> Answer:
            kill(now, path)
            return answer

        if moment == "before":
            proxy.on_request = kill
        else:
            proxy.on_response = kill_after
        assert process.wait(PATIENCE) == -signal.SIGKILL
        proxy.on_request = lambda _method, _path: None
        proxy.on_response = lambda _method, _path, answer: answer

        streams = archive_process.opened(tmp_path, proxy.url, SMALL)
        [stream] = streams.streams.all()
        assert not stream.chunker.last_error
        assert [streams.receipts.data(stream, number) for number in range(len(DATA))] == DATA
        for _ in range(2):
            streams.archiver.step()
        assert not streams.archiver.last_error
        assert streams.room.is_free()
        assert [streams.receipts.data(stream, number) for number in range(len(DATA))] == DATA
        known = {
            found.name for kind in Kind for found in streams.index.objects(stream.id, kind, *State)
        }
        assert set(streams.store_of_objects.names("")) == known
        streams.close()
