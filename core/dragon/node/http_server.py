"""Run a service: its app behind an event loop, and its background loops, in one process.

The event loop holds the connections. No thread is taken until a whole request has arrived, so
clients that send nothing, or send slowly, cost only their places among the connections. If all
places are taken, the address with the most connections loses its oldest one that waits. Strangers
cannot take the last places, which are for members of the committee and known clients.
"""

from __future__ import annotations

import asyncio
import errno
import heapq
import logging
import os
import resource
import signal
import socket
import ssl
import sys
import time
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Any, Final

from dragon.errors import DragonError, InUse, RateLimited
from dragon.net.tls import Tls, server_context
from dragon.node import log_format, metrics, server_metrics
from dragon.node.admission import clients_of
from dragon.node.app import MAX_BODY_BYTES
from dragon.node.http_connection import LINGER_SECONDS, RECEIVE_SECONDS, Connection, Phase
from dragon.node.lanes import LaneQueue, Lanes
from dragon.node.listening import MAX_CONNECTIONS, listen, raise_descriptor_limit
from dragon.node.rate_limits import ADVANCE_MS, ProcessorShare, Rate
from dragon.node.server_metrics import CertificateExpiry
from dragon.node.service import Loops, Service
from dragon.node.wsgi_call import WsgiApp

GRACE_SECONDS: Final = 3.0  # for requests that are in progress when the service stops
MAX_HELD_BYTES: Final = 64 << 20  # bodies that are arriving and answers that are not taken
MEMBERS_PART: Final = 8  # one connection of this number is never one of strangers
CONNECTIONS_AT_ONCE: Final = 1000  # new ones of one address outside the committee
CONNECTIONS_PER_SECOND: Final = 250  # new ones of one address outside the committee
ALL_CONNECTIONS_AT_ONCE: Final = 2000  # new ones of all addresses outside the committee
ALL_CONNECTIONS_PER_SECOND: Final = 400  # new ones of all addresses outside the committee
CLOSED_PART: Final = 32  # if all places are taken, one connection of this number is closed
FREED_BYTES: Final = 1 << 20  # below the limit of held bytes, once it is exceeded
READ_BUFFER_BYTES: Final = 16 * 1024
ACCEPTS_AT_ONCE: Final = 64  # before the other connections have their turn
ACCEPT_PAUSE_SECONDS: Final = 0.1  # after the system refused a file descriptor
TICK_SECONDS: Final = 0.25
MAX_TICK_SECONDS: Final = 1.0  # a pause of the whole process counts as no more than this
SWITCH_SECONDS: Final = 0.001  # for which a thread computes before another one may go on
CONNECTOR: Final = Rate(ADVANCE_MS * CONNECTIONS_AT_ONCE, ADVANCE_MS * CONNECTIONS_PER_SECOND)
CONNECTORS_IN_ALL: Final = Rate(
    ADVANCE_MS * ALL_CONNECTIONS_AT_ONCE, ADVANCE_MS * ALL_CONNECTIONS_PER_SECOND
)
_NO_DESCRIPTOR: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

logger = log_format.get_logger(__name__)


