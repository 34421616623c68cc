"""Run a service: gunicorn with one worker process and threads, and the service's background loops.

gunicorn imports the code, forks, and builds the app in the worker. Threads and database connections
are therefore created in the worker and never cross the fork. `gunicorn_worker` serves connections,
`gunicorn_arbiter` watches the worker.
"""

from __future__ import annotations

import logging
import os
import resource
import ssl
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from dragon.errors import DragonError
from dragon.net.tls import Tls, server_context
from dragon.node import client_gone, log_format, metrics, open_files
from dragon.node.connections import Limits
from dragon.node.gunicorn_arbiter import ServiceArbiter
from dragon.node.listening import listen
from dragon.node.server_metrics import CertificateExpiry
from dragon.node.service import Loops, Service, bind_of

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

GRACE_SECONDS: Final = 3  # for requests that are in progress when the service stops
WORKER_TIMEOUT_SECONDS: Final = 60  # without a sign of life; then the worker is replaced


class GunicornLog(Logger):  # type: ignore[misc]
    """gunicorn's logger without its own handlers: its messages use the service's log format."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for log in (self.error_log, self.access_log):
            log.handlers.clear()
            log.propagate = True


class _Gunicorn(BaseApplication):  # type: ignore[misc]
    def __init__(
        self, build: Callable[[], Service], options: dict[str, object], tls: Tls, limits: Limits
    ) -> None:
        self._build = build
        self._options = options
        self._tls = tls
        self.limits = limits
        self._service: Service | None = None
        self._loops = Loops(())
        self._told_to_stop = False
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)
        self.cfg.set("post_worker_init", lambda _worker: self._start())
        self.cfg.set("worker_exit", lambda _server, _worker: self._finish())

    def run(self) -> None:
        ServiceArbiter(self).run()

    def tls_context(self) -> ssl.SSLContext | None:
        """Read the certificate and its key. Raises SettingsError."""
        return server_context(self._tls)

    def load(self) -> WSGIApplication:
        try:
            self._service = self._build()
        except DragonError as error:
            # gunicorn stops restarting workers at code 3 ("boot error"), so this is printed once.
            sys.stderr.write(f"dragon: {error.name}: {error}\n")
            sys.stderr.flush()
            raise SystemExit(3) from None
        # SIGHUP starts another worker, which reads the certificate again.
        metrics.add(self._service.app, CertificateExpiry(self._tls).metrics)
        return client_gone.from_socket(self._service.app)

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
    limits: Limits | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, and return when the service has stopped.

    Args:
        build: builds the service, in the worker process.
        name: the name of the service in log messages and process lists.
        threads: the number of threads that answer requests and serve WebSockets.
        limits: what clients may use; None if all threads serve requests.

    Raises:
        SettingsError: the certificate or the key cannot be used.
        SystemExit: 3 if the address is in use or the service could not be built; the message is on
            standard error. 1 if its worker process died again and again.
    """
    server_context(tls)
    listen(host, port).close()  # gunicorn would try for five seconds, and report it in JSON
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # core dumps would contain secrets
    limits = within(open_files.raise_limit(), threads, limits or Limits(threads))
    log_format.configure(name)
    shared_memory = Path("/dev/shm")  # noqa: S108
    options: dict[str, object] = {
        "bind": bind_of(host, port),
        "workers": 1,
        "threads": threads,
        "worker_class": "dragon.node.gunicorn_worker.Worker",
        "proc_name": name,
        "graceful_timeout": GRACE_SECONDS,
        "timeout": WORKER_TIMEOUT_SECONDS,
        "keepalive": 2,
        "limit_request_line": 4094,
        "limit_request_fields": 64,
        "backlog": 256,
        "worker_tmp_dir": str(shared_memory) if shared_memory.is_dir() else None,
        "control_socket_disable": True,
        "logger_class": f"{__name__}.GunicornLog",
        "loglevel": "warning",
        "accesslog": None,
        "sendfile": False,  # it would bypass the deadline
    }
    if tls.certfile is not None:
        # gunicorn takes only the scheme of URLs from this; the worker wraps the sockets.
        options |= {"certfile": str(tls.certfile), "keyfile": str(tls.keyfile)}
    _Gunicorn(build, options, tls, limits).run()


def within(files: int, threads: int, limits: Limits) -> Limits:
    """Reduce the number of connections to what a limit of open files allows."""
    free = open_files.left_for_connections(files)
    websockets = threads - limits.request_threads
    most = max(1, free - (open_files.PER_WEBSOCKET - 1) * websockets)
    connections = min(limits.connections, most)
    per_address = min(limits.connections_per_address, connections)
    return replace(limits, connections=connections, connections_per_address=per_address)
