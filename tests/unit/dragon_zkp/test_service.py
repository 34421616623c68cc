"""The prover over HTTP: valid proofs, named refusals, and no secret in any answer or log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from documented_metrics import check_documented
from dragon import errors
from dragon.encoding import to_hex
from dragon.stark.blocks import verify_window, window_outputs
from dragon.stark.commitment import commit, encode_output
from dragon.stark.ziggy import public_key
from dragon_zkp import schemas
from dragon_zkp.messages import Job, Prove
from dragon_zkp.pool import IsGone
from dragon_zkp.routes.proofs import OCTET_STREAM
from dragon_zkp.statement_parsing import MAX_MESSAGE_BYTES
from provers import TOKEN, Here, Prover, prover, until

KEY = bytes(range(32))
OPENINGS = [b"\x5a" * 60, b"\x5b" * 60]
COMMITMENTS = [commit(opening) for opening in OPENINGS]
IDENTITY = encode_output(public_key(KEY))
OUTPUTS = window_outputs(IDENTITY, COMMITMENTS)
MESSAGE = b"what the window is"
ASKED = {"Authorization": f"Bearer {TOKEN}"}

Json = dict[str, Any]


def entropy(size: int) -> bytes:
    return b"\x07" * size


@pytest.fixture(scope="module")
def made() -> Iterator[Prover]:
    with prover(entropy) as one:
        yield one


@pytest.fixture(scope="module")
def proof(made: Prover) -> bytes:
    answer = made.client.post("/proofs", json=asking(), headers=ASKED)
    assert answer.status_code == 200, answer.text
    return bytes.fromhex(answer.json["proof"][2:])


def statement(**changed: object) -> Json:
    return {"outputs": [to_hex(one) for one in OUTPUTS], "message": to_hex(MESSAGE), **changed}


def asking(**changed: object) -> Json:
    secrets = {"identity": to_hex(KEY), "openings": [to_hex(one) for one in OPENINGS]}
    return {
        "parameter_set": "standard",
        "statement": statement(),
        "secrets": secrets,
        **changed,
    }


def in_bytes(*rest: bytes) -> bytes:
    counted = [len(OUTPUTS).to_bytes(4, "big"), *OUTPUTS]
    return b"".join([*counted, len(MESSAGE).to_bytes(4, "big"), MESSAGE, *rest])


def refused(answer: Any) -> tuple[int, str]:
    assert answer.mimetype == "application/problem+json", answer.text
    return answer.status_code, answer.json["title"]


def test_a_proof_is_accepted_by_the_plain_verifier(proof: bytes) -> None:
    verify_window("standard", IDENTITY, COMMITMENTS, MESSAGE, proof)


def test_a_request_in_bytes_gives_the_same_proof_as_json(made: Prover, proof: bytes) -> None:
    """The randomness is the same in both requests."""
    body = in_bytes(KEY, *OPENINGS)
    answer = made.client.post(
        "/proofs?parameter_set=standard",
        data=body,
        content_type=OCTET_STREAM,
        headers={**ASKED, "Accept": OCTET_STREAM},
    )
    assert (answer.status_code, answer.mimetype) == (200, OCTET_STREAM)
    assert answer.data == proof

    answer = made.client.post(
        "/verifications?parameter_set=standard", data=in_bytes(proof), content_type=OCTET_STREAM
    )
    assert answer.json == {"valid": True, "reason": None, "detail": None}


def test_verifying_needs_no_token_and_answers_with_a_verdict(made: Prover, proof: bytes) -> None:
    def verdict(**changed: object) -> Json:
        body = {
            "parameter_set": "standard",
            "statement": statement(),
            "proof": to_hex(proof),
            **changed,
        }
        answer = made.client.post("/verifications", json=body)
        assert answer.status_code == 200, answer.text
        return dict(answer.json)

    assert verdict()["valid"]
    assert not verdict(parameter_set="strong")["valid"]
    assert verdict(statement=statement(message="0x00"))["reason"] == "oods"
    assert verdict(proof=to_hex(proof[:-1]))["reason"] == "proof_too_short"
    assert verdict(proof=to_hex(proof + b"\0"))["reason"] == "trailing_bytes"
    assert verdict(statement=statement(outputs=[to_hex(IDENTITY)] * 3))["reason"] == "parameters"
    assert verdict(statement=statement(outputs=["0x" + "ff" * 32]))["reason"] == "input"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": "Bearer caf\xe9"},
    ],
)
def test_proving_needs_the_token(made: Prover, headers: dict[str, str]) -> None:
    answer = made.client.post("/proofs", json=asking(), headers=headers)
    assert refused(answer) == (401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert TOKEN not in answer.text


SECRETS = {"identity": to_hex(KEY), "openings": [to_hex(one) for one in OPENINGS]}
WRONG: dict[str, tuple[Json, tuple[int, str]]] = {
    "set": ({"parameter_set": "test-reference"}, (400, "unknown_value")),
    "classic": ({"parameter_set": "ziggy-classic"}, (422, "unsafe_parameters")),
    "member": ({"rho": "0x" + "00" * 32}, (400, "unknown_member")),
    "no secrets": ({"secrets": {}}, (400, "missing_member")),
    "short opening": ({"secrets": {**SECRETS, "openings": ["0x00"]}}, (400, "invalid_hex")),
    "too few": ({"secrets": {**SECRETS, "openings": []}}, (422, "wrong_witness")),
    "another": (
        {"secrets": {**SECRETS, "openings": ["0x" + "11" * 60] * 2}},
        (422, "wrong_witness"),
    ),
    "identity": ({"secrets": {**SECRETS, "identity": "0x" + "11" * 32}}, (422, "wrong_witness")),
    "message": ({"statement": statement(message="hello")}, (400, "invalid_hex")),
    "long message": (
        {"statement": statement(message="0x" + "00" * (MAX_MESSAGE_BYTES + 1))},
        (400, "invalid_hex"),
    ),
    "outputs": ({"statement": statement(outputs=7)}, (400, "wrong_type")),
}


@pytest.mark.parametrize("name", WRONG)
def test_requests_that_cannot_be_proven_are_refused_by_name(
    made: Prover, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    changed, expected = WRONG[name]
    with caplog.at_level(logging.DEBUG):
        answer = made.client.post("/proofs", json=asking(**changed), headers=ASKED)
    assert refused(answer) == expected
    for text in (answer.text, caplog.text):
        assert KEY.hex() not in text
        assert all(opening.hex() not in text for opening in OPENINGS)
        assert "11" * 32 not in text


@pytest.mark.parametrize(
    "body",
    [
        f'{{"parameter_set":"standard","secrets":{{"identity":{int(KEY.hex(), 16)}}}}}',
        '{"secrets":{"identity":"0x' + KEY.hex()[:60] + '\\ud800"}}',
        f'{{"secrets":{{"0x{KEY.hex()}":1}}}}',
        f'{{"0x{KEY.hex()}":1}}',
        f'{{"0x{KEY.hex()}":1,"0x{KEY.hex()}":1}}',
        f'{{"parameter_set":"{KEY.hex()}"}}',
        f"0x{KEY.hex()}",
    ],
)
def test_an_error_quotes_nothing_of_the_request(made: Prover, body: str) -> None:
    """Callers log the errors that they receive."""
    answer = made.client.post("/proofs", data=body, headers=ASKED)
    status, _ = refused(answer)
    assert status == 400
    for part in (KEY.hex()[:16], KEY.hex()[-16:], str(int(KEY.hex(), 16))[:16]):
        assert part not in answer.text


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("?parameter_set=standard", b"", (400, "missing_member")),
        ("?parameter_set=standard", in_bytes(KEY, b"x"), (400, "invalid_encoding")),
        ("?parameter_set=standard", b"\xff" * 8, (400, "too_large")),
        ("?parameter_set=other", in_bytes(KEY), (400, "unknown_value")),
        ("", in_bytes(KEY), (400, "unknown_value")),
        ("?set=standard", in_bytes(KEY), (400, "unknown_member")),
    ],
)
def test_invalid_requests_in_bytes_are_refused_by_name(
    made: Prover, path: str, body: bytes, expected: tuple[int, str]
) -> None:
    answer = made.client.post(f"/proofs{path}", data=body, content_type=OCTET_STREAM, headers=ASKED)
    assert refused(answer) == expected


@pytest.mark.parametrize("path", ["/proofs", "/verifications"])
def test_a_json_request_may_name_its_set_in_the_body_only(made: Prover, path: str) -> None:
    answer = made.client.post(f"{path}?parameter_set=strong", json=asking(), headers=ASKED)
    assert refused(answer) == (400, "unknown_member")


def test_a_body_that_is_too_large_is_refused(made: Prover) -> None:
    answer = made.client.post("/proofs", data=b" " * (1 << 20 | 1), headers=ASKED)
    assert answer.status_code == 413


class Failing(Here):
    """A worker that fails with the given errors first, and then answers."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.jobs: list[Job] = []

    def do(self, job: Job, seconds: float, is_gone: IsGone) -> bytes:
        self.jobs.append(job)
        if self.failures:
            raise self.failures.pop(0)
        return b"proof"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.WorkerDied("gone"), (503, "worker_died")),
        (errors.Overdue("late"), (503, "overdue")),
        (errors.Busy("full"), (429, "busy")),
    ],
)
def test_a_failure_of_the_worker_is_answered_by_name(
    error: errors.DragonError, expected: tuple[int, str]
) -> None:
    with prover(entropy, lambda: Failing(error)) as one:
        answer = one.client.post("/proofs", json=asking(), headers=ASKED)
    assert refused(answer) == expected
    assert ("Retry-After" in answer.headers) == (expected[0] == 429)


