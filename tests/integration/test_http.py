"""Invalid input over HTTP gets a problem document and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from dragon.encoding import Json, parse, to_hex
from dragon.net.operator_client import decode_status
from dragon.protocol import bls
from dragon.protocol.log_entry import ProvenEntry
from simulation import World

CLAIM: dict[str, Json] = {
    "kind": "status",
    "node_id": "operator_2",
    "status": "down",
    "timestamp": 1_732_522_015,
}
REPORT: dict[str, Json] = {"node_id": "operator_2", "status": "down"}
SUSPICION: dict[str, Json] = {
    "node_id": "operator_2",
    "status": "down",
    "timestamp": 1_732_522_015,
    "operator": "operator_1",
    "signature": to_hex(bytes(96)),
}
BODIES = [
    ("operator_1", "/attestations", CLAIM),
    ("operator_1", "/reports", REPORT),
    ("aggregator_0", "/suspicions", SUSPICION),
]
RAW = [
    (b"", "not_json"),
    (b"\xff\xfe", "not_json"),
    (b"{", "not_json"),
    (b"[" * 10_000, "not_json"),
    (b"[]", "wrong_type"),
    (b'"text"', "wrong_type"),
    (b"null", "wrong_type"),
    (b"{}", "missing_member"),
    (b'{"a":1,"a":2}', "duplicate_member"),
]


def is_problem(answer: requests.Response, status: int, title: str) -> bool:
    """Whether the response is a problem document with this status and title."""
    assert answer.headers["Content-Type"] == "application/problem+json"
    body = answer.json()
    assert set(body) >= {"type", "title", "status", "detail"}
    assert "Traceback" not in answer.text
    assert body["status"] == answer.status_code
    return (body["status"], body["title"]) == (status, title)


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A fleet for all tests of this module: none of them may change the log."""
    with World(tmp_path_factory.mktemp("world")) as world:
        world.run(3)
        before = world.components("operator_1").log.head()
        yield world
        world.run(1)
        assert world.components("operator_1").log.head() == before


@pytest.mark.parametrize(("service", "path", "body"), BODIES)
@pytest.mark.parametrize(("raw", "title"), RAW)
def test_an_invalid_body_is_refused(
    still: World, service: str, path: str, body: Json, raw: bytes, title: str
) -> None:
    assert body
    assert is_problem(still.post(service, path, raw=raw), 400, title)


@pytest.mark.parametrize(
    ("service", "path", "body", "member"),
    [(*each, member) for each in BODIES for member in each[2]],
)
def test_a_body_with_a_missing_member_is_refused(
    still: World, service: str, path: str, body: dict[str, Json], member: str
) -> None:
    cut = {name: value for name, value in body.items() if name != member}

    answer = still.post(service, path, cut)

    assert is_problem(answer, 400, "missing_member")
    assert answer.json()["member"] == member


@pytest.mark.parametrize(("service", "path", "body"), BODIES)
def test_a_body_with_an_unknown_member_is_refused(
    still: World, service: str, path: str, body: dict[str, Json]
) -> None:
    assert is_problem(still.post(service, path, {**body, "surplus": 1}), 400, "unknown_member")


@pytest.mark.parametrize(
    ("member", "value", "title"),
    [
        ("kind", "rumour", "unknown_value"),
        ("node_id", 2, "wrong_type"),
        ("node_id", "../etc", "invalid_id"),
        ("node_id", "x" * 33, "invalid_id"),
        ("status", "sideways", "unknown_value"),
        ("status", None, "wrong_type"),
        ("timestamp", True, "not_an_integer"),
        ("timestamp", "1", "wrong_type"),
        ("timestamp", -1, "integer_out_of_range"),
    ],
)
def test_a_malformed_claim_is_refused_as_malformed(
    still: World, member: str, value: Json, title: str
) -> None:
    answer = still.post("operator_1", "/attestations", {**CLAIM, member: value})

    assert is_problem(answer, 400, title)
    assert answer.json()["reason"] == "malformed"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"node_id": "operator_9"}, "unknown_node"),
        ({"node_id": "operator_1"}, "subject"),
        ({"timestamp": 1_732_522_016}, "off_round"),
        ({"timestamp": 1_732_522_000 - 5}, "off_round"),
        ({"timestamp": 2**53 - 1}, "off_round"),
        ({"timestamp": 1_732_522_000 + 5 * 10**6}, "off_round"),
    ],
)
def test_a_claim_that_cannot_be_signed_is_refused_with_its_reason(
    still: World, change: dict[str, Json], reason: str
) -> None:
    answer = still.post("operator_1", "/attestations", {**CLAIM, **change})

    assert is_problem(answer, 409, "attestation_refused")
    assert answer.json()["reason"] == reason


