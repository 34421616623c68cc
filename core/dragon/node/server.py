"""Running a service: gunicorn with one process and threads, and the service's own loops beside it.

gunicorn imports our code, forks, and builds the app in the child; threads and database connections
therefore begin there and never cross the fork.
"""

from __future__ import annotations

import logging
import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from gunicorn.workers.gthread import TConn, ThreadWorker

from dragon.errors import DragonError
from dragon.net.deadlines import ServerSocket, TlsServerSocket
from dragon.net.tls import Tls, server_context
from dragon.node import log_format

Loop = Callable[[threading.Event], None]
GRACE: Final = 3  # seconds in which a stopping service finishes what it has begun

logger = log_format.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Service:
    """What a service's `build` returns: its face, and the loops that run for its whole life."""

    app: Flask
    loops: Sequence[Loop] = ()
    close: Callable[[], None] = field(default=lambda: None)


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn ships no types
    """A threaded worker in which a slow client cannot keep a thread for longer than a deadline."""

    def handle(self, conn: TConn) -> Any:
        if not isinstance(conn.sock, ServerSocket):
            conn.sock = ServerSocket.adopt(conn.sock)
        keep = self._begin(conn) and super().handle(conn)
        if keep:
            _rest(conn)
        else:
            conn.sock.linger_close()
        return keep

    def _begin(self, conn: TConn) -> bool:
        """Shake hands, if it is the first request and there is TLS. On this thread, within the span
        of the request; gunicorn would wait five seconds for a first byte before it looks at all,
        and would warn about whoever speaks no TLS and answer in plain text."""
        try:
            conn.init()
        except OSError as error:
            self.log.debug("No request comes: %s", error)
            return False
        return True

    def handle_exit(self, sig: int, frame: Any) -> None:
        self.app.begin_stopping()
        super().handle_exit(sig, frame)


def _rest(conn: TConn) -> None:
    """Let a connection wait for its next request, which has spans of its own.

    What OpenSSL has decrypted of it would wait unseen, because the poller looks at the socket
    alone. What is in the parser's buffer gunicorn takes up at once.
    """
    conn.sock.setblocking(False)
    unseen = conn.sock.pending() if isinstance(conn.sock, TlsServerSocket) else 0
    if unseen and not conn.parser.unreader.buf.getvalue():
        conn.parser.unreader.unread(conn.sock.recv(unseen))


class GunicornLog(Logger):  # type: ignore[misc]
    """gunicorn without handlers of its own: what it says comes out as what everybody says."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for log in (self.error_log, self.access_log):
            log.handlers.clear()
            log.propagate = True


class _Gunicorn(BaseApplication):  # type: ignore[misc]
    def __init__(self, build: Callable[[], Service], options: dict[str, object]) -> None:
        self._build = build
        self._options = options
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._service: Service | None = None
        self._told = False
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)
        self.cfg.set("post_worker_init", lambda _worker: self._start())
        self.cfg.set("worker_exit", lambda _server, _worker: self._finish())

    def load(self) -> Flask:
        try:
            self._service = self._build()
        except DragonError as error:
            # The arbiter gives up on code 3 (its "boot error"), so this is said once.
            sys.stderr.write(f"dragon: {error.name}: {error}\n")
            sys.stderr.flush()
            raise SystemExit(3) from None
        return self._service.app

    def _start(self) -> None:
        if self._service is None:
            return
        for number, loop in enumerate(self._service.loops):
            thread = threading.Thread(
                target=_guarded(loop), args=(self._stop,), name=f"loop-{number}", daemon=True
            )
            thread.start()
            self._threads.append(thread)

    def begin_stopping(self) -> None:
        """Called as soon as the worker is told to stop: the loops end while requests drain."""
        self._told = True
        self._stop.set()

    def _finish(self) -> None:
        self._stop.set()
        ends = time.monotonic() + 1
        for thread in self._threads:
            thread.join(timeout=max(0.0, ends - time.monotonic()))
        if self._service is None:
            return
        self._service.close()
        if self._told:
            # Python would wait for every thread, and nothing interrupts one that looks up a name.
            logging.shutdown()
            os._exit(0)


def bind_of(host: str, port: int) -> str:
    """As gunicorn takes it; an IPv6 address is full of colons."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _guarded(loop: Loop) -> Loop:
    """A loop that dies must not die silently: it is logged, and begun again after a second."""

    def run(stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                loop(stop)
                return
            except Exception:
                logger.exception("loop_failed")
                stop.wait(1)

    return run


def serve(
    build: Callable[[], Service],
    *,
    name: str,
    host: str,
    port: int,
    threads: int,
    tls: Tls,
) -> None:
    """Serve until SIGTERM or SIGINT. Does not return before the service has stopped.

    Raises:
        SettingsError: certificate or key cannot be used.
        SystemExit: 3 if the service could not be built; its message is on standard error.
    """
    context = server_context(tls)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # what we hold in memory is nobody else's
    log_format.configure(name)
    shared_memory = Path("/dev/shm")  # noqa: S108
    options: dict[str, object] = {
        "bind": bind_of(host, port),
        "workers": 1,
        "threads": threads,
        "worker_class": f"{__name__}.Worker",
        "proc_name": name,
        "graceful_timeout": GRACE,
        "timeout": 60,
        "keepalive": 2,
        "limit_request_line": 4094,
        "limit_request_fields": 64,
        "backlog": 256,
        "worker_connections": 512,
        "worker_tmp_dir": str(shared_memory) if shared_memory.is_dir() else None,
        "control_socket_disable": True,
        "logger_class": f"{__name__}.GunicornLog",
        "loglevel": "warning",
        "accesslog": None,
        "sendfile": False,  # it would go past our deadline
    }
    if context is not None:
        # The files only make gunicorn speak TLS; it asks for the context with every connection.
        options |= {"certfile": str(tls.certfile), "keyfile": str(tls.keyfile)}
        options["ssl_context"] = lambda _config, _default: context
    _Gunicorn(build, options).run()
