"""An archive behind a fleet of real processes: kills, and a bucket that is gone for a while."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

import forked
from dragon.encoding import canonical, to_hex
from dragon.errors import PeerError, Unavailable
from dragon.log.audit import audit
from dragon.net.http_client import HttpClient
from dragon.net.session import make_session
from dragon.net.stream_client import StreamClient
from dragon.net.stream_upload import StreamUpload
from dragon.protocol.streams.receipt import Receipt
from dragon_cli.fleet.create import Plan, Ports, make_fleet
from dragon_cli.fleet.layout import STREAMS, Home
from dragon_cli.fleet.processes import Fleet
from dragon_cli.fleet.streams import connect, find
from forked import ForkedFleet
from ports import free_block
from s3_server import ACCESS_KEY, SECRET_KEY, Proxy, S3Server, s3_server

pytestmark = [pytest.mark.processes, pytest.mark.timeout(400)]

PATIENCE: Final = 120.0  # seconds: two cores may be busy with other tests
LOCAL_MB: Final = 256  # the least that the setting allows
PER_STEP: Final = 20_000_000  # bytes that may wait: few beside the whole
FREE_MB: Final = 224  # until here local copies are kept
PIECE: Final = 65_536  # bytes of a chunk
PIECES: Final = 3700  # 242 MB, more than is kept
KILL_AT: Final = 1500  # piece before which the service is killed
READINGS: Final = 210  # messages of a stream with many small windows, whose proofs are archived
PER_WINDOW: Final = 7
URL: Final = "s3://bucket/some/prefix"


def piece(number: int) -> bytes:
    """Data that no other piece has, made quickly."""
    return number.to_bytes(8, "big") * (PIECE // 8)


def reading(number: int) -> bytes:
    return b"%d" % number


@dataclass
class Bucket:
    """A bucket that can be gone, and come back."""

    server: S3Server
    stack: ExitStack
    proxy: Proxy

    @classmethod
    def opened(cls, server: S3Server) -> Bucket:
        server.make_bucket("bucket")
        stack = ExitStack()
        return cls(server, stack, stack.enter_context(Proxy(server.port)))

    def go(self) -> None:
        self.stack.close()

    def come_back(self) -> None:
        self.proxy = self.stack.enter_context(Proxy(self.server.port, self.proxy.port))


@dataclass(frozen=True)
class Scene:
    fleet: Fleet
    settings: Mapping[str, str]
    bucket: Bucket
    large: tuple[StreamClient, str]
    small: tuple[StreamClient, str]

    def dragon(self, *arguments: object, expect: int = 0) -> str:
        done = forked.run([*arguments, "--home", self.fleet.home.path], timeout=120)
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout

    def archive(self) -> Any:
        """What `dragon stream archive` says; nothing while the service starts."""
        done = forked.run(["stream", "archive", "--json", "--home", self.fleet.home.path])
        return json.loads(done.stdout or "{}") if done.returncode in (0, 1) else {}

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        self.fleet.wait_until(condition, what, PATIENCE)

    def restart(self) -> None:
        self.fleet.kill(STREAMS)
        self.fleet.start(STREAMS)
        self.wait(lambda: self.fleet.is_ready(STREAMS), "the stream service is ready")

    def wait_certified(self, of: tuple[StreamClient, str], chunks: int) -> None:
        client, stream = of

        def certified() -> bool:
            with suppress(PeerError):
                heads = client.get(f"/streams/{stream}/windows", limit=1000)["windows"]
                return chunks == sum(
                    each["count"] for each in heads if each["state"] == "certified"
                )
            return False

        self.wait(certified, f"all {chunks} chunks are certified")


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    with s3_server() as server:
        bucket = Bucket.opened(server)
        yield bucket
        bucket.go()


@pytest.fixture(scope="module")
def scene(bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Two streams, certified and moved, although their service was killed in the middle."""
    base = free_block(6)
    ports = Ports(base, base + 3, base + 4, prover=base + 5, streams=base + 6)
    home = Home(tmp_path_factory.mktemp("archive") / "fleet")
    make_fleet(home, Plan(operators=3, ports=ports, round_seconds=2), genesis=int(time.time()))
    settings = {
        "STREAM_ARCHIVE": URL,
        "STREAM_LOCAL_MB": str(LOCAL_MB),
        "AWS_ENDPOINT_URL": bucket.proxy.url,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    }
    with ForkedFleet(home, settings) as fleet:
        fleet.start_all()
        fleet.wait_ready()
        service = connect(home, None, None)
        client, made = find(
            service, home, "small", None, mode="message", window_chunks=PER_WINDOW, window_ms=500
        )
        small = client, str(made["stream"])
        client, made = find(
            service, home, "large", None, mode="message", window_chunks=1023, window_ms=60_000
        )
        scene = Scene(fleet, settings, bucket, (client, str(made["stream"])), small)
        upload(scene)
        yield scene


