"""The events go to a network that is no part of the fleet, by the override alone."""

from __future__ import annotations

import json

import pytest

from stack import OPERATORS, PROJECT, Stack

pytestmark = [pytest.mark.docker, pytest.mark.timeout(240, func_only=True)]


def test_a_fleet_is_certified_on_a_network_elsewhere(stack_outside: Stack) -> None:
    stack_outside.compose("up", "-d")
    stack_outside.wait_settled(*OPERATORS, "aggregator", "stream-api")

    mine = {"label": [f"{PROJECT}={stack_outside.project}"]}
    running = stack_outside.engine.containers.list(filters=mine)
    # Aggregator, stream service, its prover, explorer and two sources; no development sequencer.
    assert len(running) == len(OPERATORS) + 6
    committee = json.loads(stack_outside.run("operator-1", "cat", "/fleet/committee.json")[1])
    assert committee["sequencer"]["app"] == "an-app-elsewhere"
    network = stack_outside.network("fleet")
    assert network.attrs["Options"]["com.docker.network.bridge.enable_ip_masquerade"] == "true"
