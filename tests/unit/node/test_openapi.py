"""`/openapi.json` is compared with the routes and with real responses."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask_openapi.openapi import OpenAPI
from pydantic import TypeAdapter

from committees import GENESIS, make_members
from dragon import errors
from dragon.encoding import to_hex
from dragon.node import schemas
from dragon.node.schemas import Schema
from dragon.protocol.claims.endorsement import EndorsementClaim
from dragon.protocol.claims.window import Verdict
from dragon.protocol.streams.chunks import encode_chunks
from dragon_aggregator.app import create_app as create_aggregator
from dragon_operator.app import create_app as create_operator
from dragon_sequencer.devnet.app import create_app as create_sequencer
from simulation import World
from streams import make_owner

SERVICES = ("operator", "aggregator", "sequencer")
SWAGGER_PATHS = re.compile(r"/openapi/")  # the page and its files
METHODS = {"GET", "POST", "PUT"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A fleet with a pending event, refused events, a stopped node, a stream that an expert has
    endorsed, an announced window of this stream, and announced maintenance."""
    folder = tmp_path_factory.mktemp("world")
    members = make_members(targets=1, experts=1, owners=1)
    with World(folder, members) as made:
        made.run(3)
        owner = make_owner(made.members)
        window = owner.window([b"21.5"], began_ms=1000 * GENESIS)
        proof = owner.prove(window)
        made.post("aggregator_0", "/windows", owner.submission(window, proof).to_json())
        for body in (encode_chunks(window.chunks), proof):
            sha256 = to_hex(hashlib.sha256(body).digest())
            made.session("x").put(f"http://aggregator-0:5100/objects/{sha256}", data=body)
        made.settle()
        said = (owner.descriptor.id, 0, 0, Verdict.VALID, bytes(32), "expert_1", GENESIS + 12)
        endorsement = made.members.endorse(EndorsementClaim(*said))
        made.post("aggregator_0", "/endorsements", endorsement.to_json())
        made.announce("target_1", GENESIS + 5000, 60)
        following = owner.submission(owner.window([b"21.7"], window))
        made.post("aggregator_0", "/windows", following.to_json())
        made.submit("no event")
        made.stop("target_1")
        made.network.set_faults(stalled=True)
        made.run(2)
        yield made
        made.network.set_faults(stalled=False)


@pytest.fixture(scope="module")
def apps(world: World) -> dict[str, OpenAPI]:
    return {
        "operator": create_operator(world.components("operator_1")),
        "aggregator": create_aggregator(world.components("aggregator_0")),
        "sequencer": create_sequencer(world.network, hold=0, control=True),
    }


@pytest.fixture(scope="module")
def documents(apps: dict[str, OpenAPI]) -> dict[str, dict[str, Any]]:
    return {name: app.test_client().get("/openapi.json").json for name, app in apps.items()}


def routes(app: Flask) -> set[tuple[str, str]]:
    return {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) & METHODS
        if not SWAGGER_PATHS.match(rule.rule)
    }


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    for inner in value if isinstance(value, list) else []:
        yield from references(inner)


def titles(operation: dict[str, Any]) -> dict[int, list[str]]:
    """The errors that an operation documents, by status."""
    found = {}
    for status, response in operation["responses"].items():
        if content := response.get("content", {}).get("application/problem+json"):
            found[int(status)] = content["schema"]["properties"]["title"]["enum"]
    return found


@pytest.mark.parametrize("service", SERVICES)
def test_every_route_is_described(
    apps: dict[str, OpenAPI], documents: dict[str, Any], service: str
) -> None:
    assert set(operations(documents[service])) == routes(apps[service])


@pytest.mark.parametrize("service", SERVICES)
def test_the_document_is_openapi_3_1(documents: dict[str, Any], service: str) -> None:
    """Checks the structure on which tools depend."""
    document = documents[service]
    found = operations(document)

    assert document["openapi"] == "3.1.0"
    assert document["info"]["title"]
    assert document["info"]["version"]
    assert all(document["components"]["schemas"].values())
    for reference in references(document):
        part = document
        for name in reference.removeprefix("#/").split("/"):
            part = part[name]
    assert len({each["operationId"] for each in found.values()}) == len(found)
    for (method, path), operation in found.items():
        assert operation["summary"], path
        assert operation["responses"], path
        assert all(int(status) and r["description"] for status, r in operation["responses"].items())
        assert (method in {"POST", "PUT"}) == ("requestBody" in operation), path
        inside = {each["name"] for each in operation.get("parameters", []) if each["in"] == "path"}
        assert inside == set(re.findall(r"{(\w+)}", path)), path
        for parameter in operation.get("parameters", []):
            assert parameter["in"] in {"path", "query"}
            assert parameter["schema"]


