"""The surroundings of a program that uses the library: a simulated fleet, and the files that the
commands leave behind, under the paths that docs/library.md names.

Time passes while the program sleeps.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from dragon.net import http_client
from dragon.net.http_client import HttpClient
from dragon.net.log_client import LogClient
from dragon.net.stream_client import StreamClient
from dragon.net.stream_reports import assemble, find_windows
from dragon.net.stream_windows import StreamWindows
from dragon.protocol.claims.downtime import DowntimeClaim
from dragon.protocol.period import PeriodLeaf
from dragon.protocol.trust import Trust
from dragon_cli.fleet.evidence import Collector
from period_reports import make_report
from stream_simulation import TOKEN, StreamWorld

STREAM_URL: Final = "http://streams:5300"  # the stream service of a StreamWorld
DATA: Final = b"21.5 degrees\n" * 20


class _Upload:
    """A `Sender` that sends by HTTP: the simulated network has no WebSockets."""

    def __init__(self, client: StreamClient, stream: str) -> None:
        self._client, self._path = client, f"/streams/{stream}"
        now = client.get(self._path)
        self.mode, self.sequence, self.total = now["mode"], now["chunks"], now["bytes"]

    def send(self, data: bytes) -> None:
        answer: Any = self._client.http.send(
            "POST",
            f"{self._client.url}{self._path}/data?offset={self.total}",
            deadline=10,
            body=data,
            headers={"Authorization": f"Bearer {self._client.token}"},
        ).successful()
        self.sequence, self.total = self._client.get(self._path)["chunks"], answer["bytes"]

    def flush(self) -> None:
        """Each upload is one chunk."""

    def receive(self, _seconds: float | None) -> None:
        """Everything was acknowledged when it was sent."""


@contextmanager
def _ingest(client: StreamClient, stream: str) -> Iterator[_Upload]:
    yield _Upload(client, stream)


@contextmanager
def surroundings(folder: Path) -> Iterator[StreamWorld]:
    """Work in `folder`, beside a fleet in which everything has happened that the page needs."""
    (folder / "world").mkdir()
    with StreamWorld(folder / "world") as world, pytest.MonkeyPatch.context() as patch:
        world.run(2, peers=False)
        stream = world.make("readings")
        world.upload(stream, DATA)
        world.run(14, peers=False)  # a certified checkpoint covers the window
        _write_files(folder, world, stream)
        patch.chdir(folder)
        patch.setattr(http_client, "make_session", lambda _ca: world.session("reader"))
        patch.setattr(StreamClient, "ingest", _ingest)
        patch.setattr(time, "sleep", lambda _seconds: world.run(1, peers=False))
        yield world


def _write_files(folder: Path, world: StreamWorld, stream: Any) -> None:
    operator = folder / "fleet/data/operator_1"
    for path in (operator, folder / "fleet/keys/sources", folder / "receipts"):
        path.mkdir(parents=True)
    _write_json(folder / "fleet/committee.json", world.committee.to_json())
    (folder / "fleet/keys/sources/token").write_text(TOKEN + "\n")
    with (
        closing(sqlite3.connect(world.database_file("operator_1"))) as log,
        closing(sqlite3.connect(operator / "operator.db")) as copy,
    ):
        log.backup(copy)
    _write_json(folder / "event.json", world.get("operator_1", "/events/1").json())
    _write_json(folder / "downtime.json", _downtime(world))
    (folder / "evidence.json").write_bytes(_evidence(world))
    _write_json(folder / "period.json", _period(world))
    (folder / "report.jsonl").write_bytes(_report(world, str(stream["stream"])))
    _write_json(folder / "receipts/chunk-00000000.json", world.receipt(stream, 0).to_json())
    (folder / "chunk-00000000").write_bytes(DATA)
    (folder / "readings.txt").write_bytes(3 * DATA)


def _downtime(world: StreamWorld) -> Any:
    begin = world.committee.rounds.genesis
    claim = DowntimeClaim("operator_2", begin, begin + 100, 35, 0, 0, 4, bytes(32))
    return world.members.certify(claim, world.operators[:3]).to_json()


def _evidence(world: StreamWorld) -> bytes:
    for operator in world.operators:
        world.components(operator).evidence.step()
    http = HttpClient(world.session("reader"))
    collector = Collector(Trust.of(world.committee), http, "operator_1")
    now = int(world.clock.now)
    event, _ = collector.transition(now, around=1000)
    return collector.collect(event, now - 1000, now, now=now).encode()


def _report(world: StreamWorld, stream: str) -> bytes:
    http = HttpClient(world.session("reader"))
    windows = StreamWindows(StreamClient(STREAM_URL, http), stream)
    log, until = LogClient(http, world.committee.urls), int(world.clock.now)
    found = find_windows(windows, log, 0, until)
    return b"".join(assemble(windows, log, found, (0, until), with_proofs=True).encode())


def _period(world: StreamWorld) -> Any:
    leaves = [PeriodLeaf("operator_1", 0, 0, 0), PeriodLeaf("operator_2", 35, 0, 0)]
    return make_report(leaves, world.members, world.operators[:3]).to_json()


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))