def test_a_report_on_an_unknown_node_is_not_found(still: World) -> None:
    answer = still.post("operator_1", "/reports", {**REPORT, "node_id": "operator_9"})

    assert is_problem(answer, 404, "unknown_node")


def test_a_report_on_an_address_is_refused_without_a_probe(still: World) -> None:
    """Only nodes of the committee are probed."""
    sent = len(still.sent)

    answer = still.post("operator_1", "/reports", {**REPORT, "node_id": "http://elsewhere"})

    assert is_problem(answer, 400, "invalid_id")
    assert len(still.sent) == sent + 1  # the report


def test_a_body_that_is_too_large_is_refused(still: World) -> None:
    answer = still.post("operator_1", "/attestations", raw=b" " * 20_000)

    assert is_problem(answer, 413, "Request Entity Too Large")


@pytest.mark.parametrize(
    ("path", "status", "title"),
    [
        ("/status?nonce=0x", 400, "invalid_hex"),
        ("/status?nonce=" + "11" * 16, 400, "invalid_hex"),
        ("/status?nonce=0x" + "11" * 15, 400, "invalid_hex"),
        ("/status?nonce=0x" + "11" * 33, 400, "invalid_hex"),
        ("/status?nonce=0x" + "AB" * 16, 400, "invalid_hex"),
        ("/status?once=0x" + "11" * 16, 400, "unknown_member"),
        ("/logs?node_id=UP", 400, "invalid_id"),
        ("/logs?after=-1", 400, "integer_out_of_range"),
        ("/logs?after=x", 400, "not_an_integer"),
        ("/logs?limit=0", 400, "integer_out_of_range"),
        ("/logs?limit=1001", 400, "integer_out_of_range"),
        ("/logs?limit=" + "9" * 5000, 400, "integer_out_of_range"),
        ("/logs?nodeid=operator_2", 400, "unknown_member"),
        ("/events/5", 404, "not_found"),
        ("/events/99999999999999999999", 400, "integer_out_of_range"),
        ("/events/0?size=9", 400, "integer_out_of_range"),
        ("/events/3?size=2", 404, "not_found"),
        ("/events/x", 400, "not_an_integer"),
        ("/events/-1", 400, "integer_out_of_range"),
        ("/nowhere", 404, "Not Found"),
        ("/attestations", 405, "Method Not Allowed"),
    ],
)
def test_an_invalid_request_gets_a_problem_document(
    still: World, path: str, status: int, title: str
) -> None:
    assert is_problem(still.get("operator_1", path), status, title)


def test_an_entry_beyond_the_log_is_named_by_its_position(still: World) -> None:
    problem = still.get("operator_1", "/events/999").json()

    assert problem["position"] == 999


def test_a_status_answer_is_signed_with_the_nonce(still: World) -> None:

    answer = still.get("operator_1", "/status?nonce=0x" + "ab" * 32)

    stated, signature = decode_status(parse(answer.content))
    assert stated.nonce == b"\xab" * 32
    key = still.committee.keys["operator_1"]
    assert bls.verify(key, stated.root(still.committee.id), signature)


def test_the_log_is_read_in_pages(still: World) -> None:
    first = still.get("operator_1", "/logs?limit=3").json()
    second = still.get("operator_1", f"/logs?limit=3&after={first['next']}").json()

    assert [row["id"] for row in first["logs"] + second["logs"]] == [1, 2, 3, 4]
    assert second["next"] is None
    assert set(first["logs"][0]) == {"id", "node_id", "status", "timestamp", "signature"}


def test_the_log_can_be_filtered_by_node(still: World) -> None:
    page = still.get("operator_1", "/logs?node_id=operator_3").json()

    assert [(row["node_id"], row["status"]) for row in page["logs"]] == [("operator_3", "up")]


def test_every_event_has_a_valid_inclusion_proof(still: World) -> None:

    checkpoint = still.get("operator_1", "/checkpoint").json()

    for position in range(checkpoint["size"]):
        logged = ProvenEntry.from_json(
            parse(still.get("operator_2", f"/events/{position}").content)
        )
        logged.verify(still.committee)
        assert to_hex(logged.root) == checkpoint["root"]


def test_rounds_show_every_operators_answer_reason_and_latency(still: World) -> None:
    rounds = still.get("aggregator_0", "/rounds?limit=3").json()["rounds"]

    gathered = [g for record in rounds for g in record["gatherings"] if "status" in g["claim"]]
    assert len(gathered) == 4
    assert all(g["certified"] for g in gathered)
    answers = {a["operator"]: a for a in gathered[0]["answers"]}
    assert set(answers) == set(still.operators)
    assert {a["answer"] for a in answers.values()} <= {"signed", "no answer yet"}
    assert all(record["overran"] is False for record in rounds)