@pytest.mark.parametrize("service", ["operator", "aggregator"])
def test_every_documented_error_exists(documents: dict[str, Any], service: str) -> None:
    ours = {
        kind.__new__(kind).name
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.DragonError)
    }
    http = {413: "Request Entity Too Large", 500: "Internal Server Error"}

    for operation in operations(documents[service]).values():
        assert 500 in titles(operation)
        for status, listed in titles(operation).items():
            assert set(listed) <= ours | {http.get(status)}


def asked(service: str) -> list[tuple[str, str, str, Any]]:
    """Method, template, path and body of requests that get each of the usual errors."""
    unknown = "0x" + "00" * 32
    owner = make_owner(make_members(name="other"))
    strange = owner.submission(owner.window([b"21.5"], began_ms=1000 * GENESIS)).to_json()
    unproven = {**owner.descriptor.to_json(), "proof_of_possession": "0x" + "00" * 96}
    windows = [strange, {**strange, "descriptor": unproven}, {**strange, "chunks": unknown}, []]
    streams = [
        *(("POST", "/windows", "/windows", body) for body in windows),
        ("GET", "/objects/{sha256}", f"/objects/{unknown}", None),
        ("GET", "/objects/{sha256}", "/objects/x", None),
        ("GET", "/objects/{sha256}", f"/objects/{unknown}?x=1", None),
        ("GET", "/objects/{sha256}", f"/objects/{unknown}?then=x", None),
    ]
    nodes = [
        ("GET", "/nodes", "/nodes?after=*", None),
        ("GET", "/nodes/{node_id}", "/nodes/nobody", None),
        ("GET", "/nodes/{node_id}", "/nodes/*", None),
        ("GET", "/maintenance", "/maintenance?after=x", None),
        ("GET", "/maintenance", "/maintenance?node_id=*", None),
    ]
    claim = {"kind": "status", "node_id": "x", "status": "down", "timestamp": 0}
    suspicion = {**claim, "operator": "x", "signature": "0x" + "00" * 96}
    suspicion.pop("kind")
    if service == "operator":
        report = {"node_id": "operator_1", "status": "down"}
        return [
            *(("POST", "/attestations", "/attestations", body) for body in (claim, {}, [], 1.5)),
            *(("POST", "/reports", "/reports", b) for b in (report, {**report, "node_id": "x"})),
            ("GET", "/status", "/status?nonce=1", None),
            ("GET", "/status", "/status?x=1", None),
            *nodes,
            ("GET", "/logs", "/logs?limit=0", None),
            ("GET", "/logs", "/logs?node_id=*", None),
            ("GET", "/events", "/events?after=x", None),
            ("GET", "/events/{position}", "/events/99", None),
            ("GET", "/events/{position}", "/events/0?size=99", None),
            ("GET", "/checkpoint", "/checkpoint?x=1", None),
            ("GET", "/refused", "/refused?limit=0", None),
            *streams,
            ("GET", "/streams", "/streams?after=x", None),
            ("GET", "/streams", "/streams?limit=0", None),
            ("GET", "/streams/{stream}", "/streams/x", None),
            ("GET", "/streams/{stream}", f"/streams/{unknown}", None),
            ("GET", "/streams/{stream}", f"/streams/{unknown}?x=1", None),
            *(
                ("GET", "/streams/{stream}/windows/{number}", f"/streams/{path}", None)
                for path in (f"{unknown}/windows/0", f"{unknown}/windows/-1", "x/windows/0")
            ),
        ]
    note = {"stream": unknown, "first": 0, "last": 0, "verdict": "valid", "note": unknown}
    endorsement = {"kind": "endorsement", **note, "expert": "expert_1", "timestamp": 0}
    endorsement |= {"signature": "0x" + "00" * 96, "committee": unknown}
    announcement = {"kind": "maintenance", "node_id": "x", "from": 0, "to": 0, "timestamp": 0}
    announcement |= {"signature": "0x" + "00" * 96, "committee": unknown}
    return [
        *nodes,
        *(("POST", "/maintenance", "/maintenance", body) for body in (announcement, {}, [])),
        *(("POST", "/suspicions", "/suspicions", body) for body in (suspicion, {}, [])),
        ("GET", "/rounds", "/rounds?limit=121", None),
        ("GET", "/outbox", "/outbox?x", None),
        *streams,
        ("GET", "/windows", "/windows?after=-1", None),
        ("PUT", "/objects/{sha256}", f"/objects/{unknown}", None),
        ("PUT", "/objects/{sha256}", "/objects/x", None),
        *(("POST", "/endorsements", "/endorsements", body) for body in (endorsement, {}, [])),
    ]


