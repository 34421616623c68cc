"""Requests are admitted by the processor time that their clients have used."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from dragon.node import admission, auth
from dragon.node import app as web
from dragon.node.addresses import MemberAddresses
from dragon.node.admission import (
    BEATS,
    COST_MS,
    MEMBER,
    PROBER,
    STRANGER,
    STRANGERS_IN_ALL,
    Clients,
    Exceptions,
)
from dragon.node.schemas import Problem

MEMBER_ADDRESS = "192.0.2.1"
TOKEN = "a-token-for-tests-only"


class Machine:
    """A clock, and the processor time that requests use."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.used = 0.0


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def client(machine: Machine) -> FlaskClient:
    app = web.create(
        "some_service",
        list,
        clients=Clients(
            MemberAddresses([MEMBER_ADDRESS]),
            [ip_network("10.0.0.1")],
            lambda: machine.now,
            lambda: machine.used,
        ),
        exceptions=Exceptions(
            is_owner=lambda environ: auth.has_token(environ, auth.is_same(TOKEN)),
            is_submission=lambda environ: environ["PATH_INFO"].startswith("/submit"),
            is_socket=lambda environ: environ["PATH_INFO"] == "/socket",
        ),
    )

    @app.route("/work/<int:milliseconds>")
    @app.route("/submit/<int:milliseconds>")
    def work(milliseconds: int) -> str:
        machine.used += milliseconds / 1000
        return "done"

    @app.route("/elsewhere")
    def elsewhere() -> str:
        web.request.environ[COST_MS] = 500.0
        return "done"

    @app.route("/broken")
    def broken() -> str:
        machine.used += 0.5
        raise ValueError

    @app.route("/socket")
    def socket() -> str:
        machine.used += 3600
        return "done"

    @app.route("/beats")
    def beats() -> str:
        machine.used += 0.002
        return "taken"

    @app.route("/status")
    def status() -> str:
        machine.used += 0.002
        return "up"

    return app.test_client()


def ask(client: FlaskClient, path: str, address: str = "198.51.100.7", **more: Any) -> TestResponse:
    return client.get(path, environ_base={"REMOTE_ADDR": address}, **more)


def test_a_refusal_is_a_problem_document_with_a_truthful_retry_after(
    client: FlaskClient, machine: Machine
) -> None:
    assert ask(client, "/work/1000").status_code == 200
    refused = ask(client, "/work/1")

    assert refused.status_code == 429
    assert refused.mimetype == "application/problem+json"
    assert refused.json["title"] == "rate_limited"
    Problem.model_validate(refused.json)
    assert refused.headers["X-Request-ID"] == refused.json["request_id"]
    wait = int(refused.headers["Retry-After"])
    assert wait == refused.json["retry_after"] == 13  # 600 ms of debt at 50 ms a second
    machine.now += wait - 1.5
    assert ask(client, "/work/1").status_code == 429
    machine.now += 1.5
    assert ask(client, "/work/1").status_code == 200


@pytest.mark.parametrize("path", ["/status", "/healthz", "/readyz"])
def test_probes_and_health_checks_have_a_share_of_their_own(client: FlaskClient, path: str) -> None:
    for number in range(100):
        ask(client, "/work/100000", f"198.51.100.{number}")

    assert {ask(client, path).status_code for _ in range(200)} == {200}


def test_beats_are_limited_for_each_address_only(client: FlaskClient) -> None:
    """Strangers who read or send beats cannot make a machine look dead that sends its own."""
    for number in range(100):
        ask(client, "/work/100000", f"198.51.100.{number}")

    flood = [ask(client, "/beats", "203.0.113.2").status_code for _ in range(300)]
    assert abs(flood.count(200) - BEATS.capacity_ms / 2) <= 1  # 2 ms each
    assert ask(client, "/beats", "203.0.113.1").status_code == 200
    assert ask(client, "/beats", MEMBER_ADDRESS).status_code == 200


def test_a_flood_of_probes_ends_no_probe_of_another_address(client: FlaskClient) -> None:
    for number in range(100):
        assert ask(client, "/status", f"198.51.100.{number}").status_code == 200

    flood = [ask(client, "/status", "203.0.113.2").status_code for _ in range(600)]
    assert abs(flood.count(200) - PROBER.capacity_ms / 2) <= 1  # 2 ms each
    assert ask(client, "/status", "203.0.113.1").status_code == 200


