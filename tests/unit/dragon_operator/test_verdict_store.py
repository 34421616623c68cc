"""Verdicts of an operator: stored by window and proof, until the log has the window."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from committees import make_members
from dragon.protocol.claims.window import InvalidReason, Statement, Verdict
from dragon.protocol.streams.finding import Finding
from dragon.storage.database import Database
from dragon_operator.verdict_store import SCHEMA, VerdictStore, WindowVerdict
from reading_rules import free_steps
from streams import make_owner

OWNER = make_owner(make_members())
WINDOW = OWNER.window([b"21.5"])
SUBMISSION = OWNER.submission(WINDOW, b"a proof")
PROOF = hashlib.sha256(b"a proof").digest()
VALID = WindowVerdict.of(SUBMISSION, PROOF, Finding(InvalidReason.NONE))
INVALID = replace(VALID, proof=b"w" * 32, finding=Finding(InvalidReason.STARK, "it proves nothing"))
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


def recalled(verdicts: VerdictStore, verdict: WindowVerdict) -> WindowVerdict | None:
    return verdicts.recall(verdict.stream, verdict.number, verdict.header, verdict.proof)


# -- verdicts --------------------------------------------------------------------------------------


def test_a_verdict_names_its_window_and_proof() -> None:
    assert (VALID.stream, VALID.number, VALID.header) == (
        OWNER.descriptor.id,
        0,
        WINDOW.header.hash,
    )
    assert (VALID.previous, VALID.proof) == (OWNER.descriptor.id, PROOF)
    assert (VALID.parameters, VALID.finding.detail) == ("standard", "")


@pytest.mark.parametrize("fault", list(InvalidReason))
def test_only_a_window_without_a_fault_is_valid(fault: InvalidReason) -> None:
    verdict = WindowVerdict.of(SUBMISSION, PROOF, Finding(fault, "why"))

    assert verdict.finding.verdict is (
        Verdict.VALID if fault is InvalidReason.NONE else Verdict.INVALID
    )
    assert (verdict.finding.reason, verdict.finding.detail) == (fault, "why")


@pytest.mark.parametrize("fault", list(InvalidReason))
@pytest.mark.parametrize("timestamp", [0, 1_732_522_760])
def test_a_claim_made_from_a_finding_states_the_verdict(
    fault: InvalidReason, timestamp: int
) -> None:
    finding = Finding(fault, "not part of it")
    claim = finding.claim(OWNER.descriptor, WINDOW.header, PROOF, timestamp)

    assert WindowVerdict.of(SUBMISSION, PROOF, finding).is_claimed(claim)


@pytest.mark.parametrize(
    "changes",
    [
        {"stream": bytes(32)},
        {"number": 1},
        {"statement": Statement.READINGS},
        {"statement": Statement.BLOCKS},
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
def test_a_claim_with_any_other_member_does_not_state_the_verdict(changes: dict[str, Any]) -> None:
    claim = Finding(InvalidReason.NONE).claim(OWNER.descriptor, WINDOW.header, PROOF, 0)

    assert not VALID.is_claimed(replace(claim, **changes))


def test_a_claim_with_another_reason_does_not_state_the_verdict() -> None:
    claim = Finding(InvalidReason.ROOT).claim(OWNER.descriptor, WINDOW.header, INVALID.proof, 0)

    assert not INVALID.is_claimed(claim)
    assert INVALID.is_claimed(replace(claim, reason=InvalidReason.STARK))


# -- storage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", [VALID, INVALID], ids=["valid", "invalid"])
def test_a_verdict_is_recalled_after_a_restart(tmp_path: Path, verdict: WindowVerdict) -> None:
    with opened(tmp_path / "operator.db") as verdicts:
        assert recalled(verdicts, verdict) is None
        verdicts.keep(verdict)

    with opened(tmp_path / "operator.db") as verdicts:
        assert recalled(verdicts, verdict) == verdict


@pytest.mark.parametrize(
    "changes",
    [{"stream": bytes(32)}, {"number": 1}, {"header": bytes(32)}, {"proof": bytes(32)}],
    ids=lambda changes: next(iter(changes)),
)
def test_a_verdict_is_recalled_for_nothing_else(
    verdicts: VerdictStore, changes: dict[str, Any]
) -> None:
    verdicts.keep(VALID)

    assert recalled(verdicts, replace(VALID, **changes)) is None


def test_the_first_verdict_on_a_window_and_proof_is_kept(verdicts: VerdictStore) -> None:
    verdicts.keep(VALID)

    verdicts.keep(replace(VALID, finding=Finding(InvalidReason.STARK, "on second thoughts")))

    assert recalled(verdicts, VALID) == VALID
    assert verdicts.count(STREAM) == 1


def test_several_proofs_of_one_window_have_a_verdict_each(verdicts: VerdictStore) -> None:
    for verdict in (INVALID, VALID, replace(VALID, proof=b"v" * 32)):
        verdicts.keep(verdict)

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


def test_verdicts_are_counted_per_stream(verdicts: VerdictStore) -> None:
    other = replace(VALID, stream=b"o" * 32)
    for verdict in (VALID, INVALID, other):
        verdicts.keep(verdict)

    assert sorted(verdicts.streams()) == sorted([STREAM, other.stream])
    assert [verdicts.count(each) for each in (STREAM, other.stream, bytes(32))] == [2, 1, 0]


@pytest.mark.parametrize("windows", [0, 1, 2, 3, 9])
def test_only_verdicts_on_windows_in_the_log_are_deleted(
    verdicts: VerdictStore, windows: int
) -> None:
    numbered = [replace(VALID, number=number) for number in range(4)]
    other = replace(VALID, stream=b"o" * 32)
    for verdict in (*numbered, other):
        verdicts.keep(verdict)

    verdicts.forget(STREAM, windows)

    assert [each for each in numbered if recalled(verdicts, each)] == numbered[windows:]
    assert recalled(verdicts, other) == other


def test_the_verdicts_of_streams_can_be_bounded_together(verdicts: VerdictStore) -> None:
    other = replace(VALID, stream=b"o" * 32)
    for verdict in (VALID, INVALID, other):
        verdicts.keep(verdict)

    verdicts.bound([STREAM], 2)
    verdicts.bound([STREAM, other.stream], 3)
    assert verdicts.count(STREAM) == 2

    verdicts.bound([STREAM], 1)
    assert (verdicts.count(STREAM), verdicts.count(other.stream)) == (0, 1)


# -- statements ------------------------------------------------------------------------------------

READER = make_owner(make_members(), readings=free_steps(0, 10))


@pytest.mark.parametrize(
    ("data", "statement", "other"),
    [(b"7", Statement.READINGS, Statement.BLOCKS), (b"11", Statement.BLOCKS, Statement.READINGS)],
)
def test_a_verdict_keeps_what_was_verified(
    tmp_path: Path, data: bytes, statement: Statement, other: Statement
) -> None:
    window, finding = READER.window([data]), Finding(InvalidReason.NONE)
    verdict = WindowVerdict.of(READER.submission(window, b"a proof"), PROOF, finding)
    claim = finding.claim(READER.descriptor, window.header, PROOF, 0)
    with opened(tmp_path / "operator.db") as before:
        before.keep(verdict)

    with opened(tmp_path / "operator.db") as verdicts:
        kept = recalled(verdicts, verdict)

    assert kept == verdict
    assert kept is not None
    assert kept.statement is statement
    assert kept.is_claimed(claim)
    assert not kept.is_claimed(replace(claim, statement=other))
    assert not kept.is_claimed(replace(claim, statement=None))


def test_verdicts_of_the_release_before_are_about_streams_without_readings(tmp_path: Path) -> None:
    path = tmp_path / "operator.db"
    with opened(path) as verdicts:
        verdicts.keep(VALID)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("ALTER TABLE verdicts DROP COLUMN statement")
        database.execute("UPDATE schema_journal SET version_num = 'journal_0004'")

    with opened(path) as verdicts:
        assert recalled(verdicts, VALID) == VALID
