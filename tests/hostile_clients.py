"""Clients without a key that try to take a service's capacity, and a probe that measures it.

    python tests/hostile_clients.py ATTACK PORT SECONDS [--tls] [--source ADDRESS] [--scale N]

Connects to this machine only, with a bounded number of connections, and ends after SECONDS. Each
client that loses its connection makes a new one.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

HOST: Final = "127.0.0.1"
HEAD: Final = b"GET /status HTTP/1.1\r\nHost: a\r\n"
BODY_HEAD: Final = b"POST /attestations HTTP/1.1\r\nHost: a\r\nContent-Length: 16000\r\n\r\n"
DRIP_SECONDS: Final = 0.25  # between two bytes of a slow client
PAUSE_SECONDS: Final = 0.2  # before a client connects again

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True, slots=True)
class Clients:
    """Makes connections to a service on this machine."""

    port: int
    source: str = HOST
    tls: ssl.SSLContext | None = None

    @asynccontextmanager
    async def connect(self, receive_buffer: int = 0) -> AsyncIterator[Streams]:
        raw = socket.socket()
        raw.setblocking(False)
        if receive_buffer:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            raw.bind((self.source, 0))
            await asyncio.get_running_loop().sock_connect(raw, (HOST, self.port))
            reader, writer = await asyncio.open_connection(
                sock=raw, ssl=self.tls, server_hostname=self.name
            )
        except BaseException:
            raw.close()
            raise
        try:
            yield reader, writer
        finally:
            writer.transport.abort()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    @property
    def name(self) -> str | None:
        return "localhost" if self.tls else None


async def _until_closed(reader: asyncio.StreamReader) -> None:
    while await reader.read(65_536):
        pass


async def idle(clients: Clients) -> None:
    if clients.tls:  # not even a handshake
        clients = Clients(clients.port, clients.source)
    async with clients.connect() as (reader, _):
        await _until_closed(reader)


async def half_header(clients: Clients) -> None:
    async with clients.connect() as (reader, writer):
        writer.write(HEAD)
        await _until_closed(reader)


async def _drip(clients: Clients, first: bytes, then: bytes) -> None:
    async with clients.connect() as (_, writer):
        writer.write(first)
        while True:
            await writer.drain()
            await asyncio.sleep(DRIP_SECONDS)
            writer.write(then)


async def slow_header(clients: Clients) -> None:
    await _drip(clients, HEAD + b"A: ", b"a")


async def slow_body(clients: Clients) -> None:
    await _drip(clients, BODY_HEAD, b"{")


async def new_connection(clients: Clients) -> None:
    async with clients.connect():
        await asyncio.sleep(0.8)


async def fast_status(clients: Clients) -> None:
    async with clients.connect() as (reader, writer):
        while True:
            writer.write(HEAD + b"\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            await reader.readexactly(length)


async def fast_connections(clients: Clients) -> None:
    async with clients.connect() as (reader, writer):
        writer.write(HEAD + b"Connection: close\r\n\r\n")
        await _until_closed(reader)


async def expensive_reads(clients: Clients) -> None:
    async with clients.connect() as (reader, writer):
        while True:
            writer.write(b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            await reader.readexactly(length)


async def big_headers(clients: Clients) -> None:
    async with clients.connect() as (reader, writer):
        writer.write(HEAD + b"A: " + b"a" * 200_000)
        await _until_closed(reader)


async def pipelining(clients: Clients) -> None:
    async with clients.connect() as (reader, writer):
        writer.write((HEAD + b"\r\n") * 500)
        await _until_closed(reader)


async def unread_answers(clients: Clients) -> None:
    async with clients.connect(receive_buffer=4096) as (_, writer):
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n" * 100)
        while not writer.is_closing():
            await asyncio.sleep(1)
            writer.write(b"\r\n")


@dataclass(frozen=True, slots=True)
class Attack:
    """What each client does, how many there are, and how many begin in a second."""

    name: str
    client: Callable[[Clients], Awaitable[None]]
    count: int
    per_second: int = 1000
    pause: float = PAUSE_SECONDS


ATTACKS: Final = {
    "idle": Attack("900 idle connections", idle, 900),
    "half_header": Attack("300 half headers", half_header, 300),
    "slow_header": Attack("300 slow headers", slow_header, 300),
    "slow_body": Attack("400 slow bodies", slow_body, 400),
    "new_connections": Attack("200 new connections a second", new_connection, 200),
    "fast_status": Attack("100 clients ask /status without pause", fast_status, 100),
    "fast_connections": Attack(
        "50 clients ask /status, each time on a new connection", fast_connections, 50, pause=0.0
    ),
    "expensive_reads": Attack("50 clients read /openapi.json without pause", expensive_reads, 50),
    "big_headers": Attack("50 clients with headers of 200 kB", big_headers, 50),
    "pipelining": Attack("50 clients with 500 requests at once", pipelining, 50),
    "unread_answers": Attack("300 clients that read no answer", unread_answers, 300),
}


async def attack(chosen: Attack, clients: Clients, seconds: float, scale: float = 1.0) -> None:
    """Run an attack for a time; `scale` multiplies the number of clients."""
    ends = time.monotonic() + seconds

    async def one(delay: float) -> None:
        await asyncio.sleep(delay)
        while time.monotonic() < ends:
            with suppress(OSError, asyncio.IncompleteReadError, ValueError):
                await chosen.client(clients)
            await asyncio.sleep(chosen.pause)

    count = max(1, round(chosen.count * scale))
    running = [asyncio.ensure_future(one(number / chosen.per_second)) for number in range(count)]
    await asyncio.sleep(seconds)
    for each in running:
        each.cancel()
    await asyncio.gather(*running, return_exceptions=True)


@dataclass(slots=True)
class Probes:
    """The results of probes: seconds until a whole answer, or None without one in time."""

    results: list[float | None] = field(default_factory=list)

    @property
    def answered(self) -> list[float]:
        return [each for each in self.results if each is not None]

    @property
    def share(self) -> float:
        return len(self.answered) / max(1, len(self.results))


def probe(
    port: int, seconds: float, *, pause: float = 0.1, deadline: float = 1.0, path: str = "/status"
) -> Probes:
    """Ask for `path` again and again, each time on a new connection, and measure the answers."""
    probes, ends = Probes(), time.monotonic() + seconds
    while time.monotonic() < ends:
        probes.results.append(_ask(port, path, deadline))
        time.sleep(pause)
    return probes


def _ask(port: int, path: str, deadline: float) -> float | None:
    begun = time.monotonic()
    request = f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
    answer = b""
    try:
        with socket.create_connection((HOST, port), timeout=deadline) as client:
            client.sendall(request)
            while True:
                client.settimeout(max(0.001, begun + deadline - time.monotonic()))
                if not (piece := client.recv(65_536)):
                    break
                answer += piece
    except OSError:
        return None
    took = time.monotonic() - begun
    return took if answer.startswith(b"HTTP/1.1 200") and took <= deadline else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("attack", choices=ATTACKS)
    parser.add_argument("port", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--source", default=HOST)
    parser.add_argument("--scale", type=float, default=1.0)
    chosen = parser.parse_args()
    context = None
    if chosen.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    clients = Clients(chosen.port, chosen.source, context)
    asyncio.run(attack(ATTACKS[chosen.attack], clients, chosen.seconds, chosen.scale))


if __name__ == "__main__":
    main()
