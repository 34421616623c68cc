"""The end of the network that the modules before this one have used: stopped, kept, forgotten."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from dragon.encoding import to_hex
from dragon.protocol.committee import Committee
from stack import OPERATORS, PROJECT, Stack, wait_until

pytestmark = [pytest.mark.docker, pytest.mark.timeout(240, func_only=True)]


def test_owners_approve_the_next_committee_in_their_containers(stack: Stack) -> None:
    """Each reads its own log. The target that is added is certified, and nothing was restarted."""
    stack.wait_settled()
    url = "http://aggregator:5100/healthz"
    listed = json.dumps(
        {"targets": [{"id": "the_aggregator", "url": url, "private_addresses": True}]}
    )
    stack.run("operator-1", "sh", "-c", f"echo '{listed}' > /tmp/targets.json")
    target = "--targets=/tmp/targets.json"
    file = ["--after", "/fleet/committee.json", "-o", "/tmp/next.json"]
    code, said = stack.run("operator-1", "dragon", "committee", "assemble", *file, target)
    assert code == 0, said
    following = stack.run("operator-1", "cat", "/tmp/next.json")[1]
    committee = to_hex(Committee.load(following.encode()).id)
    approve = ("dragon", "committee", "approve", "-", "--yes", committee)
    for name in OPERATORS[:3]:
        assert "the_aggregator" in stack.compose("exec", "-T", name, *approve, stdin=following)

    readers = (*OPERATORS, "aggregator", "stream-api")
    wait_until(
        lambda: {stack.get(name, "/checkpoint")["committee"] for name in readers} == {committee},
        "every log has the handover",
        30,
    )
    wait_until(
        lambda: {stack.status(name, "the_aggregator") for name in OPERATORS} == {"up"},
        "the new target is certified up",
        30,
    )


def test_stopping_takes_less_than_five_seconds_and_down_keeps_everything(stack: Stack) -> None:
    stack.wait_settled()
    committee = stack.run("operator-1", "cat", "/fleet/committee.json")[1]
    before = stack.wait_identical()
    for service in ("source-sensor", "aggregator", "operator-1", "zkp-api", "sequencer"):
        begun = time.monotonic()
        stack.container(service).stop(timeout=20)
        assert time.monotonic() - begun < 5.0, service
    stack.compose("stop", "-t", "20")
    for service, container in stack.containers().items():
        state: dict[str, Any] = container.attrs["State"]
        assert (state["ExitCode"], state["OOMKilled"]) == (0, False), service

    stack.compose("down")
    assert (
        stack.engine.containers.list(all=True, filters={"label": f"{PROJECT}={stack.project}"})
        == []
    )
    stack.compose("up", "-d")
    assert stack.run("operator-1", "cat", "/fleet/committee.json")[1] == committee
    after = stack.wait_settled()
    assert after[0] >= before[0]
    for name in OPERATORS:
        assert stack.get(name, f"/events/{before[0] - 1}")


def test_another_committee_is_not_made_over_the_first(stack: Stack) -> None:
    with pytest.raises(AssertionError, match="operators 4, not 5"):
        stack.compose("run", "--rm", "init", "init", "--once", "--containers", "--operators", "5")


def test_down_with_volumes_forgets_everything(stack: Stack) -> None:
    mine = {"label": f"{PROJECT}={stack.project}"}
    assert stack.engine.volumes.list(filters=mine)

    stack.compose("down", "--volumes")

    assert stack.engine.volumes.list(filters=mine) == []
    assert stack.engine.networks.list(filters=mine) == []
