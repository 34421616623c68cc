"""What a window is judged by, and the judgement, cross between processes without a change."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from committees import make_members
from dragon import errors
from dragon.encoding import Json
from dragon.node.workers import ipc
from dragon.protocol.claims.window import InvalidReason
from dragon.protocol.refusal import RefusalReason
from dragon.protocol.streams.chunks import MAX_CHUNKS_BYTES, encode_chunks
from dragon.protocol.streams.finding import MAX_CLOCK_LEAD_MS, MAX_PROOF_BYTES, Finding
from dragon.stark import compiled
from dragon_operator import window_case
from dragon_operator.window_case import COMPILED, PLAIN, Judgement, WindowCase, answer, judgement
from streams import make_owner

MEMBERS = make_members()
OWNER, STRANGER = make_owner(MEMBERS), make_owner(MEMBERS, "sensor-2")
FIRST = OWNER.window([b"a", b"bb", b"ccc"])
SECOND = OWNER.window([b"dddd"], FIRST)


@pytest.fixture(scope="module")
def case() -> WindowCase:
    return WindowCase(
        OWNER.descriptor,
        SECOND.header,
        SECOND.signature,
        encode_chunks(SECOND.chunks),
        OWNER.prove(SECOND),
        FIRST.header,
        SECOND.header.last_received_ms,
        MEMBERS.committee.network_id,
    )


SPOILED: dict[str, dict[str, Any]] = {
    "valid": {},
    "wrong proof": {"proof": b"no proof"},
    "no previous window": {"previous": None},
    "another header": {"header": FIRST.header, "signature": FIRST.signature, "previous": None},
    "not signed": {"signature": FIRST.signature},
    "of another stream": {"descriptor": STRANGER.descriptor},
    "garbage": {"chunks": b"garbage"},
    "no chunk": {"chunks": b""},
    "other chunks": {"chunks": encode_chunks(FIRST.chunks)},
    "from the future": {"now_ms": SECOND.header.last_received_ms - MAX_CLOCK_LEAD_MS - 1},
    "of another network": {"network_id": bytes(32)},
    "a long proof": {"proof": bytes(MAX_PROOF_BYTES + 1)},
}


def outcome(judge: Any) -> Any:
    """The finding, or the reason and message of the refusal."""
    try:
        return judge()
    except errors.AttestationRefused as refused:
        return RefusalReason(refused.reason), str(refused), refused.facts


@pytest.mark.parametrize("name", SPOILED)
def test_a_worker_finds_what_this_process_finds(name: str, case: WindowCase) -> None:
    spoiled = dataclasses.replace(case, **SPOILED[name])

    judged = judgement(answer(spoiled.pack()))

    def raised() -> Finding:
        if isinstance(judged.result, errors.AttestationRefused):
            raise judged.result
        return judged.result

    assert outcome(raised) == outcome(spoiled.judge)
    assert judged.seconds > 0


def test_the_cases_have_different_outcomes(case: WindowCase) -> None:
    found = {
        name: outcome(dataclasses.replace(case, **changes).judge)
        for name, changes in SPOILED.items()
    }

    assert found["valid"] == Finding(InvalidReason.NONE)
    assert found["wrong proof"].reason is InvalidReason.STARK
    assert found["no previous window"][0] is RefusalReason.BEHIND
    assert found["from the future"][0] is RefusalReason.CLOCK
    assert found["garbage"][0] is RefusalReason.MALFORMED
    assert "cannot be decoded" in found["garbage"][1]


@pytest.mark.parametrize("previous", [FIRST.header, None])
def test_a_case_arrives_as_it_was_sent(previous: Any, case: WindowCase) -> None:
    sent = dataclasses.replace(case, previous=previous)

    assert WindowCase.unpack(sent.pack()) == sent


def test_the_largest_case_may_be_sent(case: WindowCase) -> None:
    assert len(case.pack()) <= ipc.MAX_STRINGS
    assert max(MAX_CHUNKS_BYTES, MAX_PROOF_BYTES) <= ipc.MAX_STRING_BYTES


def test_a_judgement_arrives_with_any_text(
    case: WindowCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Finding(InvalidReason.HEADER, "a time in the past: \udc80 é")
    monkeypatch.setattr(window_case, "judge", lambda *_, **__: found)

    judged = judgement(answer(case.pack()))

    assert judged.result == Finding(InvalidReason.HEADER, "a time in the past: ? é")


@pytest.mark.parametrize("error", [RuntimeError("a fault"), MemoryError(), errors.NotFound("x")])
def test_a_worker_survives_its_faults_and_reports_no_verdict(
    error: Exception, case: WindowCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: Json) -> Finding:
        raise error

    monkeypatch.setattr(window_case, "judge", fails)

    with pytest.raises(errors.WorkerDied, match=type(error).__name__):
        judgement(answer(case.pack()))


@pytest.mark.parametrize(
    "strings",
    [
        [b"finding", b"no reason", b"", b"0.1", b"plain"],
        [b"finding", b"none", b"", b"soon", b"plain"],
        [b"finding", b"none", b"\xff", b"0.1", b"plain"],
        [b"finding", b"none", b"", b"0.1", b"another"],
        [b"finding", b"none", b"", b"0.1", b"\xff"],
        [b"finding", b"none", b"", b"0.1"],
        [b"refused", b"no reason", b"", b"0.1", b"plain"],
        [b"cancelled", b"none", b"", b"0.1", b"plain"],
    ],
)
def test_an_answer_that_is_none_is_no_verdict(strings: ipc.Strings) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        judgement(strings)


def test_a_judgement_may_be_written_by_hand() -> None:
    judged = judgement([b"finding", b"stark", b"a detail", b"0.25", b"compiled"])

    assert judged == Judgement(Finding(InvalidReason.STARK, "a detail"), 0.25, COMPILED)


def test_a_judgement_names_the_verifier_that_the_worker_uses(case: WindowCase) -> None:
    kernels = pytest.importorskip("dragon.stark.prover.compiled_verifier")
    try:
        plain = judgement(answer(case.pack()))
        kernels.use_compiled_verifier()
        fast = judgement(answer(case.pack()))
    finally:
        compiled.use(None)

    assert (plain.verifier, fast.verifier) == (PLAIN, COMPILED)
    assert plain.result == fast.result == Finding(InvalidReason.NONE)