def test_probes_by_a_member_are_always_answered(client: FlaskClient) -> None:
    ask(client, "/work/100000", MEMBER_ADDRESS)

    assert ask(client, "/work/1", MEMBER_ADDRESS).status_code == 429
    asked = int(PROBER.capacity_ms)
    assert {ask(client, "/status", MEMBER_ADDRESS).status_code for _ in range(asked)} == {200}


def test_strangers_cannot_use_the_time_of_members(client: FlaskClient, machine: Machine) -> None:
    refused = 0
    for number in range(200):
        machine.now += 0.025
        address = f"198.51.100.{number}"
        refused += ask(client, "/work/100", address).status_code == 429
        assert ask(client, "/work/5", MEMBER_ADDRESS).status_code == 200

    used = 100 * (200 - refused)
    assert used <= STRANGERS_IN_ALL.capacity_ms + 5 * STRANGERS_IN_ALL.per_second_ms + 100


def test_a_member_has_a_limit_too(client: FlaskClient) -> None:
    seconds = int(MEMBER.capacity_ms) // 1000

    answers = [ask(client, "/work/1000", MEMBER_ADDRESS).status_code for _ in range(seconds + 1)]

    assert answers == [200] * seconds + [429]


def test_readers_cannot_use_the_time_of_submissions(client: FlaskClient) -> None:
    for number in range(100):
        ask(client, "/work/1000", f"198.51.100.{number}")

    assert ask(client, "/work/1", "198.51.100.200").status_code == 429
    assert ask(client, "/submit/1", "198.51.100.200").status_code == 200
    assert ask(client, "/submit/1", "198.51.100.1").status_code == 200


def test_an_owner_is_not_limited_and_a_wrong_token_helps_nobody(client: FlaskClient) -> None:
    ask(client, "/work/100000")

    def with_token(token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        return ask(client, "/work/1", headers=headers).status_code

    assert with_token(TOKEN) == 200
    assert with_token("another-token-for-tests") == 429
    assert with_token("") == 429


@pytest.mark.parametrize("path", ["/elsewhere", "/broken"])
def test_work_elsewhere_and_failed_requests_are_charged(client: FlaskClient, path: str) -> None:
    ask(client, path)

    assert ask(client, "/work/1").status_code == 429


def test_an_open_socket_is_not_charged(client: FlaskClient) -> None:
    ask(client, "/socket")

    assert ask(client, "/work/1").status_code == 200


def test_clients_behind_a_believed_proxy_have_buckets_of_their_own(client: FlaskClient) -> None:
    def of(name: str, peer: str = "10.0.0.1") -> int:
        return ask(client, "/work/450", peer, headers={"X-Forwarded-For": name}).status_code

    assert of("198.51.100.1") == 200
    assert of("198.51.100.1") == 429
    assert of("198.51.100.2") == 200
    assert [of("203.0.113.9", "198.51.100.9"), of("203.0.113.8", "198.51.100.9")] == [200, 429]


def test_refused_requests_are_counted_by_share(client: FlaskClient) -> None:
    ask(client, "/work/10000")
    for _ in range(3):
        ask(client, "/work/1")

    metrics = ask(client, "/metrics", MEMBER_ADDRESS).text
    assert 'datadragon_rate_limited_requests_total{share="strangers"} 3.0' in metrics


def test_unknown_paths_and_wrong_methods_are_charged(client: FlaskClient) -> None:
    statuses = [ask(client, "/nowhere").status_code for _ in range(int(STRANGER.capacity_ms) + 1)]

    assert set(statuses[:-1]) == {404}
    assert statuses[-1] == 429


def test_without_clients_nothing_is_limited() -> None:
    unlimited = web.create("another_service", list).test_client()

    assert {ask(unlimited, "/nowhere").status_code for _ in range(450)} == {404}


def test_the_shares_of_strangers_are_small() -> None:
    """In all, those without a key may use less than half of one core."""
    in_all = admission.STRANGERS_IN_ALL.per_second_ms + admission.SUBMITTERS_IN_ALL.per_second_ms

    assert in_all <= 400
    assert STRANGER.per_second_ms <= STRANGERS_IN_ALL.per_second_ms / 4
