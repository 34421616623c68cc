"""An operator in a container of its own whose disk is full: it says so, and goes on by itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from docker.models.containers import Container

from stack import PROJECT, Stack, wait_until

pytestmark = [pytest.mark.docker, pytest.mark.timeout(120, func_only=True)]

OPERATOR = "operator_4"
DATA = f"/fleet/data/{OPERATOR}"
MIB = 1 << 20


def operator_on(stack: Stack, image: str, size: int) -> Container:
    """Start an operator without a network on a disk of `size` bytes. It can sign for nobody."""
    made = stack.engine.containers.run(
        image,
        ["serve", "operator", "--id", OPERATOR],
        detach=True,
        environment={"DRAGON_PORT": "5004"},
        labels={PROJECT: stack.project},
        network_mode="none",
        tmpfs={DATA: f"size={size},uid=10001,gid=10001"},
        volumes={
            f"{stack.project}_fleet": {"bind": "/fleet", "mode": "ro"},
            f"{stack.project}_operator-4-keys": {"bind": f"/fleet/keys/{OPERATOR}", "mode": "ro"},
        },
    )
    assert isinstance(made, Container)
    return made


@pytest.fixture
def operator(stack: Stack, image: str) -> Iterator[Container]:
    made = operator_on(stack, image, 8 * MIB)
    yield made
    made.remove(force=True)


def readiness(operator: Container) -> str:
    """What the health check says: the reasons why the operator is not ready."""
    _, output = operator.exec_run(["python", "-m", "dragon.node.health"])
    return str(output.decode())


def test_a_running_operator_says_that_the_disk_is_full_and_recovers(operator: Container) -> None:
    wait_until(lambda: "ledger:" in readiness(operator), "the operator answers", 30)
    assert "disk:" not in readiness(operator)

    operator.exec_run(["dd", "if=/dev/zero", f"of={DATA}/filler", "bs=65536"])
    assert f"disk: the disk with {DATA} is full" in readiness(operator)
    before = len(operator.logs())
    for _ in range(5):
        assert "disk:" in readiness(operator)
    assert len(operator.logs()) - before < 1_000  # one line a minute, no tracebacks

    operator.exec_run(["rm", f"{DATA}/filler"])
    wait_until(lambda: "disk:" not in readiness(operator), "the disk is usable", 15)
    assert b"disk_recovered" in operator.logs()


def test_an_operator_does_not_start_on_a_full_disk(stack: Stack, image: str) -> None:
    operator = operator_on(stack, image, MIB // 2)
    try:
        assert operator.wait(timeout=30)["StatusCode"] == 3
        assert operator.logs().decode().count("disk_full") == 2  # the log's line, and the sentence
    finally:
        operator.remove(force=True)