class Server:
    """The connections of a service. All methods run on the event loop's thread."""

    def __init__(
        self,
        service: Service,
        threads: int,
        max_connections: int = MAX_CONNECTIONS,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.app: WsgiApp = service.app.wsgi_app
        self.max_body = service.app.config.get("MAX_CONTENT_LENGTH") or MAX_BODY_BYTES
        self.clients = clients_of(service.app)
        self.stopping = False
        self.held = 0
        self.buffer = memoryview(bytearray(READ_BUFFER_BYTES))
        self.connections: dict[Connection, None] = {}  # the oldest first
        self._lanes = Lanes(service.lanes, threads)
        server_metrics.watch_lanes(service.app, self._lanes)
        self._max_connections, self._context = max_connections, context
        self._max_strangers = max_connections - max_connections // MEMBERS_PART
        # Nothing settles the advance: it is what a new connection costs.
        self._new = ProcessorShare(
            "connections", CONNECTOR, CONNECTORS_IN_ALL, self.clients.monotonic
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._occupied = asyncio.Event()

    def lane(self, path: str) -> LaneQueue:
        return self._lanes.of(path)

    def ended(self, connection: Connection) -> None:
        self.connections.pop(connection, None)

    async def run(self, listener: socket.socket, stop: asyncio.Event) -> None:
        """Serve until `stop` is set; then let the requests that are in progress finish."""
        loop = asyncio.get_running_loop()
        sweeping = loop.create_task(self._sweep())
        loop.add_reader(listener, self._accept, listener)
        await stop.wait()
        self.stopping = True
        loop.remove_reader(listener)
        listener.close()
        for connection in [each for each in self.connections if each.is_idle]:
            connection.close()
        ends = time.monotonic() + GRACE_SECONDS
        while self.connections and time.monotonic() < ends:
            await asyncio.sleep(0.02)
        sweeping.cancel()

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPTS_AT_ONCE):
            try:
                accepted, address = listener.accept()
            except OSError as error:
                if error.errno in _NO_DESCRIPTOR:
                    self._pause_accepting(listener)
                return
            self._add(accepted, address[:2])

    def _pause_accepting(self, listener: socket.socket) -> None:
        """Wait for a file descriptor: the kernel would report the same connection for ever."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(listener)
        self._make_place()

        def resume() -> None:
            if not self.stopping:
                loop.add_reader(listener, self._accept, listener)

        loop.call_later(ACCEPT_PAUSE_SECONDS, resume)

    def _add(self, accepted: socket.socket, client: tuple[str, int]) -> None:
        if not self.may_connect(client[0]) or not self.has_place(
            connection := Connection(self, client)
        ):
            accepted.close()
            return
        accepted.setblocking(False)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connections[connection] = None
        self._occupied.set()
        task = asyncio.get_running_loop().create_task(self._connect(accepted, connection))
        connection.cut = partial(_shut, accepted)
        self._tasks.add(task)  # the event loop keeps only weak references
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, accepted: socket.socket, connection: Connection) -> None:
        """Make the TLS handshake, if the service uses TLS, within the time for a request."""
        loop, tls = asyncio.get_running_loop(), self._context is not None
        try:
            await loop.connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=self._context,
                ssl_handshake_timeout=RECEIVE_SECONDS if tls else None,
                ssl_shutdown_timeout=LINGER_SECONDS if tls else None,
            )
        except OSError:
            # The client left, was too slow or does not use TLS, or its place was needed.
            connection.abort()

    def may_connect(self, address: str) -> bool:
        """Whether an address may open one more connection now.

        Members always may: those that come after a crowd wait in the kernel's queue until the crowd
        is accepted or refused, and refusing is quick. Behind a believed proxy are many clients.
        """
        peer = self.clients.identify(address)
        if peer.is_member or self.clients.is_proxy(address):
            return True
        try:
            self._new.admit(peer.share)
        except RateLimited:
            return False
        return True

    def has_place(self, connection: Connection) -> bool:
        """Whether a new connection may stay. If all places are taken, others are closed."""
        if len(self.connections) < self._max_strangers:
            return True
        strangers = self._strangers()
        if not connection.peer.is_member and len(strangers) >= self._max_strangers:
            return self._close_some(strangers)
        if len(self.connections) < self._max_connections:
            return True
        # Members have more than the places that are only theirs.
        members = [each for each in self.connections if each.peer.is_member]
        return self._close_some(members) or self._close_some(strangers)

    def _strangers(self) -> list[Connection]:
        return [each for each in self.connections if not each.peer.is_member]

    def _make_place(self) -> None:
        if not self._close_some(self._strangers()):
            self._close_some(self.connections)

    def _close_some(self, connections: Iterable[Connection]) -> bool:
        """Close connections that wait for their clients, of the addresses that have the most.

        Those that wait for a request come first. Several are closed at once, because choosing them
        takes longer than accepting a connection. False if none waits.
        """
        waiting = [each for each in connections if each.phase is not Phase.WORKING]
        victims = [each for each in waiting if each.phase is Phase.RECEIVING] or waiting
        count = max(1, self._max_connections // CLOSED_PART)
        for victim in islice(heaviest_first(victims, lambda _: 1), count):
            victim.abort()
        return bool(victims)

    def balance(self) -> None:
        if self.held <= MAX_HELD_BYTES:
            return
        holding = [each for each in self.connections if each.held]
        strangers = [each for each in holding if not each.peer.is_member]
        members = [each for each in holding if each.peer.is_member]
        for group in (strangers, members):
            if self.held > MAX_HELD_BYTES:
                self._free(group)

    def _free(self, group: Iterable[Connection]) -> None:
        for victim in heaviest_first(group, lambda each: each.held):
            victim.abort()
            if self.held <= MAX_HELD_BYTES - FREED_BYTES:
                return

    async def _sweep(self) -> None:
        """Count the time of all connections, while there are any."""
        before = time.monotonic()
        while True:
            if not self.connections:
                self._occupied.clear()
                await self._occupied.wait()
                before = time.monotonic()
            await asyncio.sleep(TICK_SECONDS)
            now = time.monotonic()
            passed, before = min(now - before, MAX_TICK_SECONDS), now
            for connection in list(self.connections):
                self._tick(connection, passed)

    def _tick(self, connection: Connection, seconds: float) -> None:
        """Count the time of one connection. A fault in it must not end the deadlines of others."""
        try:
            connection.tick(seconds)
        except Exception:
            logger.exception("connection_failed")
            connection.abort()


def _shut(accepted: socket.socket) -> None:
    """End a connection below its transport, which then sees its end, and closes the socket."""
    with suppress(OSError):
        accepted.shutdown(socket.SHUT_RDWR)


def heaviest_first(
    connections: Iterable[Connection], weight: Callable[[Connection], int]
) -> Iterator[Connection]:
    """Order connections so that none of an address with less weight comes before one with more.

    Of the connections of one address, the one with the most weight comes first.
    """
    shares: dict[str, list[Connection]] = {}
    for each in connections:
        shares.setdefault(each.peer.share, []).append(each)
    for found in shares.values():
        found.sort(key=weight, reverse=True)
        found.reverse()  # the next one is last; of equal ones, the oldest
    heap = [
        (-sum(map(weight, found)), number, found) for number, found in enumerate(shares.values())
    ]
    heapq.heapify(heap)
    while heap:
        total, number, found = heap[0]
        chosen = found.pop()
        if found:
            heapq.heapreplace(heap, (total + weight(chosen), number, found))
        else:
            heapq.heappop(heap)
        yield chosen


def serve(
    build: Callable[[], Service], *, name: str, host: str, port: int, threads: int, tls: Tls
) -> None:
    """Serve until SIGTERM or SIGINT; then the process ends with code 0.

    It ends with code 3 if a loop of the service finds that another process uses what it needs; the
    message is on standard error.

    SIGHUP reads the certificate and its key again.

    Args:
        build: builds the service, when its port is open.
        name: the name of the service in log messages.
        threads: the number of threads for requests that no lane of the service takes.

    Raises:
        SettingsError: the certificate or the key cannot be used.
        SystemExit: 3 if the port cannot be used, or the service could not be built; the message is
            on standard error.
    """
    context = server_context(tls)
    SSLProtocol.max_size = READ_BUFFER_BYTES  # the default takes 256 KiB for each connection
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # core dumps would contain secrets
    log_format.configure(name)
    sys.setswitchinterval(SWITCH_SECONDS)
    max_connections = raise_descriptor_limit()
    listener = listen(host, port)
    try:
        service = build()
    except DragonError as error:
        _print_error(error)
        raise SystemExit(3) from None
    expiry = CertificateExpiry(tls)
    metrics.add(service.app, expiry.metrics)
    failures: list[InUse] = []

    def end(error: InUse) -> None:
        failures.append(error)
        os.kill(os.getpid(), signal.SIGTERM)

    loops = Loops(service.loops, end)

    async def run() -> None:
        stop = asyncio.Event()
        _handle_signals(stop, loops, partial(_reload_certificate, tls, context, expiry))
        loops.start()  # after the signals: a loop may end the service at once
        await Server(service, threads, max_connections, context).run(listener, stop)

    asyncio.run(_ending(run(), loops, service, failures))


def _print_error(error: DragonError) -> None:
    sys.stderr.write(f"dragon: {error.name}: {error}\n")
    sys.stderr.flush()


async def _ending(running: Any, loops: Loops, service: Service, failures: Sequence[InUse]) -> None:
    """Run the server, then close the service and end the process.

    Python would wait for every thread, but name lookups cannot be interrupted.
    """
    await running
    loops.stop()
    loops.join()
    service.close()
    for error in failures:
        _print_error(error)
    logging.shutdown()
    os._exit(3 if failures else 0)


def _handle_signals(stop: asyncio.Event, loops: Loops, reload: Callable[[], None]) -> None:
    def begin_stopping() -> None:
        loops.stop()
        stop.set()

    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, begin_stopping)
    loop.add_signal_handler(signal.SIGHUP, reload)


def _reload_certificate(
    tls: Tls, context: ssl.SSLContext | None, expiry: CertificateExpiry
) -> None:
    """Use the certificate that is in the files now; keep the one in use if that fails."""
    try:
        server_context(tls)  # checks both files, and names the faulty one
    except DragonError as error:
        logger.error("certificate_refused", detail=str(error))
        return
    if context is not None and tls.certfile is not None:
        with suppress(OSError, ssl.SSLError):
            context.load_cert_chain(tls.certfile, tls.keyfile)
            expiry.read()
            logger.info("certificate_read")
