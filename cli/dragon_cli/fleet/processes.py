"""The services of a fleet as local processes: start, kill, wait for and stop them.

Each service runs in its own process group, so that a signal reaches all of its processes.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Protocol, Self

from dragon.encoding import Json
from dragon.errors import PeerError, StepFailed
from dragon.net import tls_names
from dragon.net.http_client import HttpClient
from dragon.net.session import make_session
from dragon.node.health import TOLERATED_REASONS
from dragon.protocol.committee import Committee
from dragon.storage.permissions import PUBLIC_FOLDER, make_folder
from dragon_cli import lifeline, services
from dragon_cli.errors import PortInUse
from dragon_cli.fleet import home_operators, queries
from dragon_cli.fleet.layout import (
    Home,
    aggregator_name,
    port_of,
    service_kind,
    service_number,
)
from dragon_cli.fleet.queries import View
from dragon_cli.forking import ForkFailed, ForkServer, Setting, fork_server
from dragon_cli.hints import with_hint

OUTPUT_END_BYTES: Final = 2048  # of a service's output, in which its last message is searched
NO_OUTPUT: Final = "(none)"
NO_ANSWER: Final = "it does not answer yet."
PROVER_KIND: Final = "zkp"
STOP_SECONDS: Final = 6.0
REPORT_SECONDS: Final = 10.0  # between two lines about a service that is not ready
READY_POLL_SECONDS: Final = 0.05
COMPILED_POLL_SECONDS: Final = 0.5
# How the reason of a prover begins whose kernels are not in the cache.
COMPILING: Final = "compiling:"
COMPILING_NOTE: Final = (
    "The prover still compiles its kernels for this processor: half a minute, longer if busy. "
    "Windows of streams wait for it."
)


class Service(Protocol):
    """The process of a service: `subprocess.Popen`, or a forked `Child`."""

    pid: int
    returncode: int | None

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, number: int, /) -> None: ...


class Fleet:
    """The services of one fleet. A context manager that stops all of them at its end."""

    def __init__(self, home: Home, settings: Mapping[str, str] | None = None) -> None:
        """Args: `settings`, environment variables for all services."""
        self.home = home
        self.committee: Committee = home.committee()
        self._stamp = home.committee_file.stat().st_mtime_ns
        self.running: dict[str, Service] = {}  # by name
        self._settings = dict(settings or {})
        self._lifeline: tuple[int, int] | None = None  # a pipe: for the services, and for us
        # The same CA as the services'.
        ca = self._settings.get(tls_names.CA) or os.environ.get(tls_names.CA)
        self._http = HttpClient(make_session(Path(ca) if ca else home.ca))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def refresh(self) -> None:
        """Read the committee file again if it was replaced, as after a handover."""
        if (stamp := self.home.committee_file.stat().st_mtime_ns) != self._stamp:
            self.committee, self._stamp = self.home.committee(), stamp

    @property
    def addresses(self) -> dict[str, str]:
        """The URL of every service by name, in the order in which they start.

        The operators are those whose keystores are in the home, with a seat or without.
        """
        found = {}
        if self.home.sequencer_keys.exists():  # otherwise the network is not part of this fleet
            found["sequencer"] = self.home.sequencer_url()
        found |= home_operators.urls(self.home, self.committee)
        for aggregator in self.committee.aggregators:
            found[aggregator_name(aggregator.rank)] = aggregator.url
        return found | self.home.services()

    def check_installed(self) -> None:
        """Raise MissingExtra if a service needs compiled code that is not installed."""
        for name in self.addresses:
            services.check_installed(service_kind(name))

    def check_ports(self) -> None:
        """Raise PortInUse if another program listens on the port of a service."""
        for name, url in self.addresses.items():
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port_of(url)))
                except OSError:
                    message = f"Port {port_of(url)} of {name} is in use by another program."
                    raise PortInUse(message) from None

    def start(self, name: str) -> None:
        """Start one service in the background; its output is appended to a file."""
        with self._output(name).open("ab") as file:
            self.running[name] = self.spawn(self._arguments(name), file, self._environ())

    def _output(self, name: str) -> Path:
        output = self.home.output(name)
        make_folder(output.parent, PUBLIC_FOLDER)
        return output

    def _environ(self) -> dict[str, str]:
        own = {lifeline.VARIABLE: "1", **self._settings}
        return {**self._shared_cores(), **os.environ, **own}

    def _shared_cores(self) -> dict[str, str]:
        """Several operators on one machine share its cores: none has processes for windows."""
        several = len(home_operators.urls(self.home, self.committee)) > 1
        return {"OPERATOR_VERIFIERS": "1"} if several else {}

    def spawn(
        self, arguments: Sequence[str], output: IO[bytes], environ: Mapping[str, str]
    ) -> Service:
        """Start `dragon` with these arguments, in a process group of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "dragon_cli.main", *arguments],
            stdin=self._end_for_services(),
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environ,
            start_new_session=True,
        )

    def _end_for_services(self) -> int:
        """The end of a pipe that is closed when we end, so that no service outlives us."""
        if self._lifeline is None:
            self._lifeline = os.pipe()
        return self._lifeline[0]

    def _arguments(self, name: str) -> list[str]:
        kind, port = service_kind(name), port_of(self.addresses[name])
        arguments = ["serve", kind, "--home", str(self.home.path), "--port", str(port)]
        if kind == "operator":
            return [*arguments, "--id", name]
        if kind == "aggregator":
            return [*arguments, "--rank", name.partition("_")[2] or "0"]
        if service_number(name) > 1:
            return [*arguments, "--name", name]
        return arguments

    def start_all(self, server: ForkServer | None = None) -> None:
        """Start all services. Raises MissingExtra, PortInUse.

        Args: `server`, a fork server that runs already; by default one is started.
        """
        self.check_installed()
        self.check_ports()
        with self.fork_server() if server is None else nullcontext(server) as forking:
            # The provers first: they take longest until they are ready.
            for name in sorted(self.addresses, key=lambda name: service_kind(name) != PROVER_KIND):
                if forking is None or not self._start_forked(name, forking):
                    self.start(name)

    def fork_server(self) -> AbstractContextManager[ForkServer | None]:
        """A process that forks services; None where that is impossible."""
        return fork_server()

    def _start_forked(self, name: str, server: ForkServer) -> bool:
        """Start one service as a copy of the fork server. Returns whether that was possible."""
        output = self._output(name)
        output.touch()
        setting = Setting(name, self._end_for_services(), self._environ())
        try:
            self.running[name] = server.start(
                service_kind(name), self._arguments(name), output, setting
            )
        except ForkFailed:
            return False
        return True

    def kill(self, name: str) -> None:
        """Send SIGKILL to all processes of a service: it finishes and flushes nothing."""
        process = self.running.pop(name)
        _signal(process, signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        """Send SIGTERM to all services, and SIGKILL to those still running after a few seconds.

        An interrupt meanwhile, such as a second Ctrl-C, kills them at once.
        """
        processes = list(self.running.values())
        try:
            for process in processes:
                _signal(process, signal.SIGTERM)
            ends = time.monotonic() + STOP_SECONDS
            for process in processes:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.1, ends - time.monotonic()))
        finally:
            for process in processes:
                _signal(process, signal.SIGKILL)
                process.wait()
            self.running.clear()
            for end in self._lifeline or ():
                os.close(end)
            self._lifeline = None
            self._http.close()

    def is_running(self, name: str) -> bool:
        """Return whether we started this service and it has not ended."""
        process = self.running.get(name)
        return process is not None and process.poll() is None

    def started(self) -> list[str]:
        """Return the names of the services that we have started and not killed."""
        return list(self.running)

    def exit_code(self, name: str) -> int | None:
        """Return the exit code of a service, negative for a signal; None while it runs."""
        return self.running[name].poll()

    def last_output(self, name: str) -> str:
        """Return the last line of a service's output."""
        try:
            return _last_line(self.home.output(name))
        except OSError:
            return NO_OUTPUT  # the file was deleted

    def restart(self, name: str) -> None:
        """Start a service again that has ended. Processes that it left behind are killed."""
        _signal(self.running[name], signal.SIGKILL)
        self.start(name)

    def check_running(self) -> None:
        """Raise StepFailed, with the last line of its output, if a service has ended."""
        for name, process in list(self.running.items()):  # another thread may restart one
            if process.poll() is not None:
                said = self.last_output(name)
                message = f"{name} ended with exit code {process.returncode}; last output: {said}"
                raise self._with_output_hint(StepFailed(message))

    def is_ready(self, name: str) -> bool:
        """Return whether a service reports that it is ready."""
        path = "/node/ready" if name == "sequencer" else "/readyz"
        try:
            answer = self._http.get(self.addresses[name] + path, deadline=1.0)
        except PeerError:
            return False
        return answer.status == 200

    def wait_ready(self, say: Callable[[str], object] = lambda _: None) -> None:
        """Wait until all services are ready, apart from the reasons that only time ends.

        The first checkpoint ends the silence of a fleet that was off. It may take three rounds,
        which can be hours. As long may it take until a signed round of the future has come. A busy
        machine may take minutes to start a service: waiting ends only when a service has ended.

        Args: `say`, receives a line about a service that is not ready, every few seconds.

        Raises StepFailed: a service has ended.
        """
        reported = time.monotonic()
        for name in self.addresses:
            while not self._has_started(name):
                self.check_running()
                if time.monotonic() - reported >= REPORT_SECONDS:
                    reported = time.monotonic()
                    say(f"Waiting for {name}: {'; '.join(self._reasons(name)) or NO_ANSWER}")
                time.sleep(READY_POLL_SECONDS)

    def compiling(self) -> list[str]:
        """Return the names of provers that compile their kernels; everything else works."""
        return [
            name
            for name in self.addresses
            if service_kind(name) == PROVER_KIND
            and any(each.startswith(COMPILING) for each in self._reasons(name))
        ]

    def wait_compiled(self) -> None:
        """Wait until no prover compiles its kernels. Raises StepFailed: a service has ended."""
        while self.compiling():
            self.check_running()
            time.sleep(COMPILED_POLL_SECONDS)

    def _has_started(self, name: str) -> bool:
        """Return whether a service is ready, or works in spite of its reasons."""
        if self.is_ready(name):
            return True
        reasons = self._reasons(name)
        return bool(reasons) and all(each.startswith(TOLERATED_REASONS) for each in reasons)

    def _reasons(self, name: str) -> Sequence[str]:
        """Return why a service says that it is not ready; nothing if it says nothing."""
        if name == "sequencer":
            return ()
        try:
            return queries.reasons(self._http, self.addresses[name])
        except PeerError:
            return ()

    def wait_until(
        self, condition: Callable[[], bool], what: str, seconds: float, pause: float = 0.1
    ) -> float:
        """Wait until a condition is true; return the time in seconds that it took.

        Args:
            condition: called every `pause` seconds.
            what: the condition in words, for the error message.
            seconds: the time limit.

        Raises StepFailed: the time limit passed, or a service has ended.
        """
        begun = time.monotonic()
        while not condition():
            self.check_running()
            if time.monotonic() - begun > seconds:
                message = f"Timed out after {seconds:.0f} s while waiting until {what}."
                raise self._with_output_hint(StepFailed(message))
            time.sleep(pause)
        return time.monotonic() - begun

    def view(self, operator: str) -> View:
        """Query one operator."""
        return queries.view(self.committee, operator, self._http)

    def views(self) -> list[View]:
        """Query all operators."""
        return queries.views(self.committee, self._http)

    def get(self, name: str, path: str, **params: str | int) -> dict[str, Json]:
        """Return the JSON object that a service answers. Raises PeerError."""
        return queries.get(self._http, self.addresses[name] + path, **params)

    def _with_output_hint(self, error: StepFailed) -> StepFailed:
        folder = self.home.output("any").parent
        return with_hint(error, f"The output of every service is in {folder}.")


def _last_line(output: Path) -> str:
    """Return the last error message of a service, else the last line of its output.

    Only the end of the output is read: it may be long, and have messages of earlier starts.
    """
    with output.open("rb") as file:
        file.seek(max(0, output.stat().st_size - OUTPUT_END_BYTES))
        lines = file.read().decode(errors="replace").strip().splitlines()
    messages = [line for line in lines if line.startswith("dragon: ")]
    return (messages or lines or [NO_OUTPUT])[-1]


def _signal(process: Service, number: signal.Signals) -> None:
    """Signal the whole group: workers may outlive the leader."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def interrupt_on_signals() -> None:
    """Handle SIGTERM and SIGHUP as Ctrl-C, so that the program stops its services."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGHUP, interrupt)
