"""A fleet as local processes: started, watched, killed and stopped from here.

Every service runs in a process group of its own, so that killing it kills all of it, and nothing is
left behind when this program ends.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from dragon.net import tls
from dragon_cli import services
from dragon_cli.fleet import queries
from dragon_cli.fleet.layout import Home, PROVER, port_of
from dragon_cli.fleet.queries import View
from dragon_cli.errors import PortInUse
from dragon.net.http_client import HttpClient
from dragon.net.session import make_session
from dragon.protocol.committee import Committee
from dragon.encoding import Json
from dragon.errors import PeerError, StepFailed

STOP_SECONDS: Final = 6.0
READY_SECONDS: Final = 40.0
COMPILING_SECONDS: Final = 180.0  # a prover's first start, on a busy machine


class Fleet:
    """The services of one home. A context manager: on the way out, however, all are stopped."""

    def __init__(self, home: Home, settings: Mapping[str, str] | None = None) -> None:
        self.home = home
        self.committee: Committee = home.committee()
        self._settings = dict(settings or {})
        ca = self._settings.get(tls.CA) or os.environ.get(tls.CA)  # as the services will have it
        self._http = HttpClient(make_session(Path(ca) if ca else home.ca))
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def addresses(self) -> dict[str, str]:
        """Every service of the fleet by name, in the order of starting."""
        found = {}
        if self.home.sequencer_keys.exists():  # else the network is somebody else's
            found["sequencer"] = self.home.sequencer_url()
        for operator in self.committee.operators:
            found[operator.id] = operator.url
        for aggregator in self.committee.aggregators:
            name = f"aggregator_{aggregator.rank}" if aggregator.rank else "aggregator"
            found[name] = aggregator.url
        return found | self.home.services()

    def check_installed(self) -> None:
        """Raises MissingExtra: a service needs compiled code that is not installed."""
        for name in self.addresses:
            services.check_installed(_kind(name))

    def check_ports(self) -> None:
        """Raises PortInUse: something else listens where a service should."""
        for name, url in self.addresses.items():
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port_of(url)))
                except OSError:
                    message = f"port {port_of(url)}, where {name} belongs, is in use"
                    raise PortInUse(message) from None

    def start(self, name: str) -> None:
        """Start one service in the background; its output goes to a file."""
        output = self.home.output(name)
        output.parent.mkdir(parents=True, exist_ok=True)
        with output.open("ab") as file:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", "dragon_cli.main", *self._arguments(name)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self._settings},
                start_new_session=True,
            )

    def _arguments(self, name: str) -> list[str]:
        kind, port = _kind(name), port_of(self.addresses[name])
        arguments = ["serve", kind, "--home", str(self.home.path), "--port", str(port)]
        if kind == "operator":
            return [*arguments, "--id", name]
        if kind == "aggregator":
            return [*arguments, "--rank", name.partition("_")[2] or "0"]
        return arguments

    def start_all(self) -> None:
        self.check_installed()
        self.check_ports()
        for name in self.addresses:
            self.start(name)

    def kill(self, name: str) -> None:
        """SIGKILL, to the whole group: nothing is finished, nothing flushed."""
        process = self._running.pop(name)
        _signal(process, signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        """SIGTERM to all, and SIGKILL to whatever is still there after a few seconds."""
        processes = list(self._running.values())
        for process in processes:
            _signal(process, signal.SIGTERM)
        ends = time.monotonic() + STOP_SECONDS
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, ends - time.monotonic()))
            _signal(process, signal.SIGKILL)
            process.wait()
        self._running.clear()
        self._http.close()

    def is_running(self, name: str) -> bool:
        process = self._running.get(name)
        return process is not None and process.poll() is None

    def check_running(self) -> None:
        """Raises StepFailed: a service that we started has ended, with the last line it said."""
        for name, process in self._running.items():
            if process.poll() is not None:
                said = _last_words(self.home.output(name))
                raise StepFailed(f"{name} ended with code {process.returncode}; it said: {said}")

    def is_ready(self, name: str) -> bool:
        path = "/node/ready" if name == "sequencer" else "/readyz"
        try:
            answer = self._http.get(self.addresses[name] + path, deadline=1.0)
        except PeerError:
            return False
        return answer.status == 200

    def wait_ready(self) -> None:
        """Raises StepFailed: a service ended, or is not ready in time."""
        for name in self.addresses:
            seconds = COMPILING_SECONDS if name == PROVER else READY_SECONDS
            self.wait_until(partial(self.is_ready, name), f"{name} is ready", seconds)

    def wait_until(
        self, true: Callable[[], bool], what: str, seconds: float, pause: float = 0.1
    ) -> float:
        """Wait for something to come true; how many seconds it took.

        Raises StepFailed: it did not in time, or a service has ended meanwhile.
        """
        begun = time.monotonic()
        while not true():
            self.check_running()
            if time.monotonic() - begun > seconds:
                raise StepFailed(f"after {seconds:.0f} s it is still not so that {what}")
            time.sleep(pause)
        return time.monotonic() - begun

    def view(self, operator: str) -> View:
        return queries.view(self.committee, operator, self._http)

    def views(self) -> list[View]:
        return queries.views(self.committee, self._http)

    def get(self, name: str, path: str, **params: str | int) -> dict[str, Json]:
        """Raises PeerError."""
        return queries.get(self._http, self.addresses[name] + path, **params)


def _last_words(output: Path) -> str:
    """What a service said last: its own message where there is one."""
    said = output.read_text(errors="replace").strip().splitlines()
    own = [line for line in said if line.startswith("dragon: ")]
    return (own or said or ["nothing"])[-1]


def _kind(name: str) -> str:
    """The service that `dragon serve` calls so, of a name such as `operator_1` or `zkp_api`."""
    return name.partition("_")[0]


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """To the whole group. The leader may be gone while its worker is not."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def interrupt_on_signals() -> None:
    """Make SIGTERM and SIGHUP end this program as Ctrl-C does, so that it cleans up."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGHUP, interrupt)