@pytest.mark.parametrize("service", ["operator", "aggregator"])
def test_every_error_response_is_documented(
    apps: dict[str, OpenAPI], documents: dict[str, Any], service: str
) -> None:
    found = operations(documents[service])
    for method, template, path, body in asked(service):
        answer = apps[service].test_client().open(path, method=method, json=body)

        assert answer.mimetype == "application/problem+json", path
        documented = titles(found[method, template]).get(answer.status_code, [])
        assert answer.json["title"] in documented, path
        schemas.Problem.model_validate(answer.json, strict=True)


ANSWERS: list[tuple[str, str, type[Schema]]] = [
    ("operator_1", "/healthz", schemas.Health),
    ("operator_1", "/readyz", schemas.Readiness),
    ("operator_1", "/status", schemas.StatusAnswer),
    ("operator_1", "/nodes", schemas.Nodes),
    ("operator_1", "/nodes/target_1", schemas.Node),
    ("operator_1", "/maintenance", schemas.MaintenancePage),
    ("aggregator_0", "/nodes", schemas.Nodes),
    ("operator_1", "/logs", schemas.LogRows),
    ("operator_1", "/logs?limit=2", schemas.LogRows),
    ("operator_1", "/events", schemas.Entries),
    ("operator_1", "/events/0", schemas.ProvenEntry),
    ("operator_1", "/checkpoint", schemas.LogHead),
    ("operator_1", "/refused", schemas.RefusedEvents),
    ("operator_1", "/streams", schemas.Streams),
    ("operator_1", "/streams/{stream}", schemas.EndorsedStream),
    ("operator_1", "/streams/{stream}/windows/0", schemas.WindowVerdicts),
    ("aggregator_0", "/windows", schemas.WindowStatuses),
    ("aggregator_0", "/rounds?limit=120", schemas.Rounds),
    ("aggregator_0", "/outbox", schemas.Outbox),
    ("aggregator_0", "/checkpoint", schemas.LogHead),
    ("aggregator_0", "/refused", schemas.RefusedEvents),
]


@pytest.mark.parametrize(("name", "path", "form"), ANSWERS)
def test_responses_match_their_documented_models(
    world: World, documents: dict[str, Any], name: str, path: str, form: type[Schema]
) -> None:
    template = path.partition("?")[0].replace("/windows/0", "/windows/{number}")
    template = re.sub(r"/\d+$", "/{position}", template).replace("/target_1", "/{node_id}")
    operation = operations(documents[name.partition("_")[0]])["GET", template]
    stream = to_hex(make_owner(world.members).descriptor.id)

    answer = world.get(name, path.replace("{stream}", stream))

    assert answer.status_code == 200
    assert "[]" not in answer.text or form not in {schemas.EndorsedStream, schemas.WindowVerdicts}
    TypeAdapter(form).validate_json(answer.content, strict=True)
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": f"#/components/schemas/{form.__name__}"}


@pytest.mark.parametrize("service", SERVICES)
def test_the_page_loads_only_local_files(apps: dict[str, OpenAPI], service: str) -> None:
    client = apps[service].test_client()

    page = client.get("/openapi/swagger")

    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(loaded) >= 4
    for path in loaded:
        assert not re.match(r"\w+:|//", path), path
        with client.get(f"/openapi/{path}") as asset:
            assert asset.status_code == 200, path
            assert asset.data, path
    assert "//" not in re.sub(r"//.*$", "", page.text.split("<script>")[1], flags=re.MULTILINE)
    assert '"/openapi.json"' in page.text
    assert "validatorUrl" in page.text
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self'")
    assert "http" not in policy


@pytest.mark.parametrize("service", SERVICES)
def test_no_other_files_are_served(apps: dict[str, OpenAPI], service: str) -> None:
    client = apps[service].test_client()

    for path in ("/openapi/swagger/../../plugins.py", "/openapi/swagger/%2e%2e/__init__.py"):
        assert client.get(path).status_code == 404
