"""Run a service: gunicorn with one worker process and threads, and the service's background loops.

gunicorn imports the code, forks, and builds the app in the worker. Threads and database connections
are therefore created in the worker and never cross the fork.
"""

from __future__ import annotations

import logging
import os
import resource
import sys
from collections.abc import Callable
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
from dragon.node.service import Loops, Service, bind_of

GRACE_SECONDS: Final = 3  # for requests that are in progress when the service stops


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn ships no types
    """A threaded worker in which a client can occupy a thread only up to a deadline."""

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
        """Make the TLS handshake before the first request, within the request's time limit.

        gunicorn would first wait five seconds for a byte, and would log a warning and answer in
        plain text if the client does not use TLS.
        """
        try:
            conn.init()
        except OSError as error:
            self.log.debug("The connection ended before a request: %s", error)
            return False
        return True

    def handle_exit(self, sig: int, frame: Any) -> None:
        self.app.begin_stopping()
        super().handle_exit(sig, frame)


def _rest(conn: TConn) -> None:
    """Let a connection wait for its next request, which gets new time limits.

    gunicorn polls only the socket, so it would not notice bytes that OpenSSL has already decrypted.
    They are moved to the parser's buffer, which gunicorn checks.
    """
    conn.sock.setblocking(False)
    decrypted = conn.sock.pending() if isinstance(conn.sock, TlsServerSocket) else 0
    if decrypted and not conn.parser.unreader.buf.getvalue():
        conn.parser.unreader.unread(conn.sock.recv(decrypted))


class GunicornLog(Logger):  # type: ignore[misc]
    """gunicorn's logger without its own handlers: its messages use the service's log format."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for log in (self.error_log, self.access_log):
            log.handlers.clear()
            log.propagate = True


class _Gunicorn(BaseApplication):  # type: ignore[misc]
    def __init__(self, build: Callable[[], Service], options: dict[str, object]) -> None:
        self._build = build
        self._options = options
        self._service: Service | None = None
        self._loops = Loops(())
        self._told_to_stop = False
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
            # gunicorn stops restarting workers at code 3 ("boot error"), so this is printed once.
            sys.stderr.write(f"dragon: {error.name}: {error}\n")
            sys.stderr.flush()
            raise SystemExit(3) from None
        return self._service.app

    def _start(self) -> None:
        if self._service is not None:
            self._loops = Loops(self._service.loops)
            self._loops.start()

    def begin_stopping(self) -> None:
        """End the background loops while the remaining requests finish."""
        self._told_to_stop = True
        self._loops.stop()

    def _finish(self) -> None:
        self._loops.stop()
        self._loops.join()
        if self._service is None:
            return
        self._service.close()
        if self._told_to_stop:
            # Python would wait for every thread, but name lookups cannot be interrupted.
            logging.shutdown()
            os._exit(0)


def serve(
    build: Callable[[], Service],
    *,
    name: str,
    host: str,
    port: int,
    threads: int,
    tls: Tls,
) -> None:
    """Serve until SIGTERM or SIGINT, and return when the service has stopped.

    Args:
        build: builds the service, in the worker process.
        name: the name of the service in log messages and process lists.
        threads: the number of threads that answer requests.

    Raises:
        SettingsError: the certificate or the key cannot be used.
        SystemExit: 3 if the service could not be built; the message is on standard error.
    """
    context = server_context(tls)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # core dumps would contain secrets
    log_format.configure(name)
    shared_memory = Path("/dev/shm")  # noqa: S108
    options: dict[str, object] = {
        "bind": bind_of(host, port),
        "workers": 1,
        "threads": threads,
        "worker_class": f"{__name__}.Worker",
        "proc_name": name,
        "graceful_timeout": GRACE_SECONDS,
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
        "sendfile": False,  # it would bypass the deadline
    }
    if context is not None:
        # The files only switch TLS on; gunicorn takes the context for every connection.
        options |= {"certfile": str(tls.certfile), "keyfile": str(tls.keyfile)}
        options["ssl_context"] = lambda _config, _default: context
    _Gunicorn(build, options).run()
