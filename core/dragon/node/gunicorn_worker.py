"""gunicorn's worker process: a thread is taken only when a request has arrived.

The poller of the main thread makes TLS handshakes, collects requests, and sends what clients have
not read yet. Only the main thread uses `Connections` and `Share`.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
import time
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from gunicorn.http import errors
from gunicorn.workers.gthread import ThreadWorker

from dragon.net.deadlines import ByteBudget, ServerSocket
from dragon.node.connections import Connections, NoRoom, Share
from dragon.node.gunicorn_connection import GunicornConnection, Step, problem_answer

HEALTH_THREADS: Final = 2  # that serve nothing but `/healthz`, `/readyz` and `/metrics`
QUEUE_SECONDS: Final = 10.0  # that a whole request waits for a thread; then it is refused
UNSENT_BYTES: Final = 16 << 20  # of responses that clients have not read, in all
MAX_ACCEPTS_PER_TURN: Final = 64  # new connections before others are served again
CHECK_SECONDS: Final = 0.1  # between checks for deadlines that have passed
REST_OF_BODY_SECONDS: Final = 0.05  # to discard a body that the service did not read
STOP_SECONDS: Final = 1.0  # for a client that waits when the service stops
LOG_SECONDS: Final = 60.0  # between two messages about the same trouble

# What gunicorn's parser refuses; everything else is 400.
_REFUSALS: Final = {
    errors.LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    errors.LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    errors.ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
    errors.UnsupportedTransferCoding: HTTPStatus.NOT_IMPLEMENTED,
}
_NO_DESCRIPTORS: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn ships no types
    """A threaded worker whose connections wait on the poller, within limits."""

    def init_process(self) -> None:
        limits = self.app.limits
        self.worker_connections = 1 << 30  # `Connections` has the limit
        self.max_keepalived = 1 << 30
        self._connections = Connections[GunicornConnection](
            limits.connections, limits.connections_per_address, limits.is_limited
        )
        health = min(HEALTH_THREADS, limits.request_threads // 2)
        self._health = Share[GunicornConnection](health, limits.is_limited)
        self._requests = Share[GunicornConnection](
            limits.request_threads - health, limits.is_limited
        )
        self._shares: dict[
            GunicornConnection, Share[GunicornConnection]
        ] = {}  # of requests in progress
        self._unsent = ByteBudget(UNSENT_BYTES)
        self._context: ssl.SSLContext | None = self.app.tls_context()
        self._spare = os.open(os.devnull, os.O_RDONLY)
        self._checked_at = self._logged_at = 0.0
        super().init_process()

    # Accepting

    def accept(self, listener: Any) -> None:
        for _ in range(MAX_ACCEPTS_PER_TURN):
            try:
                accepted, client = listener.accept()
            except OSError as error:
                if error.errno in _NO_DESCRIPTORS:
                    self._refuse_without_descriptor(listener)
                return
            with suppress(OSError, ValueError):  # the client has disconnected
                self._open(accepted, client, listener)

    def _open(self, accepted: socket.socket, client: Any, listener: Any) -> None:
        sock = ServerSocket.adopt(accepted)
        sock.budget_for_unsent = self._unsent
        try:
            sock.setblocking(False)
            made = GunicornConnection(
                self.cfg, sock, client, listener.getsockname(), context=self._context
            )
        except (OSError, ValueError):
            sock.close()
            raise
        try:
            if displaced := self._connections.displaced_by(made.address):
                self._close(displaced)
        except NoRoom:
            self._log("all connections are in use; new ones are refused")
            made.close()
            return
        self.nr_conns += 1
        self._connections.add(made.address, made)
        self._advance(made)

    def _refuse_without_descriptor(self, listener: Any) -> None:
        """Close a new connection, or it would wait for ever. A spare descriptor makes it possible.

        The connection that waits longest is closed as well, so that the next one is served.
        """
        self._log("no file descriptor is left; new connections are refused")
        os.close(self._spare)
        with suppress(OSError):
            listener.accept()[0].close()
        with suppress(OSError):
            self._spare = os.open(os.devnull, os.O_RDONLY)
        for waiting in self._connections.waiting()[:1]:
            self._close(waiting)

    # Waiting for clients

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        if self.nr_conns:
            timeout = min(timeout, CHECK_SECONDS)
        for key, _ in self.poller.select(timeout):
            key.data(key.fileobj)

    def _advance(self, conn: GunicornConnection) -> None:
        if not conn.closed:  # by another event of this turn
            self._take(conn, conn.advance)

    def _take(self, conn: GunicornConnection, step: Any) -> None:
        """Make a step of a connection that waits, and do what follows."""
        try:
            result = step()
            if result is Step.WAIT:
                self._watch(conn, conn.wanted)
                return
            if result is Step.SERVE:
                self._watch(conn, 0)
                self._enqueue(conn)
                return
        except OSError as error:
            self.log.debug("The connection ended before a request: %s", error)
        except Exception:
            self.log.exception("A connection failed")
        self._close(conn)

    def _watch(self, conn: GunicornConnection, wanted: int) -> None:
        """Let the poller wait for these events of the connection; 0 for none."""
        if wanted == conn.watched:
            return
        if not wanted:
            self.poller.unregister(conn.sock)
        elif not conn.watched:
            self.poller.register(conn.sock, wanted, lambda _: self._advance(conn))
        else:
            self.poller.modify(conn.sock, wanted, lambda _: self._advance(conn))
        conn.watched = wanted

    def _close(self, conn: GunicornConnection) -> None:
        if conn.closed:
            return
        with suppress(OSError, KeyError, ValueError):
            self._watch(conn, 0)
        self._connections.remove(conn.address, conn)
        self.nr_conns -= 1
        conn.close()

    # Threads

    def _enqueue(self, conn: GunicornConnection) -> None:
        share = self._requests
        if conn.request.is_health_check and self._health.threads:
            share = self._health
        self._shares[conn] = share
        self._connections.work(conn.address, conn)
        conn.deadline = time.monotonic() + QUEUE_SECONDS
        share.enqueue(conn.address, conn)
        self._start_requests()

    def _start_requests(self) -> None:
        for share in (self._health, self._requests):
            while (conn := share.start()) is not None:
                conn.hand_over()
                conn.sock.on_upgrade = partial(self.method_queue.defer, self._upgraded, conn)
                self.enqueue_req(conn)

    def _upgraded(self, conn: GunicornConnection) -> None:
        """Note that the thread serves a WebSocket now, for which there are other threads."""
        conn.upgraded = True
        self._release(conn)
        self._start_requests()

    def _release(self, conn: GunicornConnection) -> None:
        if share := self._shares.pop(conn, None):
            share.finish(conn.address)

    def _keepalive_after(self, conn: GunicornConnection, keepalive: bool) -> bool:
        conn.sock.receive_within(REST_OF_BODY_SECONDS)
        return bool(super()._keepalive_after(conn, keepalive))

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer a request that cannot be served with a problem document.

        A request that is not valid is not logged: anyone can send very many, of any content.
        """
        if isinstance(exc, ssl.SSLError):
            return  # the client cannot read an answer
        if isinstance(exc, errors.ParseException):
            status, detail = (
                _REFUSALS.get(type(exc), HTTPStatus.BAD_REQUEST),
                "the request is not valid HTTP/1.1",
            )
            self.log.debug("A request was refused: %s", exc)
        else:
            status, detail = HTTPStatus.INTERNAL_SERVER_ERROR, "an unexpected error occurred"
            self.log.error("A request failed", exc_info=exc)
        with suppress(OSError):
            client.sendall(problem_answer(status, status.phrase, detail))

    def finish_request(self, conn: GunicornConnection, future: Future[Any]) -> None:
        keep = not conn.upgraded and not future.cancelled() and future.exception() is None
        keep = keep and bool(future.result())
        self._release(conn)
        self._connections.wait(conn.address, conn)
        self._take(conn, partial(conn.take_back, keep=keep))
        self._start_requests()

    # Deadlines and the end

    def murder_keepalived(self, force: bool = False) -> None:
        now = time.monotonic()
        if not force and now < self._checked_at + CHECK_SECONDS:
            return
        self._checked_at = now
        for conn in self._connections.waiting():
            if force or conn.deadline <= now:
                self._close(conn)
        for share in (self._health, self._requests):
            for conn in share.withdraw(lambda waiting: waiting.deadline > now):
                del self._shares[conn]
                self._connections.wait(conn.address, conn)
                refusal = "the service has too much to do; try again later"
                self._take(conn, partial(conn.refuse, 503, "Service Unavailable", refusal))

    def _cap_keepalive(self, deadline: float) -> None:
        for conn in self._connections.waiting():
            conn.shorten(STOP_SECONDS)

    def handle_exit(self, sig: int, frame: Any) -> None:
        self.app.begin_stopping()
        super().handle_exit(sig, frame)

    def _log(self, message: str) -> None:
        now = time.monotonic()
        if now >= self._logged_at + LOG_SECONDS or not self._logged_at:
            self._logged_at = now
            self.log.warning(message)
