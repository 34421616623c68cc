"""The stack of `dragon swarm` on one node of Docker Swarm: deployed, streamed to, updated.

The node becomes a swarm of its own for the test, unless it is in one already.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest

from dragon.net.http_client import HttpClient
from dragon.net.stream_client import StreamClient
from dragon.net.stream_upload import StreamUpload
from dragon_cli.fleet.create import Plan, Ports, make_fleet
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.swarm import STACK, Swarm, host

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900, func_only=True)]

NAME: Final = "datadragon-swarm"
PUBLISHED: Final = ("aggregator", "stream_api", "stream_api_2")
PORTS: Final = Ports(
    operators=28_001,
    aggregator=28_100,
    sequencer=28_601,
    prover=28_200,
    streams=28_300,
    explorer=28_400,
)
PATIENCE_SECONDS: Final = 300.0


def docker(*arguments: str, check: bool = True, **settings: str) -> str:
    done = subprocess.run(
        ["docker", *arguments],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert not check or done.returncode == 0, f"{arguments}: {done.stderr[-2000:]}"
    return done.stdout


def wait(condition: Callable[[], bool], said: Callable[[], object]) -> None:
    ends = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < ends, said()
        time.sleep(2)


@dataclass(frozen=True)
class Deployed:
    """A stack that runs on this node."""

    home: Home
    image: str  # such as datadragon/api:latest

    def deploy(self) -> None:
        prefix, tag = self.image.split("/api:")
        file = str(self.home.path / STACK)
        deploy = ("stack", "deploy", "--resolve-image", "never", "-c", file, NAME)
        docker(*deploy, IMAGE_PREFIX=prefix, TAG=tag)

    def replicas(self) -> dict[str, str]:
        """By service, such as `1/1`."""
        listed = docker("stack", "services", NAME, "--format", "{{.Name}} {{.Replicas}}")
        words = (line.split()[:2] for line in listed.splitlines())
        return {name.removeprefix(f"{NAME}_"): replicas for name, replicas in words}

    def wait_healthy(self) -> None:
        """Swarm counts a task as running only after its health check has succeeded."""
        wait(lambda: set(self.replicas().values()) == {"1/1"}, self.replicas)

    def answer(self, path: str) -> Any:
        found = HttpClient.create().get(f"http://127.0.0.1:{PORTS.aggregator}{path}", deadline=10)
        return found.successful()

    def up(self) -> list[str]:
        return [
            node["node_id"] for node in self.answer("/nodes")["nodes"] if node["status"] == "up"
        ]

    def container(self, name: str) -> str:
        labelled = f"label=com.docker.swarm.service.name={NAME}_{host(name)}"
        return docker("ps", "-q", "--filter", labelled).split()[0]


@pytest.fixture(scope="module")
def deployed(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    begun = docker("info", "--format", "{{.Swarm.LocalNodeState}}").strip() == "inactive"
    if begun:
        docker("swarm", "init", "--advertise-addr", "127.0.0.1")
    home = Home(tmp_path_factory.mktemp("swarm") / "fleet")
    plan = Plan(round_seconds=5, containers=True, provers=2, stream_services=2, ports=PORTS)
    make_fleet(home, plan, genesis=int(time.time()))
    (home.path / STACK).write_text(Swarm(home, PUBLISHED).text())
    stack = Deployed(home, image)
    try:
        stack.deploy()
        stack.wait_healthy()
        yield stack
    finally:
        docker("stack", "rm", NAME, check=False)
        wait(
            lambda: not docker("ps", "-aq", "--filter", f"label=com.docker.stack.namespace={NAME}"),
            str,
        )
        names = docker("volume", "ls", "-q", "--filter", f"label=com.docker.stack.namespace={NAME}")
        docker("volume", "rm", "-f", *names.split(), check=False)
        if begun:
            docker("swarm", "leave", "--force", check=False)


def certified(stack: Deployed, service: str, port: int) -> bool:
    """Upload two messages to a stream service, and wait until their window is certified."""
    token = stack.home.token(service).read_text().strip()
    http = HttpClient.create()
    client = StreamClient(f"http://127.0.0.1:{port}", http, token)
    made = client.make({"name": "swarm", "mode": "message", "window_ms": 1000})
    owner = StreamClient(client.url, http, str(made["token"]))
    StreamUpload(owner, str(made["stream"]), [b"one", b"two"], end_window=True).run()

    def done() -> bool:
        return int(str(owner.get(f"/streams/{made['stream']}")["certified"])) >= 1

    wait(done, lambda: owner.get(f"/streams/{made['stream']}"))
    return done()


def operator_log_size(stack: Deployed) -> int:
    """Entries of the log of operator_3, asked from inside its container."""
    script = (
        "import json, urllib.request as r; "
        f"print(json.load(r.urlopen('http://127.0.0.1:{PORTS.operators + 2}/checkpoint'))['size'])"
    )
    return int(docker("exec", stack.container("operator_3"), "python", "-c", script))


def test_all_operators_are_certified_up(deployed: Deployed) -> None:
    wait(lambda: len(deployed.up()) == 4, lambda: deployed.answer("/nodes"))


@pytest.mark.parametrize(("service", "number"), [("stream_api", 0), ("stream_api_2", 1)])
def test_every_stream_service_has_windows_certified(
    deployed: Deployed, service: str, number: int
) -> None:
    assert certified(deployed, service, PORTS.streams + number)


def test_keys_are_secrets_that_only_their_service_can_read(deployed: Deployed) -> None:
    container = deployed.container("operator_2")
    own = docker("exec", container, "cat", "/fleet/keys/operator_2/keystore.json")

    assert json.loads(own) == json.loads(deployed.home.keystore("operator_2").read_text())
    assert docker("exec", container, "ls", "/fleet/keys/operator_1") == ""
    assert docker("inspect", "--format", "{{.Config.Env}}", container).count("password") == 0


def test_an_update_keeps_the_log(deployed: Deployed) -> None:
    wait(lambda: len(deployed.up()) == 4, deployed.up)
    name = f"{NAME}_{host('operator_3')}"
    old, size = deployed.container("operator_3"), operator_log_size(deployed)

    docker("service", "update", "--force", "--env-add", "OPERATOR_OBJECTS_MB=600", "--quiet", name)

    assert deployed.container("operator_3") != old
    assert (
        docker("service", "inspect", "--format", "{{.UpdateStatus.State}}", name).strip()
        == "completed"
    )
    wait(lambda: len(deployed.up()) == 4, deployed.up)
    assert operator_log_size(deployed) >= size, "the log has become shorter"