def test_an_unlucky_challenge_is_retried_with_fresh_randomness() -> None:
    drawn = iter(range(256))
    worker = Failing(errors.UnluckyChallenge("z"), errors.UnluckyChallenge("z"))
    with prover(lambda size: bytes([next(drawn)]) * size, lambda: worker) as one:
        answer = one.client.post("/proofs", json=asking(), headers=ASKED)
    assert answer.json["proof"] == to_hex(b"proof")
    rhos = [job.rho for job in worker.jobs if isinstance(job, Prove)]
    assert rhos == [bytes([k]) * 32 for k in range(3)]


def test_every_proof_uses_fresh_randomness() -> None:
    drawn = iter(range(256))
    worker = Failing()
    with prover(lambda size: bytes([next(drawn)]) * size, lambda: worker) as one:
        for _ in range(2):
            one.client.post("/proofs", json=asking(), headers=ASKED)
    first, second = (job.rho for job in worker.jobs if isinstance(job, Prove))
    assert first != second


def test_the_parameter_sets_are_listed_with_all_figures(made: Prover) -> None:
    listed = made.client.get("/parameter-sets").json["parameter_sets"]
    assert [one["name"] for one in listed] == ["ziggy-classic", "standard", "strong"]
    assert [one["zero_knowledge"] for one in listed] == ["heuristic", "strict", "strict"]
    assert [len(one["figures"]) for one in listed] == [1, 13, 13]
    for figures in (row for one in listed for row in one["figures"]):
        bits = (figures["provable"], figures["conjectured"], figures["binding"])
        assert figures["level"] == min(bits)


