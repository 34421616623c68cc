"""A network in containers for tests: compose starts it, the engine causes faults."""

from __future__ import annotations

import io
import math
import os
import shutil
import socket
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Any, Final, TypeVar

import docker
import requests
from docker.errors import APIError
from docker.models.containers import Container
from docker.models.networks import Network
from prometheus_client.parser import text_string_to_metric_families

from dragon.net.http_client import HttpClient
from dragon.net.session import make_session
from dragon.net.stream_client import StreamClient

ROOT: Final = Path(__file__).parents[1]
PORTS: Final = {
    "sequencer": 6001,
    **{f"operator-{n}": 5000 + n for n in range(1, 5)},
    "aggregator": 5100,
    "stream-api": 5300,
    "explorer": 5400,
}
HIDDEN: Final = {"zkp-api": 5200}  # listens on a separate network and has no published port
SOURCES: Final = ("source-sensor", "source-ticker")  # have no port and no health check
OPERATORS: Final = [name for name in PORTS if name.startswith("operator")]
PROJECT: Final = "com.docker.compose.project"
SERVICE: Final = "com.docker.compose.service"
ONE_OFF: Final = "com.docker.compose.oneoff"  # made by `compose run`

T = TypeVar("T")
Json = Any
Log = tuple[int, str]  # size and root


COMPOSE_V2: Final = ["docker", "compose"]


def compose_command() -> list[str]:
    """The compose command: from DRAGON_COMPOSE, or the installed one, the older first."""
    if chosen := os.environ.get("DRAGON_COMPOSE"):
        return chosen.split()
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    return COMPOSE_V2


