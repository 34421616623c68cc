"""Alerts in containers: by the override alone, the explorer reaches a receiver elsewhere."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from docker.models.containers import Container

from stack import HIDDEN, OPERATORS, PORTS, PROJECT, ROOT, SOURCES, Stack, wait_until

pytestmark = [pytest.mark.docker, pytest.mark.timeout(240, func_only=True)]

OVERRIDE: Final = "docker-compose.alerts.yml"
USER: Final = 10001  # of every container
RECEIVER_PORT: Final = 9000
SECRET: Final = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
FILE: Final = """
[routes.team]
type = "webhook"
url_file = "team-url"
secret_file = "team-secret"

[[rules]]
name = "nodes"
on = ["node_down"]
routes = ["team"]
"""
# The address of the default route, as the kernel writes it: hexadecimal, last byte first.
GATEWAY: Final = """
routes = [line.split() for line in open("/proc/net/route").readlines()[1:]]
[gateway] = [bytes.fromhex(route[2])[::-1] for route in routes if route[1] == "00000000"]
print(".".join(map(str, gateway)))
"""


def receiver_of(stack: Stack) -> str:
    return f"{stack.project}-receiver"


def hand_over(path: Path) -> None:
    """Let only the containers' user read a file or folder; without root, everybody."""
    is_root = os.geteuid() == 0
    if is_root:
        os.chown(path, USER, USER)
    path.chmod((0o700 if path.is_dir() else 0o600) if is_root else 0o755)


@pytest.fixture(scope="module")
def folder(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("alerts")
    (made / "alerts.toml").write_text(FILE)
    (made / "team-url").write_text(f"http://{receiver_of(stack)}:{RECEIVER_PORT}/secret-path\n")
    (made / "team-secret").write_text(f"{SECRET}\n")
    for path in (*made.iterdir(), made):
        hand_over(path)
    return made


@pytest.fixture(scope="module")
def alerting(stack: Stack, folder: Path) -> Iterator[Stack]:
    """The shared network, with the override for its explorer until the end of this module."""
    made = stack.overridden(OVERRIDE, ALERTS_FOLDER=str(folder))
    made.compose("up", "-d", "--no-deps", "explorer")
    yield made
    stack.compose("up", "-d", "--no-deps", "explorer")
    stack.network("alerts").remove()
    stack.wait_healthy("explorer")


@pytest.fixture(scope="module")
def receiver(alerting: Stack, image: str) -> Iterator[Container]:
    """A receiver that reaches the explorer's second network only."""
    made = alerting.engine.containers.run(
        image,
        ["-c", (ROOT / "tests/e2e/receiver.py").read_text(), str(RECEIVER_PORT), SECRET],
        detach=True,
        entrypoint="python",
        labels={PROJECT: alerting.project},
        name=receiver_of(alerting),
        network=alerting.network("alerts").name,
        volumes={f"{alerting.project}_fleet": {"bind": "/fleet", "mode": "ro"}},
    )
    assert isinstance(made, Container)
    alerting.wait_healthy("explorer")
    yield made
    made.remove(force=True)


def received(receiver: Container) -> list[dict[str, Any]]:
    lines = receiver.logs(stdout=True, stderr=False).decode().splitlines()
    return [json.loads(line) for line in lines]


def test_only_the_explorer_has_a_way_out(alerting: Stack, receiver: Container) -> None:
    wire = alerting.network("alerts")
    wire.reload()
    explorer = alerting.container("explorer")
    config, host = explorer.attrs["Config"], explorer.attrs["HostConfig"]

    assert {each.id for each in wire.containers} == {explorer.id, receiver.id}
    assert wire.attrs["Options"] == {}  # so its packets get the address of this machine
    assert alerting.python("explorer", GATEWAY) == wire.attrs["IPAM"]["Config"][0]["Gateway"]
    for service in {*PORTS, *HIDDEN, *SOURCES} - {"explorer"}:
        networks = alerting.container(service).attrs["NetworkSettings"]["Networks"]
        assert wire.name not in networks
    code, _ = alerting.run("operator-1", "python", "-c", reach(alerting))
    assert code != 0
    assert alerting.run("explorer", "python", "-c", reach(alerting)) == (0, "")

    assert (config["User"], host["ReadonlyRootfs"], host["CapDrop"]) == ("dragon", True, ["ALL"])
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert 0 < host["Memory"] == host["MemorySwap"] <= 256 << 20
    assert alerting.run("explorer", "touch", "/alerts/x")[0] != 0


def reach(stack: Stack) -> str:
    address = receiver_of(stack), RECEIVER_PORT
    return f"import socket; socket.create_connection({address}, timeout=2)"


def test_the_file_is_checked_and_each_route_is_tried(
    alerting: Stack, receiver: Container, folder: Path
) -> None:
    code, printed = alerting.run("explorer", "dragon", "alerts", "check")
    assert code == 0, printed
    assert "alerts.toml has no mistake" in printed
    code, printed = alerting.run("explorer", "dragon", "alerts", "test")
    assert (code, printed.strip()[-9:]) == (0, "delivered"), printed
    assert "secret-path" not in printed
    # Messages about earlier tests may have come too.
    [message] = [each for each in received(receiver) if each["type"] == "test"]
    assert message["is_signed"]

    # An explorer does not start with a wrong file; the command runs without one.
    (folder / "alerts.toml").write_text(FILE.replace("node_down", "down"))
    try:
        with pytest.raises(AssertionError, match="expected one of node_down"):
            alerting.compose("run", "--rm", "--no-deps", "explorer", "alerts", "check")
    finally:
        (folder / "alerts.toml").write_text(FILE)


def test_a_stopped_operator_is_told_with_its_certificate_and_so_is_its_return(
    alerting: Stack, receiver: Container, report: list[str]
) -> None:
    # The operator whose status has changed least: one that flaps is told about once.
    service = min(OPERATORS, key=lambda each: len(alerting.history("operator-2", each)))
    node_id = service.replace("-", "_")

    def told() -> list[dict[str, Any]]:
        return [
            each
            for each in received(receiver)
            if each["type"].startswith("node_down")
            and {claim["node_id"] for claim in each["claims"]} == {node_id}
        ]

    alerting.wait_settled()
    before = len(told())
    alerting.container(service).stop(timeout=8)
    try:
        begin = wait_until(lambda: len(told()) > before, "the outage is told", 60)
    finally:
        alerting.start(service)
    back = wait_until(lambda: len(told()) > before + 1, "its end is told", 60)

    begun, resolved = told()[before:]
    assert [begun["type"], resolved["type"]] == ["node_down.begun", "node_down.resolved"]
    assert begun["is_signed"]
    assert resolved["is_signed"]
    assert [each["status"] for each in begun["claims"]] == ["down"]
    assert [each["status"] for each in resolved["claims"]] == ["down", "up"]
    delivered = alerting.get("explorer", "/api/alerts")["deliveries"]
    assert {each["state"] for each in delivered} == {"delivered"}
    alerting.wait_settled()
    report.append(f"alert about a stopped operator after {begin:.1f} s, its end after {back:.1f} s")