def counter(start: int = 0) -> Callable[[int], bytes]:
    drawn = iter(range(start, 256))
    return lambda size: bytes([next(drawn)]) * size


def test_the_self_check_proves_and_verifies_a_random_statement() -> None:
    with prover(counter()) as one:
        one.components.self_check.check()
        assert (one.components.self_check.passed, one.components.self_check.last_error) == (1, "")
        assert one.client.get("/healthz").json == {"status": "ok"}


@pytest.mark.parametrize("answer", [b"", b"\0" * 70_000])
def test_a_failed_self_check_is_reported_until_one_passes(answer: bytes) -> None:
    class Wrong(Here):
        wrong = True

        def do(self, job: Job, seconds: float, is_gone: IsGone) -> bytes:
            return answer if self.wrong else super().do(job, seconds, is_gone)

    worker = Wrong()
    with prover(counter(), lambda: worker) as one:
        one.components.self_check.check()
        for path in ("/healthz", "/readyz"):
            shown = one.client.get(path)
            assert (shown.status_code, "self-check" in shown.text) == (503, True)
        worker.wrong = False
        one.components.self_check.check()
        assert one.client.get("/healthz").status_code == 200


@pytest.mark.parametrize("error", [errors.Busy("full"), errors.WorkerDied("gone")])
def test_a_busy_pool_or_a_lost_worker_does_not_fail_the_self_check(
    error: errors.DragonError,
) -> None:
    with prover(counter(), lambda: Failing(error)) as one:
        one.components.self_check.check()
        assert (one.components.self_check.passed, one.components.self_check.last_error) == (0, "")


@pytest.mark.parametrize("kind", [errors.Overdue, errors.WorkerDied])
def test_three_unfinished_self_checks_in_a_row_are_a_failure(
    kind: type[errors.DragonError],
) -> None:
    unfinished = [kind("requests come first")] * 3
    with prover(counter(), lambda: Failing(unfinished.pop())) as one:
        for failed in (False, False, True):
            until(lambda: one.components.pool.busy_workers == 0)
            one.components.self_check.check()
            assert bool(one.components.self_check.last_error) is failed


def test_requests_and_answers_match_their_openapi_schemas(made: Prover, proof: bytes) -> None:
    document = made.client.get("/openapi.json").json
    described = document["components"]["schemas"]
    for name in ("ProofRequest", "VerificationRequest", "Proof", "Verdict", "ParameterSets"):
        assert name in described
    for path in ("/proofs", "/verifications"):
        taken = document["paths"][path]["post"]["requestBody"]["content"]
        assert set(taken) == {"application/json", OCTET_STREAM}

    schemas.ProofRequest(**asking())
    schemas.Proof(parameter_set="standard", proof=to_hex(proof))
    body = {"parameter_set": "standard", "statement": statement(), "proof": to_hex(proof)}
    schemas.VerificationRequest(**body)
    schemas.Verdict(**made.client.post("/verifications", json=body).json)
    schemas.ParameterSets(**made.client.get("/parameter-sets").json)


def test_metrics_count_jobs_by_outcome(made: Prover, proof: bytes) -> None:
    assert proof
    text = made.client.get("/metrics").text
    assert 'datadragon_zkp_jobs_total{kind="prove",outcome="done"}' in text
    assert "datadragon_zkp_workers_at_work 0.0" in text


def test_every_metric_of_a_prover_is_in_the_reference(made: Prover) -> None:
    check_documented(made.client.get("/metrics").text)