def upload(scene: Scene) -> None:
    """Upload both streams. Once the bucket has a part of the large one, kill the service."""
    StreamUpload(*scene.small, map(reading, range(READINGS)), end_window=True).run()

    def pieces() -> Iterator[bytes]:
        for number in range(PIECES):
            if number == KILL_AT:
                scene.wait(lambda: stored(scene) > 0, "the bucket has an object")
                scene.fleet.kill(STREAMS)
                threading.Timer(1.0, scene.fleet.start, [STREAMS]).start()
            yield piece(number)

    StreamUpload(*scene.large, pieces(), end_window=True).run()
    scene.wait_certified(scene.small, READINGS)
    scene.wait_certified(scene.large, PIECES)
    scene.wait(lambda: is_moved(scene), "both streams are archived, and the disk has room again")


def stored(scene: Scene) -> int:
    """Objects in the bucket, by the requests that it has answered."""
    return sum(method == "PUT" for method, _ in scene.bucket.proxy.seen)


def is_moved(scene: Scene) -> bool:
    said = scene.archive()
    if not said or said["local_bytes"] > FREE_MB * 1_000_000:
        return False
    return all(each["pending_bytes"] < PER_STEP for each in said["streams"])


def check_acknowledged(scene: Scene, pieces: int) -> None:
    """Every acknowledged chunk has the digest of what was sent, and some are read."""
    for (client, stream), expected in (
        (scene.small, [reading(number) for number in range(READINGS)]),
        (scene.large, [piece(number) for number in range(pieces)]),
    ):
        found: list[str] = []
        while (after := len(found)) < len(expected):
            page = client.get(f"/streams/{stream}/chunks", limit=1000, after=after - 1)
            found += [each["digest"] for each in page["chunks"]]
        assert found == [to_hex(hashlib.sha256(each).digest()) for each in expected]
        for number in range(0, len(expected), 97):
            assert client.data(stream, number) == expected[number]


def check_all_data(scene: Scene) -> None:
    """All data, on the disk and in the bucket, has its digest."""
    environ = {**os.environ, **scene.settings}
    command = ["stream", "check", "--running", "--home", scene.fleet.home.path, "--json"]
    with tempfile.TemporaryFile("w+") as output:
        done = forked.start(command, stdout=output, environ=environ).wait(PATIENCE)
        output.seek(0)
        said = json.load(output)
    assert (done, said["verdict"]) == (0, "whole")
    assert [each["unread"] for each in said["streams"]] == [0, 0]


def test_everything_acknowledged_is_kept_although_the_service_was_killed(scene: Scene) -> None:
    said = scene.archive()
    assert (said["archive"], said["has_room"], said["last_error"]) == (URL, True, None)
    objects = {each["name"]: (each["segment_bytes"], each["bundles"]) for each in said["streams"]}
    assert objects["small"][1] > 0
    assert objects["large"][0] > 2_000 * PIECE  # all but what the newest windows may hold
    assert said["local_bytes"] < PIECES * PIECE
    assert '"event": "object_archived"' in scene.fleet.home.output(STREAMS).read_text()
    check_acknowledged(scene, PIECES)


