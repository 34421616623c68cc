"""schemathesis sends generated requests to every service, by its own `/openapi.json`.

Half of the requests have the documented form, the others do not. Every response must be documented:
its status, content type and body. The requests are the same in each run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final

import pytest
from flask_openapi.openapi import OpenAPI
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis import Case, GenerationMode, checks, openapi

import dragon_aggregator.app
import dragon_explorer.app
import dragon_operator.app
import dragon_sequencer.devnet.app
import dragon_stream.app
import dragon_zkp.app
from committees import make_members
from dragon.node.routes.streams import OCTET_STREAM
from explorer_fleet import EXPLORER, ExplorerWorld
from provers import TOKEN as PROVER_TOKEN
from stream_simulation import PROVER, STREAMS, TOKEN

SERVICES: Final = ("operator", "aggregator", "stream", "prover", "explorer", "sequencer")
EXAMPLES: Final = 8  # requests per operation and mode
TOKENS: Final = {"stream": TOKEN, "prover": PROVER_TOKEN}
DOCUMENTED: Final = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
]
# Refusals of the form that the document describes. The others depend on several members, on the
# state of the service, or on how a number is written: 1.0 is an integer for JSON Schema only.
FORM: Final = {"not_json", "wrong_type", "invalid_id", "invalid_hex", "unknown_value"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExplorerWorld]:
    """A fleet with a certified window, a stopped target and refused events."""
    folder = tmp_path_factory.mktemp("world")
    with ExplorerWorld(folder, make_members(targets=1, experts=1), verify_at_end=False) as made:
        made.run(1, peers=False)
        stream = made.make("sensor-1", mode="message")
        made.upload(stream, b"21.5")
        made.submit("no event")
        made.stop("target_1")
        made.run(2, peers=False)
        yield made


@pytest.fixture(scope="module")
def apps(world: ExplorerWorld) -> Mapping[str, OpenAPI]:
    return {
        "operator": dragon_operator.app.create_app(world.components("operator_1")),
        "aggregator": dragon_aggregator.app.create_app(world.components("aggregator_0")),
        "stream": dragon_stream.app.create_app(world.components(STREAMS)),
        "prover": dragon_zkp.app.create_app(world.components(PROVER)),
        "explorer": dragon_explorer.app.create_app(world.components(EXPLORER)),
        "sequencer": dragon_sequencer.devnet.app.create_app(world.network, hold=0, control=True),
    }


@pytest.mark.parametrize("service", SERVICES)
def test_the_document_is_valid_openapi(apps: Mapping[str, OpenAPI], service: str) -> None:
    document = apps[service].test_client().get("/openapi.json").json

    assert not [
        f"{list(each.absolute_path)}: {each.message}"
        for each in OpenAPIV31SpecValidator(document).iter_errors()
    ]
    assert None not in list(values(document))
    tokens = {"bearer"} if service in TOKENS else set()
    schemes = document["components"].get("securitySchemes", {})
    assert {each["scheme"] for each in schemes.values()} == tokens


def values(part: Any) -> Iterator[Any]:
    """Every value within a JSON value, and the value itself."""
    yield part
    inside = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    for inner in inside:
        yield from values(inner)


@pytest.mark.parametrize("service", SERVICES)
def test_every_response_is_documented(
    world: ExplorerWorld, apps: Mapping[str, OpenAPI], service: str
) -> None:
    existing = {"node_id": "operator_1", "position": 0, "number": 0, "sequence": 0}
    if streams := world.components(STREAMS).streams.all():
        existing["stream"] = "0x" + streams[0].id.hex()
    statuses: set[int] = set()
    schema = openapi.from_wsgi("/openapi.json", apps[service])
    for result in schema.get_all_operations():
        operation = result.ok()
        for mode in GenerationMode:
            strategy = operation.as_strategy(generation_mode=mode)
            run(strategy, sender(mode, TOKENS.get(service), existing, statuses))

    assert {200, 400} <= statuses


Send = Callable[[Case, bool], None]


def run(strategy: st.SearchStrategy[Case], send: Send) -> None:
    """Send the generated requests. An operation without parameters has no wrong form."""

    @seed(1)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy, st.booleans())
    def each(case: Case, known: bool) -> None:
        send(case, known)

    with suppress(Unsatisfiable):
        each()


def title(headers: Mapping[str, list[str]], body: bytes) -> str | None:
    """The title of a problem document; None for another response."""
    is_problem = headers.get("content-type", [""])[0] == "application/problem+json"
    return str(json.loads(body)["title"]) if is_problem else None


def sender(
    mode: GenerationMode, token: str | None, existing: Mapping[str, Any], statuses: set[int]
) -> Send:
    def send(case: Case, known: bool) -> None:
        """Send a request; `known`: with the ids of what exists, and with the token."""
        if known:
            case.path_parameters |= {
                name: existing[name] for name in case.path_parameters if name in existing
            }
        headers = {"Authorization": f"Bearer {token}"} if token and known else {}
        response = case.call(headers=headers)
        statuses.add(response.status_code)
        assert response.status_code != HTTPStatus.INTERNAL_SERVER_ERROR, case.as_curl_command()
        case.validate_response(response, checks=DOCUMENTED)
        if mode is GenerationMode.POSITIVE and case.media_type != OCTET_STREAM:
            assert title(response.headers, response.content) not in FORM, case.as_curl_command()

    return send
