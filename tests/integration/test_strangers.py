"""What clients outside the committee can use of an operator, and what they cannot take from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from flask_openapi.openapi import OpenAPI

from dragon.node.addresses import MemberAddresses
from dragon.node.admission import STRANGER, STRANGERS_IN_ALL, Clients
from dragon.protocol.claims.status import Status, StatusClaim
from dragon_operator.app import create_app
from dragon_operator.evaluations import Evaluations
from simulation import World

MEMBER_ADDRESS = "127.0.0.1"  # of all requests within a world
COST_MS = 10.0  # processor time of every request here


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as made:
        made.run(2)
        yield made


def limit_strangers(world: World) -> dict[str, OpenAPI]:
    """Limit strangers at all operators, where each request uses the same processor time."""
    used = iter(range(10**9))
    clients = Clients(
        MemberAddresses([MEMBER_ADDRESS]),
        monotonic=lambda: world.clock.now,
        processor_seconds=lambda: next(used) * COST_MS / 1000,
    )
    apps = {name: create_app(world.components(name), clients) for name in world.operators}
    for operator in world.committee.operators:
        world.wires.mount(urlsplit(operator.url).netloc, apps[operator.id])
    return apps


def ask(app: OpenAPI, path: str, address: str) -> int:
    return app.test_client().get(path, environ_base={"REMOTE_ADDR": address}).status_code


def test_strangers_who_use_up_their_time_delay_no_certificate(world: World) -> None:
    apps = limit_strangers(world)
    world.stop("operator_4")
    for app in apps.values():
        answered = sum(
            ask(app, "/events?limit=1000", f"198.51.100.{number}") == 200
            for number in range(100)
            for _ in range(10)
        )
        assert answered * COST_MS <= STRANGERS_IN_ALL.capacity_ms + COST_MS
        assert ask(app, "/events", "203.0.113.1") == 429
        assert ask(app, "/status", "203.0.113.1") == 200

    world.run(2)

    assert world.statuses("operator_1")["operator_4"] == "down"
    assert world.statuses("operator_1")["operator_2"] == "up"


def test_one_address_leaves_time_for_others(world: World) -> None:
    app = limit_strangers(world)["operator_1"]

    answers = [ask(app, "/events?limit=1000", "198.51.100.1") for _ in range(1000)]

    assert answers.count(200) * COST_MS <= STRANGER.capacity_ms + COST_MS
    assert ask(app, "/events?limit=1000", "198.51.100.2") == 200
    world.clock.sleep(10)
    assert ask(app, "/events?limit=1000", "198.51.100.1") == 200


def test_only_a_member_uses_the_evaluations_of_members(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, asked = limit_strangers(world)["operator_1"], list[bool]()

    def signature(_self: Evaluations, _root: bytes, _evaluate: object, *, is_member: bool) -> bytes:
        asked.append(is_member)
        return bytes(96)

    monkeypatch.setattr(Evaluations, "signature", signature)
    rounds = world.committee.rounds
    world.clock.sleep(rounds.seconds)  # to a round that is not signed yet
    claim = StatusClaim("operator_2", Status.DOWN, rounds.start(rounds.number(world.clock.now)))
    for address in (MEMBER_ADDRESS, "198.51.100.1"):
        base = {"REMOTE_ADDR": address}
        answer = app.test_client().post(
            "/attestations",
            json=claim.to_json(),
            environ_base=base,
            headers={"X-Forwarded-For": MEMBER_ADDRESS},
        )
        assert answer.status_code == 200, answer.text

    assert asked == [True, False]
