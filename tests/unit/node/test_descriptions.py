"""The OpenAPI document is made when somebody asks for it, once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from flask import Response, jsonify
from flask_openapi.openapi import OpenAPI

from dragon.node import openapi
from dragon.node.openapi import Routes, responses
from dragon.node.schemas import Schema


class Things(Schema):
    names: list[str]


class NewThing(Schema):
    name: str


class Counting:
    """Counts how often a model is described."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.models: list[str] = []
        self.meanwhile: Callable[[], object] = lambda: None
        describe = Schema.model_json_schema.__func__  # type: ignore[attr-defined]

        def counted(model: type[Schema], *args: Any, **kwargs: Any) -> object:
            self.models.append(model.__name__)
            self.meanwhile()
            return describe(model, *args, **kwargs)

        monkeypatch.setattr(Schema, "model_json_schema", classmethod(counted))


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    return Counting(monkeypatch)


@pytest.fixture
def app(counting: Counting) -> OpenAPI:
    made = openapi.make_app("things", title="Things")
    reading, writing = Routes("reading", "things"), Routes("writing", "things")

    @reading.get("/things", responses=responses(Things))
    def things() -> Response:
        """All things."""
        return jsonify(names=[])

    @writing.post("/things", request_body=writing.request_body(NewThing), responses={201: Things})
    def add() -> Response:
        """Add a thing."""
        return jsonify(names=["new"])

    made.register_api(reading)
    made.register_api(writing)
    openapi.serve_pages(made, openapi.INTERNAL_ERROR)
    return made


def document(app: OpenAPI) -> bytes:
    return app.test_client().get("/openapi.json").data


def test_nothing_is_described_until_the_document_is_requested(
    app: OpenAPI, counting: Counting
) -> None:
    assert app.test_client().get("/things").json == {"names": []}
    assert counting.models == []

    document(app)

    assert set(counting.models) == {"Things", "NewThing"}


def test_the_document_is_made_once(app: OpenAPI, counting: Counting) -> None:
    first = document(app)
    counting.models.clear()

    assert document(app) == first
    assert counting.models == []


def test_blueprints_may_share_a_path(app: OpenAPI) -> None:
    described = app.test_client().get("/openapi.json").json

    assert list(described["paths"]) == ["/things", "/openapi.json"]
    assert set(described["paths"]["/things"]) == {"get", "post"}
    assert {"Things", "NewThing"} <= set(described["components"]["schemas"])


def test_a_request_waits_for_the_document_that_another_one_makes(
    app: OpenAPI, counting: Counting
) -> None:
    answers: list[bytes] = []
    other = threading.Thread(target=lambda: answers.append(document(app)))

    def request_again() -> None:
        counting.meanwhile = lambda: None
        other.start()
        other.join(timeout=0.05)  # ends early if it does not wait
        assert answers == []

    counting.meanwhile = request_again
    answers.append(first := document(app))
    other.join()

    assert answers == [first, first]
