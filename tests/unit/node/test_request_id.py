"""The request id: chosen by the caller or generated, in responses and log messages."""

from __future__ import annotations

import pytest
import structlog
from flask import Flask, Response, jsonify
from flask.testing import FlaskClient

from dragon.node import app as web
from dragon.node.request_id import HEADER


@pytest.fixture
def app() -> Flask:
    app: Flask = web.create("some_service", list)

    @app.get("/bound")
    def bound() -> Response:
        return jsonify(structlog.contextvars.get_contextvars())

    return app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.mark.parametrize("name", ["a", "A-b_9", "0" * 64])
def test_a_valid_request_id_is_kept(client: FlaskClient, name: str) -> None:
    answer = client.get("/bound", headers={HEADER: name})

    assert answer.headers.getlist(HEADER) == [name]
    assert answer.json == {"request_id": name}


@pytest.mark.parametrize("name", ["", "0" * 65, "a b", "a\tb", "ä", "a;b", "<script>", "a,b", "٣"])
def test_an_invalid_request_id_is_replaced(client: FlaskClient, name: str) -> None:
    answer = client.get("/bound", headers={HEADER: name})

    assert answer.json == {"request_id": answer.headers[HEADER]}
    assert answer.headers[HEADER] != name
    assert answer.headers[HEADER].isalnum()


def test_requests_without_an_id_get_different_ids(client: FlaskClient) -> None:
    assert client.get("/bound").json != client.get("/bound").json


@pytest.mark.parametrize("path", ["/nowhere", "/bound?x", "/healthz"])
def test_responses_and_problem_documents_contain_the_request_id(
    client: FlaskClient, path: str
) -> None:
    answer = client.post(path, headers={HEADER: "mine"})

    assert answer.headers[HEADER] == "mine"
    assert answer.json["request_id"] == "mine"


def test_nothing_stays_bound_after_a_request(client: FlaskClient) -> None:
    client.get("/bound", headers={HEADER: "mine"})
    client.get("/nowhere", headers={HEADER: "mine"})

    assert structlog.contextvars.get_contextvars() == {}


def test_a_nested_request_restores_the_outer_id(app: Flask, client: FlaskClient) -> None:
    """In a fleet within one process, the other service runs on the same thread."""
    inner = web.create("another_service", list)

    @app.get("/outer")  # type: ignore[attr-defined]
    def outer() -> Response:
        inner.test_client().get("/healthz", headers={HEADER: "inner"})
        return jsonify(structlog.contextvars.get_contextvars())

    assert client.get("/outer", headers={HEADER: "outer"}).json == {"request_id": "outer"}


def test_generated_request_ids_differ_between_requests_and_between_services() -> None:
    clients = [web.create("some_service", list).test_client() for _ in range(2)]
    names = [client.get("/healthz").headers[HEADER] for client in clients for _ in range(3)]

    assert len(set(names)) == 6
    assert {len(name) for name in names} == {32}
