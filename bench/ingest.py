"""Durable ingest, compared with a server that only receives and hashes.

The stream service runs as in production: a process under gunicorn; chunks are on disk and fsynced
before they are acknowledged; windows are closed and committed to. Prover, aggregator and ledger do
not run, so that only ingest is measured. The data stays below the queue's limit, and every row uses
a new service. Clients run in another process and send prepared frames as fast as their credit
allows. The time ends when the last byte is acknowledged.

    python bench/ingest.py

The reference receives the same frames over the same sockets, cuts and hashes the same chunks, and
acknowledges them at once. Both share two cores with the clients.

Goals: 60 % of the reference for messages of 64 KB, 15 MB/s for 1 KB.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import requests
from websockets.frames import Frame, Opcode
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Request, TextMessage

from dragon_cli.fleet.create import Plan, Ports, make_fleet
from dragon_cli.fleet.layout import STREAMS, Home
from fixtures import free_block
from timing import show, verdict

CASES: Final = [(size, clients) for size in (1024, 4096, 65_536) for clients in (1, 8)]
GOAL_SHARES: Final = {65_536: 0.6}  # of the reference
GOALS: Final = {1024: 15.0}  # MB/s
SEND_SECONDS: Final = 3.0  # approximate sending time of one row
BLOCK_BYTES: Final = 1 << 20


# -- clients, in another process ----------------------------------------------------------


class Client:
    """One socket that sends prepared frames within its credit."""

    def __init__(self, port: int, path: str, token: str, size: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._ws = WSConnection(ConnectionType.CLIENT)
        headers = [(b"Authorization", f"Bearer {token}".encode())]
        self._socket.sendall(
            self._ws.send(Request(f"127.0.0.1:{port}", path, extra_headers=headers))
        )
        self._size, self.safe, self._credit = size, 0, 0
        per_block = max(1, min(BLOCK_BYTES, 256 << 10) // size)
        frame = Frame(Opcode.BINARY, os.urandom(size)).serialize(mask=True)
        self._block, self._bytes = frame * per_block, size * per_block
        self._began = -1  # until the service has told the stream's size
        while self._began < 0 or not self._credit:
            self._read()

    def run(self, total: int) -> None:
        left = total
        while left > 0:
            while self._credit < self._bytes:
                self._read()
            self._socket.sendall(self._block)
            self._credit -= self._bytes
            left -= self._bytes
            self._socket.setblocking(False)
            with suppress(BlockingIOError):
                self._read()
            self._socket.setblocking(True)
        self._socket.sendall(self._ws.send(TextMessage(data='{"type":"flush"}')))
        while self.safe < total:
            self._read()

    def _read(self) -> None:
        data = self._socket.recv(65_536)
        if not data:
            raise SystemExit("the service closed the socket")
        self._ws.receive_data(data)
        for event in self._ws.events():
            if isinstance(event, TextMessage):
                self._take(json.loads(event.data))
            elif isinstance(event, CloseConnection):
                raise SystemExit(f"closed: {event.code} {event.reason}")
            elif not isinstance(event, AcceptConnection):
                raise SystemExit(f"not a WebSocket: {event}")

    def _take(self, said: Mapping[str, Any]) -> None:
        if said["type"] == "hello":
            self._began = said["bytes"]
        elif said["type"] == "credit":
            self._credit += said["bytes"]
        elif said["type"] == "accepted":
            self.safe = said["bytes"] - self._began


def clients(port: int, size: int, total: int, targets: list[list[str]]) -> None:
    """Run all clients. Print the seconds until the last byte was acknowledged."""
    each = total // len(targets) // BLOCK_BYTES * BLOCK_BYTES
    opened = [Client(port, path, token, size) for path, token in targets]
    begun = time.perf_counter()
    threads = [threading.Thread(target=client.run, args=(each,)) for client in opened]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - begun
    sys.stdout.write(json.dumps({"seconds": took, "bytes": each * len(opened)}))


# -- servers -------------------------------------------------------------------------------------


def reference(port: int) -> None:
    """Serve an app that receives, cuts, hashes and acknowledges, on the same sockets."""
    from flask import Flask  # noqa: PLC0415
    from flask_sock import Sock  # noqa: PLC0415

    from dragon.net.tls import PLAIN  # noqa: PLC0415
    from dragon.node.gunicorn_server import serve  # noqa: PLC0415
    from dragon.node.service import Service  # noqa: PLC0415
    from dragon.node.sockets import Sockets  # noqa: PLC0415
    from dragon.node.websocket import Connection  # noqa: PLC0415
    from dragon_stream.ingest_session import MAX_CREDIT_BYTES  # noqa: PLC0415

    class Hashing:
        def __init__(self, connection: Connection) -> None:
            self._connection, self._buffer, self._total, self._said = connection, bytearray(), 0, 0

        def begin(self) -> None:
            self._connection.send(json.dumps({"type": "hello", "bytes": 0}))
            self._connection.send(json.dumps({"type": "credit", "bytes": MAX_CREDIT_BYTES}))

        def on_bytes(self, piece: bytes | bytearray, *, finished: bool) -> None:
            self._buffer += piece
            while len(self._buffer) >= 65_536:
                self._cut(65_536)
            if self._total - self._said > MAX_CREDIT_BYTES // 4:
                self._say()

        def on_text(self, text: str) -> None:
            self._cut(len(self._buffer))
            self._say()

        def _cut(self, size: int) -> None:
            hashlib.sha256(bytes(self._buffer[:size])).digest()
            del self._buffer[:size]
            self._total += size

        def _say(self) -> None:
            self._connection.send(json.dumps({"type": "accepted", "bytes": self._total}))
            credit = {"type": "credit", "bytes": self._total - self._said}
            self._connection.send(json.dumps(credit))
            self._said = self._total

    def build() -> Service:
        app, sockets = Flask("reference"), Sockets(64, time.monotonic)
        sockets.install(app)

        def receive(server: Any) -> None:
            with sockets.connection(server) as connection:
                hashing = Hashing(connection)
                connection.serve(hashing, begin=hashing.begin)

        Sock(app).route("/hash")(receive)
        return Service(app, [sockets.run])

    serve(build, name="reference", host="127.0.0.1", port=port, threads=64, tls=PLAIN)


@contextmanager
def running(*command: str, port: int, output: Path) -> Iterator[None]:
    with output.open("wb") as file:
        process = subprocess.Popen([sys.executable, *command], stdout=file, stderr=file)
    try:
        ends = time.monotonic() + 60
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > ends:
                raise SystemExit(output.read_text())
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(10)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def make_streams(home: Home, number: int, port: int) -> list[list[str]]:
    headers = {"Authorization": f"Bearer {home.token(STREAMS).read_text().strip()}"}
    found = []
    for _ in range(number):
        wanted = {"name": f"s-{secrets.token_hex(4)}", "window_ms": 600_000}
        url = f"http://127.0.0.1:{port}/streams"
        made = requests.post(url, json=wanted, headers=headers, timeout=10).json()
        found.append([f"/streams/{made['stream']}/ingest", made["token"]])
    return found


def rate(port: int, size: int, targets: list[list[str]], guess: float) -> float:
    """MB/s, for data that takes a few seconds, and at most 400 MB."""
    total = min(400 << 20, max(8 * BLOCK_BYTES * len(targets), int(guess * SEND_SECONDS * 1e6)))
    arguments = ["clients", str(port), str(size), str(total), json.dumps(targets)]
    done = subprocess.run(
        [sys.executable, __file__, *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    measured = json.loads(done.stdout)
    return float(measured["bytes"] / measured["seconds"] / 1e6)


def warmed(port: int, size: int, targets: list[list[str]], guess: float) -> float:
    """MB/s, after a first short run in which the service loads its code."""
    rate(port, size, targets, 0.0)
    return rate(port, size, targets, guess)


def measured(size: int, number: int) -> tuple[float, float]:
    """MB/s of the reference and of the stream service, both newly started."""
    with tempfile.TemporaryDirectory(prefix="ingest-", dir=Path(__file__).parent) as name:
        home = Home(Path(name) / "fleet")
        base = free_block(80)
        reference, port = base + 75, base + 70
        plan = Plan(ports=Ports(base, base + 40, base + 50, base + 60, port))
        make_fleet(home, plan, genesis=int(time.time()))
        with running(
            *(__file__, "reference", str(reference)),
            port=reference,
            output=Path(name) / "reference.log",
        ):
            guess = 40.0 * size / 4096 + 20
            hashed = warmed(reference, size, [["/hash", "-"]] * number, guess)
        serve = ("-m", "dragon_cli.main", "serve", "stream", "--home", str(home.path))
        with running(*serve, port=port, output=Path(name) / "ours.log"):
            return hashed, warmed(port, size, make_streams(home, number, port), hashed)


def main(cases: Sequence[tuple[int, int]] = CASES) -> None:
    """Measure all `cases`: (bytes of a message, number of connections)."""
    rows = []
    for size, number in cases:
        hashed, durable = measured(size, number)
        said = "–"
        if goal := GOALS.get(size):
            said = f"{goal:.0f} MB/s: {verdict(durable >= goal)}"
        if part := GOAL_SHARES.get(size):
            said = f"{100 * part:.0f} %: {verdict(durable >= part * hashed)}"
        share = f"{100 * durable / hashed:.0f} %"
        rows.append((f"{size:,} B", number, f"{durable:.1f}", f"{hashed:.1f}", share, said))
    columns = ("message", "connections", "durable MB/s", "hashed only MB/s", "share", "goal")
    show("Durable ingest", columns, rows, "Chunks of 64 KB. Clients and service share two cores.")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["clients", port, size, total, targets]:
            clients(int(port), int(size), int(total), json.loads(targets))
        case ["reference", port]:
            reference(int(port))
        case _:
            main()
