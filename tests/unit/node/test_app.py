"""The common part of every service's app: health, parameters, bodies."""

from __future__ import annotations

import io
import json
from typing import Annotated, Any

import pytest
from flask import Response, jsonify
from flask.testing import FlaskClient
from pydantic import Field

from dragon.encoding import MAX_INTEGER
from dragon.node import app as web
from dragon.node.parameters import Query, identifier, integer
from dragon.node.service import bind_of
from simulation import World


class PageQuery(Query):
    limit: Annotated[int, integer(1, 100)] = 10
    node_id: Annotated[str | None, identifier()] = None


class AfterQuery(Query):
    after: Annotated[int, integer(-MAX_INTEGER)] = 0


class SpanQuery(Query):
    begin: Annotated[int, integer(name="from"), Field(alias="from")]


def refused(client: FlaskClient, path: str, **options: Any) -> tuple[int, str]:
    """Return status and title of a problem document."""
    method = options.pop("method", "GET")
    answer = client.open(path, method=method, **options)
    assert answer.mimetype == "application/problem+json", answer.text
    said = json.loads(answer.data)
    assert said["status"] == answer.status_code
    assert "Traceback" not in answer.text
    return answer.status_code, said["title"]


@pytest.fixture
def reasons() -> list[str]:
    """The reasons why the service is not ready; tests add to them."""
    return []


@pytest.fixture
def client(reasons: list[str]) -> FlaskClient:
    app = web.create("some_service", lambda: reasons)

    @app.get("/page")
    def page(query: PageQuery) -> Response:
        return jsonify(limit=query.limit, node_id=query.node_id)

    @app.get("/after")
    def after(query: AfterQuery) -> Response:
        return jsonify(after=query.after)

    @app.get("/span")
    def span(query: SpanQuery) -> Response:
        return jsonify(begin=query.begin)

    @app.post("/body")
    def body() -> Response:
        return jsonify(body=web.body())

    return app.test_client()


# Health


def test_a_service_that_is_not_ready_is_still_healthy(
    client: FlaskClient, reasons: list[str]
) -> None:
    reasons.append("something")

    assert (client.get("/healthz").status_code, client.get("/healthz").json) == (
        200,
        {"status": "ok"},
    )


def test_a_service_is_ready_or_lists_the_reasons(client: FlaskClient, reasons: list[str]) -> None:
    ready = client.get("/readyz")
    reasons += ["ledger: not read to its end", "clock: more than 2 s off"]
    not_ready = client.get("/readyz")

    assert (ready.status_code, ready.json) == (200, {"status": "ready", "reasons": []})
    assert (not_ready.status_code, not_ready.json) == (
        503,
        {"status": "not ready", "reasons": reasons},
    )


def test_a_service_serves_no_files(client: FlaskClient) -> None:
    for path in ("/static/app.py", "/../pyproject.toml", "/static/"):
        assert refused(client, path) == (404, "Not Found")


# Queries


def test_known_parameters_are_decoded(client: FlaskClient) -> None:
    assert client.get("/page").json == {"limit": 10, "node_id": None}
    assert client.get("/page?limit=100&node_id=operator_1").json == {
        "limit": 100,
        "node_id": "operator_1",
    }


def test_a_missing_parameter_is_named_by_its_alias(client: FlaskClient) -> None:
    missing, wrong = client.get("/span"), client.get("/span?from=soon")

    assert client.get("/span?from=7").json == {"begin": 7}
    assert (missing.status_code, missing.json["title"]) == (400, "missing_member")
    assert (wrong.json["title"], wrong.json["member"]) == ("not_an_integer", "from")
    assert missing.json["member"] == "from"
    assert refused(client, "/span?begin=7") == (400, "unknown_member")


@pytest.mark.parametrize("query", ["limti=3", "limit=3&x", "Limit=3", "limit%20=3", "=3", "%00=1"])
def test_an_unknown_parameter_is_refused(client: FlaskClient, query: str) -> None:
    assert refused(client, f"/page?{query}") == (400, "unknown_member")


def test_a_long_unknown_parameter_is_shortened_in_the_error(client: FlaskClient) -> None:
    answer = client.get(f"/page?{'x' * 5000}=1")

    assert answer.status_code == 400
    assert len(answer.data) < 1000


@pytest.mark.parametrize(
    ("value", "title"),
    [
        ("", "not_an_integer"),
        ("-", "not_an_integer"),
        ("--1", "not_an_integer"),
        ("+1", "not_an_integer"),
        ("%201", "not_an_integer"),
        ("1.0", "not_an_integer"),
        ("1e1", "not_an_integer"),
        ("0x1", "not_an_integer"),
        ("1_0", "not_an_integer"),
        ("%C2%B2", "not_an_integer"),  # ²
        ("%D9%A3", "not_an_integer"),  # an Arabic 3
        ("0", "integer_out_of_range"),
        ("-1", "integer_out_of_range"),
        ("101", "integer_out_of_range"),
        ("9" * 16, "integer_out_of_range"),
        ("9" * 4000, "integer_out_of_range"),
        ("0" * 17 + "1", "integer_out_of_range"),
    ],
)
def test_an_invalid_number_is_refused(client: FlaskClient, value: str, title: str) -> None:
    assert refused(client, f"/page?limit={value}") == (400, title)