class Stack:
    """One compose project. Later `files` override earlier ones; paths start at the root."""

    def __init__(
        self,
        project: str,
        files: Sequence[str],
        images: dict[str, str],
        command: Sequence[str] | None = None,
    ) -> None:
        self.project = project
        self.engine = docker.from_env(timeout=60)
        self._command = list(command or compose_command())
        self.scheme = "http"
        self.authority: str | None = None  # CA file used to verify HTTPS
        self._files = list(files)
        self._environ = {**os.environ, **images, "BIND_ADDRESS": "127.0.0.1"}

    def overridden(self, *files: str, **settings: str) -> Stack:
        """The same project with further compose files. Only the first one is closed."""
        made = copy(self)
        made._files = [*self._files, *files]
        made._environ = self._environ | settings
        return made

    def compose(self, *arguments: str, seconds: float = 180, stdin: str = "") -> str:
        files = [part for file in self._files for part in ("-f", str(ROOT / file))]
        command = [*self._command, "-p", self.project, *files, *arguments]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self._environ,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(arguments)}: {done.stdout[-3000:]}"
        return done.stdout

    def container(self, service: str) -> Container:
        labels = [f"{PROJECT}={self.project}", f"{SERVICE}={service}", f"{ONE_OFF}=False"]
        [found] = self.engine.containers.list(all=True, filters={"label": labels})
        return found

    def containers(self) -> dict[str, Container]:
        return {service: self.container(service) for service in (*PORTS, *HIDDEN, *SOURCES)}

    def healthy(self) -> set[str]:
        """Healthy services, and running ones without a health check."""
        labels = [f"{PROJECT}={self.project}", f"{ONE_OFF}=False"]
        listed = self.engine.api.containers(filters={"label": labels})
        return {
            each["Labels"][SERVICE]
            for each in listed
            if each["State"] == "running"
            and ("(healthy)" in each["Status"] or each["Labels"][SERVICE] in SOURCES)
        }

    def wait_healthy(self, *services: str, seconds: float = 90) -> float:
        names = set(services or (*PORTS, *HIDDEN, *SOURCES))
        return wait_until(
            lambda: names <= self.healthy(), f"{', '.join(sorted(names))} healthy", seconds
        )

    def of_each(self, ask: Callable[[str], T]) -> dict[str, T]:
        """The result of `ask` for every service. Some run concurrently."""
        names = (*PORTS, *HIDDEN, *SOURCES)
        with ThreadPoolExecutor(4) as pool:
            return dict(zip(names, pool.map(ask, names), strict=True))

    def network(self, name: str) -> Network:
        [found] = self.engine.networks.list(names=[f"{self.project}_{name}"])
        return found

    def start(self, service: str) -> None:
        self.container(service).start()
        self.wait_healthy(service)

    # Queries from the host

    def metric(self, service: str, name: str, **labels: str) -> float:
        """The sum of all samples of `/metrics` with this name and these labels.

        Returns `nan` while the service does not answer.
        """
        url = f"{self.scheme}://127.0.0.1:{PORTS[service]}/metrics"
        try:
            text = requests.get(url, timeout=5, verify=self.authority or True).text
        except requests.RequestException:
            return math.nan
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def get(self, service: str, path: str) -> Json:
        answer = requests.get(
            f"{self.scheme}://127.0.0.1:{PORTS[service]}{path}",
            timeout=5,
            verify=self.authority or True,
        )
        assert answer.status_code == 200, f"{service}{path}: {answer.status_code} {answer.text}"
        return answer.json()

    def log(self, operator: str) -> Log:
        """Size and root of an operator's log; (-1, "") if it does not answer."""
        try:
            checkpoint = self.get(operator, "/checkpoint")
        except requests.RequestException:
            return (-1, "")
        return checkpoint["size"], checkpoint["root"]

    def status(self, operator: str, node: str) -> str:
        """A node's status in one operator's log."""
        try:
            nodes = self.get(operator, "/nodes")["nodes"]
        except requests.RequestException:
            return "unreachable"
        [found] = [entry for entry in nodes if entry["node_id"] == node.replace("-", "_")]
        return str(found["status"])

    def history(self, operator: str, node: str) -> list[tuple[str, int]]:
        rows = self.get(operator, f"/logs?node_id={node.replace('-', '_')}&limit=500")["logs"]
        return [(row["status"], row["timestamp"]) for row in rows]

    def streams(self) -> StreamClient:
        """A client of the stream service with the token to create streams."""
        token = self.run("source-sensor", "cat", "/fleet/keys/sources/token")[1].strip()
        ca = Path(self.authority) if self.authority else None
        url = f"{self.scheme}://127.0.0.1:{PORTS['stream-api']}"
        return StreamClient(url, HttpClient(make_session(ca)), token, ca)

    # Waiting

    def wait_certified(self, node: str, status: str, seconds: float = 45) -> float:
        """Wait until all other operators' logs show that status."""
        others = [name for name in OPERATORS if name != node]
        return wait_until(
            lambda: all(self.status(name, node) == status for name in others),
            f"{node} {status} in the logs of {', '.join(others)}",
            seconds,
        )

    def wait_identical(self, operators: Sequence[str] = OPERATORS, seconds: float = 45) -> Log:
        """Wait until all logs have the same size and root; return them."""
        seen: list[Log] = []

        def identical() -> bool:
            seen[:] = [self.log(name) for name in operators]
            return len(set(seen)) == 1 and seen[0][0] >= 0

        wait_until(identical, f"the logs of {', '.join(operators)} are identical", seconds)
        return seen[0]

    def wait_settled(self, *services: str, seconds: float = 90) -> Log:
        """Wait until the services are healthy, all are certified up, and all logs are equal."""
        self.wait_healthy(*services, seconds=seconds)
        for node in OPERATORS:
            self.wait_certified(node, "up", seconds)
        return self.wait_identical(seconds=seconds)

    @contextmanager
    def paused(self, service: str) -> Iterator[None]:
        """Stop a container's processes with SIGSTOP; SIGCONT at the end of the block."""
        container = self.container(service)
        pause(container)
        try:
            yield
        finally:
            container.unpause()

    def run(self, service: str, *command: str) -> tuple[int, str]:
        """Run a command in a container. Return exit code and output."""
        code, output = self.container(service).exec_run(list(command))
        return int(code), output.decode(errors="replace")

    def python(self, service: str, script: str) -> str:
        code, output = self.run(service, "python", "-c", script)
        assert code == 0, output
        return output.strip()

    def copy(self, service: str, path: str, target: Path) -> Path:
        """Copy a folder or file from a container, which may be stopped."""
        stream, _ = self.container(service).get_archive(path)
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
            archive.extractall(target, filter="data")
        return target / Path(path).name

    def clean_up(self) -> None:
        """Remove everything with the project's label, even after a failed start."""
        clean_up(self.engine, self.project)

    def close(self) -> None:
        self.clean_up()
        self.engine.close()


def clean_up(engine: docker.DockerClient, project: str) -> None:
    mine = {"label": f"{PROJECT}={project}"}
    with ThreadPoolExecutor(4) as pool:
        for done in [
            pool.submit(container.remove, force=True, v=True)
            for container in engine.containers.list(all=True, filters=mine)
        ]:
            done.result()
    for network in engine.networks.list(filters=mine):
        network.remove()
    for volume in engine.volumes.list(filters=mine):
        volume.remove(force=True)


def pause(container: Container, attempts: int = 5) -> None:
    """Pause a container. Retries, because an engine may fail while a process starts."""
    for left in reversed(range(attempts)):
        try:
            container.pause()
        except APIError:
            if not left:
                raise
            time.sleep(0.5)
        else:
            return


def own_address() -> str:
    """This machine's outgoing address, or 127.0.0.1. Sends no packet."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def wait_until(true: Callable[[], bool], what: str, seconds: float) -> float:
    """Wait until `true` returns True; return the seconds. AssertionError: not in time."""
    begun = time.monotonic()
    while not true():
        assert time.monotonic() - begun < seconds, f"not within {seconds} s: {what}"
        time.sleep(0.2)
    return time.monotonic() - begun
