"""What an operator has found: remembered by window and proof, until the log has the window."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from committees import make_members
from dragon.protocol.claims.window import InvalidReason, Verdict
from dragon.protocol.streams.finding import Finding
from dragon.storage.database import Database
from dragon_operator.journal import SCHEMA
from dragon_operator.verdict_store import VerdictStore, WindowVerdict
from streams import make_owner

OWNER = make_owner(make_members())
WINDOW = OWNER.window([b"21.5"])
SUBMISSION = OWNER.submission(WINDOW, b"a proof")
PROOF = hashlib.sha256(b"a proof").digest()
VALID = WindowVerdict.of(SUBMISSION, PROOF, Finding(InvalidReason.NONE))
INVALID = replace(VALID, proof=b"w" * 32, reason=InvalidReason.STARK, detail="it proves nothing")
STREAM, HEADER = VALID.stream, VALID.header


@contextmanager
def opened(path: Path) -> Iterator[VerdictStore]:
    database = Database(path, SCHEMA)
    try:
        yield VerdictStore(database)
    finally:
        database.close()


@pytest.fixture
def verdicts(tmp_path: Path) -> Iterator[VerdictStore]:
    with opened(tmp_path / "operator.db") as verdicts:
        yield verdicts


def recalled(verdicts: VerdictStore, found: WindowVerdict) -> WindowVerdict | None:
    return verdicts.recall(found.stream, found.number, found.header, found.proof)


# -- found ---------------------------------------------------------------------------------------


def test_what_was_found_is_of_a_window_and_one_proof() -> None:
    assert (VALID.stream, VALID.number, VALID.header) == (
        OWNER.descriptor.id,
        0,
        WINDOW.header.hash,
    )
    assert (VALID.previous, VALID.proof) == (OWNER.descriptor.id, PROOF)
    assert (VALID.parameters, VALID.detail) == ("standard", "")


@pytest.mark.parametrize("fault", list(InvalidReason))
def test_only_what_has_no_fault_is_valid(fault: InvalidReason) -> None:
    found = WindowVerdict.of(SUBMISSION, PROOF, Finding(fault, "why"))

    assert found.verdict is (Verdict.VALID if fault is InvalidReason.NONE else Verdict.INVALID)
    assert (found.reason, found.detail) == (fault, "why")


@pytest.mark.parametrize("fault", list(InvalidReason))
@pytest.mark.parametrize("timestamp", [0, 1_732_522_760])
def test_the_claim_of_a_judgement_says_what_was_found(fault: InvalidReason, timestamp: int) -> None:
    judgement = Finding(fault, "not part of it")
    claim = judgement.claim(OWNER.descriptor, WINDOW.header, PROOF, timestamp)

    assert WindowVerdict.of(SUBMISSION, PROOF, judgement).is_claimed(claim)


@pytest.mark.parametrize(
    "changes",
    [
        {"stream": bytes(32)},
        {"number": 1},
        {"previous": bytes(32)},
        {"header": bytes(32)},
        {"verdict": Verdict.INVALID},
        {"reason": InvalidReason.STARK},
        {"verdict": Verdict.INVALID, "reason": InvalidReason.STARK},
        {"proof": bytes(32)},
        {"parameters": "strong"},
    ],
    ids=" and ".join,
)
def test_a_claim_that_says_anything_else_was_not_found(changes: dict[str, Any]) -> None:
    claim = Finding(InvalidReason.NONE).claim(OWNER.descriptor, WINDOW.header, PROOF, 0)

    assert not VALID.is_claimed(replace(claim, **changes))


def test_the_same_verdict_for_another_reason_was_not_found() -> None:
    claim = Finding(InvalidReason.ROOT).claim(OWNER.descriptor, WINDOW.header, INVALID.proof, 0)

    assert not INVALID.is_claimed(claim)
    assert INVALID.is_claimed(replace(claim, reason=InvalidReason.STARK))


# -- remembered ----------------------------------------------------------------------------------


@pytest.mark.parametrize("found", [VALID, INVALID], ids=["valid", "invalid"])
def test_a_verdict_is_recalled_whole_also_after_a_restart(
    tmp_path: Path, found: WindowVerdict
) -> None:
    with opened(tmp_path / "operator.db") as verdicts:
        assert recalled(verdicts, found) is None
        verdicts.keep(found)

    with opened(tmp_path / "operator.db") as verdicts:
        assert recalled(verdicts, found) == found


@pytest.mark.parametrize(
    "changes",
    [{"stream": bytes(32)}, {"number": 1}, {"header": bytes(32)}, {"proof": bytes(32)}],
    ids=lambda changes: next(iter(changes)),
)
def test_a_verdict_is_on_nothing_else(verdicts: VerdictStore, changes: dict[str, Any]) -> None:
    verdicts.keep(VALID)

    assert recalled(verdicts, replace(VALID, **changes)) is None


def test_the_first_verdict_on_a_window_and_proof_stands(verdicts: VerdictStore) -> None:
    verdicts.keep(VALID)

    verdicts.keep(replace(VALID, reason=InvalidReason.STARK, detail="on second thoughts"))

    assert recalled(verdicts, VALID) == VALID
    assert verdicts.count(STREAM) == 1


def test_several_proofs_of_one_window_have_a_verdict_each(verdicts: VerdictStore) -> None:
    for found in (INVALID, VALID, replace(VALID, proof=b"v" * 32)):
        verdicts.keep(found)

    assert recalled(verdicts, INVALID) == INVALID
    assert recalled(verdicts, VALID) == VALID
    assert verdicts.count(STREAM) == 3


def test_a_window_is_valid_if_any_of_its_proofs_is(verdicts: VerdictStore) -> None:
    verdicts.keep(INVALID)
    assert verdicts.valid(STREAM, HEADER) is None

    verdicts.keep(VALID)

    assert verdicts.valid(STREAM, HEADER) == VALID
    assert verdicts.valid(STREAM, bytes(32)) is None
    assert verdicts.valid(bytes(32), HEADER) is None


def test_streams_are_counted_each_by_itself(verdicts: VerdictStore) -> None:
    other = replace(VALID, stream=b"o" * 32)
    for found in (VALID, INVALID, other):
        verdicts.keep(found)

    assert sorted(verdicts.streams()) == sorted([STREAM, other.stream])
    assert [verdicts.count(each) for each in (STREAM, other.stream, bytes(32))] == [2, 1, 0]


@pytest.mark.parametrize("windows", [0, 1, 2, 3, 9])
def test_what_the_log_has_is_forgotten_and_nothing_else(
    verdicts: VerdictStore, windows: int
) -> None:
    numbered = [replace(VALID, number=number) for number in range(4)]
    other = replace(VALID, stream=b"o" * 32)
    for found in (*numbered, other):
        verdicts.keep(found)

    verdicts.settle(STREAM, windows)

    assert [each for each in numbered if recalled(verdicts, each)] == numbered[windows:]
    assert recalled(verdicts, other) == other