@pytest.mark.parametrize("place", [0, READINGS - 1])
def test_a_receipt_with_an_archived_proof_is_verified_offline(
    scene: Scene, tmp_path: Path, place: int
) -> None:
    client, stream = scene.small
    file, data = tmp_path / "receipt.json", tmp_path / "data"
    data.write_bytes(reading(place))

    def is_complete() -> bool:
        found = client.get(f"/streams/{stream}/chunks/{place}/receipt", disclose=1, proof=1)
        file.write_text(json.dumps(found))
        return Receipt.decode(canonical(found)).place is not None

    scene.wait(is_complete, "a checkpoint covers the receipt")
    committee = ("--committee", scene.fleet.home.committee_file)
    command = ["verify", "receipt", file, "--data", data, "--stream", stream, *committee, "--json"]
    done = forked.run(command)

    assert done.returncode == 0, done.stdout + done.stderr
    checks = {each["name"]: each["outcome"] for each in json.loads(done.stdout)["checks"]}
    assert checks["proof"] == checks["data"] == "holds"


def test_a_report_with_archived_proofs_is_verified_offline(scene: Scene, tmp_path: Path) -> None:
    """Windows of the small stream were certified long ago, so a checkpoint covers most."""
    file, stream = tmp_path / "report.jsonl", scene.small[1]
    scene.dragon("stream", "report", "small", "--proofs", "-o", file)

    committee = ("--committee", scene.fleet.home.committee_file)
    done = forked.run(["verify", "stream-report", file, "--stream", stream, *committee])

    assert done.returncode == 0, done.stdout + done.stderr
    assert "The proof of every window was verified here." in done.stdout


def test_while_the_bucket_is_gone_new_data_is_certified_and_nothing_is_lost(scene: Scene) -> None:
    """The service is killed once more meanwhile, so that it starts without the bucket."""
    scene.bucket.go()
    more = [piece(number) for number in range(PIECES, PIECES + 60)]
    StreamUpload(*scene.large, more[:30]).run()
    scene.restart()
    StreamUpload(*scene.large, more[30:], end_window=True).run()
    scene.wait_certified(scene.large, PIECES + 60)
    client, stream = scene.large
    with pytest.raises(Unavailable, match="cannot be reached"):
        client.data(stream, 0)
    assert client.data(stream, PIECES + 7) == more[7]
    scene.wait(lambda: is_degraded(scene), "the service says that the archive fails")
    scene.wait(lambda: scene.fleet.is_ready(STREAMS), "the service is ready without its archive")

    scene.bucket.come_back()

    scene.wait(lambda: not is_degraded(scene), "the archive is used again")
    scene.wait(lambda: is_read(client, stream), "archived data is read again")
    check_acknowledged(scene, PIECES + 60)
    check_all_data(scene)
    for name in ("operator_1", "operator_2", "operator_3", "aggregator", STREAMS):
        found = audit(scene.fleet.home.database(name), scene.fleet.committee)
        assert len(found.state.streams) == 2


def is_read(client: StreamClient, stream: str) -> bool:
    """Whether the oldest chunk is read. After a failure, the service waits two seconds."""
    with suppress(Unavailable):
        return client.data(stream, 0) == piece(0)
    return False


def is_degraded(scene: Scene) -> bool:
    """Whether the service says that its archive fails, ready or not.

    A busy service that has not read the newest entries of the ledger is not ready for a moment.
    """
    url = scene.fleet.addresses[STREAMS] + "/readyz"
    answer = HttpClient(make_session()).get(url, deadline=10.0).json()
    assert isinstance(answer, dict)
    said = answer["degraded"]
    assert isinstance(said, list)
    assert "bucket" not in str(said)  # everybody may read it
    return any(str(each).startswith("archive: ") for each in said)
