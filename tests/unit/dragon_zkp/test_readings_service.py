"""Readings proofs over HTTP: both forms of a request, named refusals, and no secret in answers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dragon.encoding import to_hex
from dragon.errors import PeerError
from dragon.net.http_client import HttpClient
from dragon.net.prover_client import ProverClient
from dragon.protocol.streams.statements import ReadingsStatement
from dragon.stark.commitment import commit, encode_output, reading_opening
from dragon.stark.reading_bounds import ReadingBounds
from dragon.stark.readings import verify_readings
from dragon.stark.readings_file import BOUND_NAMES
from dragon.stark.ziggy import public_key
from dragon_zkp import messages, schemas
from dragon_zkp.messages import Prove, Verify
from dragon_zkp.request_parsing import verify_from_bytes
from dragon_zkp.routes.proofs import OCTET_STREAM
from provers import TOKEN, Prover, prover
from wsgi import WsgiAdapter

KEY = bytes(range(32))
IDENTITY = encode_output(public_key(KEY))
READINGS = [73_411, 73_586, 73_502]
OPENINGS = [
    reading_opening(bytes([0x5A + k]) * 32, bytes([0x6A + k]) * 20, reading)
    for k, reading in enumerate(READINGS)
]
COMMITMENTS = [commit(opening) for opening in OPENINGS]
BOUNDS = ReadingBounds(73_000, 74_000, -100, 200, sum(READINGS[1:]), sum(READINGS[1:]))
MESSAGE = b"what the window is"
ASKED = {"Authorization": f"Bearer {TOKEN}"}
IN_BYTES = "?parameter_set=standard&statement=readings"

Json = dict[str, Any]


@pytest.fixture(scope="module")
def made() -> Iterator[Prover]:
    with prover(lambda size: b"\x07" * size) as one:
        yield one


@pytest.fixture(scope="module")
def proof(made: Prover) -> bytes:
    answer = made.client.post("/proofs", json=asking(), headers=ASKED)
    assert answer.status_code == 200, answer.text
    return bytes.fromhex(answer.json["proof"][2:])


def bounds(**changed: object) -> Json:
    return {**{name: str(getattr(BOUNDS, name)) for name in BOUND_NAMES}, **changed}


def statement(**changed: object) -> Json:
    return {
        "kind": "readings",
        "identity": to_hex(IDENTITY),
        "commitments": [to_hex(each) for each in COMMITMENTS],
        "carried": True,
        "bounds": bounds(),
        "message": to_hex(MESSAGE),
        **changed,
    }


def secrets(**changed: object) -> Json:
    openings = [to_hex(opening) for opening in OPENINGS]
    return {"identity": to_hex(KEY), "openings": openings, **changed}


def asking(**changed: object) -> Json:
    shape = {"parameter_set": "standard", "statement": statement(), "secrets": secrets()}
    return {**shape, **changed}


def in_bytes(*rest: bytes, carried: bytes = b"\1", count: int = len(COMMITMENTS)) -> bytes:
    listed = [IDENTITY, count.to_bytes(4, "big"), *COMMITMENTS]
    claims = [carried, BOUNDS.encode(), len(MESSAGE).to_bytes(4, "big"), MESSAGE]
    return b"".join([*listed, *claims, *rest])


def refused(answer: Any) -> tuple[int, str]:
    assert answer.mimetype == "application/problem+json", answer.text
    return answer.status_code, answer.json["title"]


# -- both forms ----------------------------------------------------------------------------------


def test_a_proof_is_accepted_by_the_plain_verifier(proof: bytes) -> None:
    verify_readings("standard", IDENTITY, COMMITMENTS, True, BOUNDS, MESSAGE, proof)


def test_a_request_in_bytes_gives_the_same_proof_as_json(made: Prover, proof: bytes) -> None:
    """The randomness is the same in both requests."""
    answer = made.client.post(
        f"/proofs{IN_BYTES}",
        data=in_bytes(KEY, *OPENINGS),
        content_type=OCTET_STREAM,
        headers={**ASKED, "Accept": OCTET_STREAM},
    )
    assert (answer.status_code, answer.mimetype) == (200, OCTET_STREAM)
    assert answer.data == proof

    answer = made.client.post(
        f"/verifications{IN_BYTES}", data=in_bytes(proof), content_type=OCTET_STREAM
    )
    assert answer.json == {"valid": True, "reason": None, "detail": None}


def test_a_statement_without_a_kind_is_a_blocks_statement(made: Prover) -> None:
    without = {name: value for name, value in statement().items() if name != "kind"}

    answer = made.client.post("/proofs", json=asking(statement=without), headers=ASKED)

    assert refused(answer) == (400, "missing_member")


def test_verdicts_on_other_statements_and_other_proofs(made: Prover, proof: bytes) -> None:
    def verdict(**changed: object) -> Json:
        shape = {"parameter_set": "standard", "statement": statement(), "proof": to_hex(proof)}
        answer = made.client.post("/verifications", json={**shape, **changed})
        assert answer.status_code == 200, answer.text
        return dict(answer.json)

    assert verdict()["valid"]
    for wrong in (
        statement(message="0x00"),
        statement(carried=False, bounds=bounds(sum_low=str(sum(READINGS)), sum_high="220600")),
        statement(bounds=bounds(low="72999")),
        statement(bounds=bounds(step_high="201")),
        statement(commitments=[to_hex(each) for each in COMMITMENTS[::-1]]),
    ):
        assert verdict(statement=wrong)["reason"] == "oods"
    for wrong in (
        statement(bounds=bounds(low="74001")),
        statement(bounds=bounds(sum_high="1" + "0" * 36)),
        statement(commitments=[]),
        statement(commitments=[to_hex(IDENTITY)]),
        statement(commitments=["0x" + "ff" * 32]),
    ):
        assert verdict(statement=wrong)["reason"] == "input"
    assert verdict(parameter_set="ziggy-classic")["reason"] == "parameters"
    assert verdict(proof=to_hex(proof[:-1]))["reason"] == "proof_too_short"
    assert verdict(proof=to_hex(proof + b"\0"))["reason"] == "trailing_bytes"


def test_a_blocks_proof_is_none_of_readings(made: Prover) -> None:
    outputs = [to_hex(each) for each in (IDENTITY, *COMMITMENTS)]
    blocks = {"outputs": outputs, "message": to_hex(MESSAGE), "kind": "blocks"}
    answer = made.client.post("/proofs", json=asking(statement=blocks), headers=ASKED)
    assert answer.status_code == 200, answer.text

    shape = {"parameter_set": "standard", "proof": answer.json["proof"]}
    for asked, expected in ((blocks, True), (statement(), False)):
        verdict = made.client.post("/verifications", json={**shape, "statement": asked}).json
        assert verdict["valid"] is expected


# -- refusals ------------------------------------------------------------------------------------

WRONG: dict[str, tuple[Json, tuple[int, str]]] = {
    "kind": ({"statement": statement(kind="sums")}, (400, "unknown_value")),
    "outputs": ({"statement": statement(outputs=[])}, (400, "unknown_member")),
    "identity": ({"statement": statement(identity="0x00")}, (400, "invalid_hex")),
    "carried": ({"statement": statement(carried=1)}, (400, "wrong_type")),
    "no bounds": ({"statement": statement(bounds=None)}, (400, "wrong_type")),
    "bound as a number": ({"statement": statement(bounds=bounds(low=73_000))}, (400, "wrong_type")),
    "negative zero": ({"statement": statement(bounds=bounds(low="-0"))}, (400, "unknown_value")),
    "leading zero": ({"statement": statement(bounds=bounds(low="073000"))}, (400, "unknown_value")),
    "plus": ({"statement": statement(bounds=bounds(low="+73000"))}, (400, "unknown_value")),
    "17 bytes": ({"statement": statement(bounds=bounds(low=str(2**127)))}, (400, None)),
    "more bounds": ({"statement": statement(bounds=bounds(mean="1"))}, (400, "unknown_member")),
    "fewer bounds": ({"statement": statement(bounds={"low": "1"})}, (400, "missing_member")),
    "classic": ({"parameter_set": "ziggy-classic"}, (422, "unsafe_parameters")),
    "inadmissible": ({"statement": statement(bounds=bounds(low="74001"))}, (422, "proof_refused")),
    "range": ({"statement": statement(bounds=bounds(low="73412"))}, (422, "wrong_witness")),
    "step": ({"statement": statement(bounds=bounds(step_high="174"))}, (422, "wrong_witness")),
    "sum": (
        {"statement": statement(bounds=bounds(sum_low="147087", sum_high="147087"))},
        (422, "wrong_witness"),
    ),
    "order": (
        {"secrets": secrets(openings=[to_hex(OPENINGS[k]) for k in (1, 0, 2)])},
        (422, "wrong_witness"),
    ),
    "too few": ({"secrets": secrets(openings=[to_hex(OPENINGS[0])])}, (422, "wrong_witness")),
    "none": ({"secrets": secrets(openings=[])}, (422, "wrong_witness")),
    "value": ({"secrets": secrets(openings=["0x" + "5a" * 60] * 3)}, (422, "wrong_witness")),
    "another key": ({"secrets": secrets(identity="0x" + "11" * 32)}, (422, "wrong_witness")),
}


@pytest.mark.parametrize("name", WRONG)
def test_requests_that_cannot_be_proven_are_refused_by_name(
    made: Prover, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    changed, (status, title) = WRONG[name]

    with caplog.at_level(logging.DEBUG):
        answer = made.client.post("/proofs", json=asking(**changed), headers=ASKED)

    assert refused(answer) == (status, title or "integer_out_of_range")
    for text in (answer.text, caplog.text):
        for secret in (KEY.hex(), *(opening.hex()[:16] for opening in OPENINGS)):
            assert secret not in text
        assert not any(str(reading) in text for reading in READINGS)


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        (IN_BYTES, b"", (400, "missing_member")),
        (IN_BYTES, in_bytes(KEY, b"x"), (400, "invalid_encoding")),
        (IN_BYTES, in_bytes(KEY, carried=b"\2"), (400, "unknown_value")),
        (IN_BYTES, in_bytes(KEY, count=4096), (400, "too_large")),
        (IN_BYTES, in_bytes(KEY[:31]), (400, "missing_member")),
        (IN_BYTES.replace("readings", "sums"), in_bytes(KEY), (400, "unknown_value")),
    ],
)
def test_invalid_requests_in_bytes_are_refused_by_name(
    made: Prover, path: str, body: bytes, expected: tuple[int, str]
) -> None:
    answer = made.client.post(f"/proofs{path}", data=body, content_type=OCTET_STREAM, headers=ASKED)

    assert refused(answer) == expected


@pytest.mark.parametrize("path", ["/proofs", "/verifications"])
def test_a_json_request_states_its_kind_in_the_body_only(made: Prover, path: str) -> None:
    answer = made.client.post(f"{path}?statement=readings", json=asking(), headers=ASKED)

    assert refused(answer) == (400, "unknown_member")


few = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@few
@given(st.data())
def test_an_altered_body_in_bytes_gives_a_proof_of_what_it_states_or_a_named_refusal(
    made: Prover, data: st.DataObject
) -> None:
    body = bytearray(in_bytes(KEY, *OPENINGS))
    at = data.draw(st.integers(0, len(body) - 1))
    body[at] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.sampled_from([len(body), at]))

    answer = made.client.post(
        f"/proofs{IN_BYTES}", data=bytes(body[:cut]), content_type=OCTET_STREAM, headers=ASKED
    )

    if answer.status_code == 200:  # what the body states now is true as well
        head, made_proof = bytes(body[: len(in_bytes())]), bytes.fromhex(answer.json["proof"][2:])
        verdict = made.client.post(
            f"/verifications{IN_BYTES}", data=head + made_proof, content_type=OCTET_STREAM
        )
        assert verdict.json["valid"] is True
    else:
        assert refused(answer)[0] in {400, 422}
    assert KEY.hex()[:16] not in answer.text


@few
@given(
    st.sampled_from([*BOUND_NAMES, "carried", "commitments", "identity", "kind", "message"]),
    st.recursive(
        st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner),
        max_leaves=3,
    ),
)
def test_any_json_value_in_a_statement_gives_a_named_answer(
    made: Prover, name: str, value: Any
) -> None:
    asked = (
        statement(bounds=bounds(**{name: value}))
        if name in BOUND_NAMES
        else {
            **statement(),
            name: value,
        }
    )
    shape = {"parameter_set": "standard", "statement": asked, "proof": "0x00"}

    answer = made.client.post("/verifications", json=shape)

    if answer.status_code == 200:
        assert answer.json["valid"] is False
    else:
        assert refused(answer)[0] == 400


# -- how jobs cross to workers -------------------------------------------------------------------


def test_jobs_are_unpacked_as_they_were_packed() -> None:
    verify = verify_from_bytes("strong", in_bytes(b"proof"), "readings")
    assert isinstance(verify.statement, messages.ReadingsStatement)
    assert verify.statement.bounds == BOUNDS

    for job in (verify, Prove(verify.statement, KEY, tuple(OPENINGS), bytes(32))):
        assert messages.unpack(messages.pack(job)) == job
    assert repr(KEY) not in repr(Prove(verify.statement, KEY, tuple(OPENINGS), bytes(32)))
    assert isinstance(verify, Verify)


# -- the client ----------------------------------------------------------------------------------


@pytest.mark.parametrize("carried", [COMMITMENTS[0], None])
def test_the_client_gets_readings_proofs_and_verifies_them(
    made: Prover, carried: bytes | None
) -> None:
    http = HttpClient(WsgiAdapter({"prover:5200": made.client.application}).session())
    client = ProverClient("http://prover:5200", TOKEN, http)
    total = sum(READINGS[carried is not None :])
    asked = ReadingsStatement(carried, replace(BOUNDS, sum_low=total, sum_high=total))

    proof = client.prove(
        "standard", (IDENTITY, COMMITMENTS), MESSAGE, (KEY, OPENINGS), readings=asked, deadline=5
    )

    flag = carried is not None
    verify_readings("standard", IDENTITY, COMMITMENTS, flag, asked.bounds, MESSAGE, proof)


def test_the_client_gets_no_proof_of_a_false_claim(made: Prover) -> None:
    http = HttpClient(WsgiAdapter({"prover:5200": made.client.application}).session())
    client = ProverClient("http://prover:5200", TOKEN, http)
    asked = ReadingsStatement(None, BOUNDS)

    with pytest.raises(PeerError) as caught:
        client.prove(
            "standard",
            (IDENTITY, COMMITMENTS),
            MESSAGE,
            (KEY, OPENINGS),
            readings=asked,
            deadline=5,
        )

    assert not any(str(reading) in str(caught.value) for reading in READINGS)


def test_requests_match_their_openapi_schemas(made: Prover, proof: bytes) -> None:
    described = made.client.get("/openapi.json").json["components"]["schemas"]
    assert "ReadingsStatement" in described

    schemas.ProofRequest(**asking())
    shape = {"parameter_set": "standard", "statement": statement(), "proof": to_hex(proof)}
    schemas.VerificationRequest(**shape)