@pytest.mark.parametrize("value", [0, -1, MAX_INTEGER, -MAX_INTEGER])
def test_a_number_has_the_same_range_as_in_json(client: FlaskClient, value: int) -> None:
    assert client.get(f"/after?after={value}").json == {"after": value}


@pytest.mark.parametrize("value", [MAX_INTEGER + 1, -MAX_INTEGER - 1])
def test_a_number_beyond_the_range_of_json_is_refused(client: FlaskClient, value: int) -> None:
    assert refused(client, f"/after?after={value}") == (400, "integer_out_of_range")


@pytest.mark.parametrize("value", ["", "A", "a b", "%00", "a/b", "x" * 33, "%ED%A0%80"])
def test_an_invalid_id_is_refused(client: FlaskClient, value: str) -> None:
    assert refused(client, f"/page?node_id={value}") == (400, "invalid_id")


# Bodies


def test_a_body_is_json_regardless_of_its_content_type(client: FlaskClient) -> None:
    for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded", None):
        answer = client.post("/body", data=b'{"a": 1}', content_type=kind)
        assert answer.json == {"body": {"a": 1}}


@pytest.mark.parametrize(
    ("raw", "title"),
    [
        (b"", "not_json"),
        (b"{", "not_json"),
        (b"\xff", "not_json"),
        (b"a=b", "not_json"),
        (b"[" * 10_000, "not_json"),
        (b'{"a":1,"a":2}', "duplicate_member"),
        (b"1.5", "not_an_integer"),
        (b"NaN", "not_an_integer"),
        (b"9007199254740992", "integer_out_of_range"),
        (b'"\\ud800"', "lone_surrogate"),
    ],
)
def test_a_body_that_is_not_strict_json_is_refused(
    client: FlaskClient, raw: bytes, title: str
) -> None:
    assert refused(client, "/body", method="POST", data=raw) == (400, title)


def test_a_body_has_at_most_16_kib(client: FlaskClient) -> None:
    largest = json.dumps("x" * (web.MAX_BODY_BYTES - 2)).encode()

    assert client.post("/body", data=largest).status_code == 200
    assert refused(client, "/body", method="POST", data=largest + b" ") == (
        413,
        "Request Entity Too Large",
    )
    assert web.MAX_BODY_BYTES == 16 * 1024


def test_a_body_without_a_length_has_the_same_limit(client: FlaskClient) -> None:
    """The request that gunicorn makes of a chunked body."""
    options: dict[str, Any] = {
        "method": "POST",
        "input_stream": io.BytesIO(b" " * (web.MAX_BODY_BYTES + 1)),
        "headers": {"Transfer-Encoding": "chunked"},
        "environ_overrides": {"wsgi.input_terminated": True},
    }

    assert refused(client, "/body", **options)[0] == 413


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/page", 405),
        ("GET", "/body", 405),
        ("DELETE", "/healthz", 405),
        ("GET", "/", 404),
        ("GET", "/page/", 404),
        ("GET", "//page", 404),
    ],
)
def test_unknown_methods_and_paths_are_refused(
    client: FlaskClient, method: str, path: str, status: int
) -> None:
    answer = client.open(path, method=method)

    assert answer.status_code in (status, 308)
    if answer.status_code != 308:
        assert answer.mimetype == "application/problem+json"


# The services


def test_a_running_fleet_is_healthy_and_ready(world: World) -> None:
    for name in (*world.operators, *world.aggregators):
        assert world.get(name, "/healthz").status_code == 200
        ready = world.get(name, "/readyz").json()
        assert (ready["status"], ready["reasons"]) == ("ready", [])
        assert ready["certification"]["late_after_seconds"] == 90


def test_every_route_refuses_unknown_parameters(world: World) -> None:
    pages = {
        "operator_1": [
            "/status?nonce=0x" + "00" * 16 + "&x=1",
            "/nodes?status=up",
            "/logs?nodeid=operator_1",
            "/checkpoint?size=1",
            "/events/0?after=1",
        ],
        "aggregator_0": ["/rounds?before=1", "/outbox?node_id=x", "/checkpoint?x", "/refused?x=1"],
    }

    for service, paths in pages.items():
        for path in paths:
            answer = world.get(service, path)
            assert (answer.status_code, answer.json()["title"]) == (400, "unknown_member"), path


@pytest.mark.parametrize(
    ("host", "bind"),
    [("127.0.0.1", "127.0.0.1:5001"), ("::", "[::]:5001"), ("::1", "[::1]:5001")],
)
def test_ipv6_addresses_are_put_in_brackets(host: str, bind: str) -> None:
    assert bind_of(host, 5001) == bind
