"""The operators' votes: what a certificate proves, and what aggregators state."""

from __future__ import annotations

import pytest

from dragon.protocol.refusal import RefusalReason
from dragon.protocol.streams.votes import NO_ANSWER, StatedVote, Vote, decided_votes, pending_votes


def pending(answer: str) -> Vote:
    [vote] = pending_votes(["operator_1"], [StatedVote("operator_1", answer, "why")])
    return vote


def decided(*answers: str, signers: tuple[str, ...] = ()) -> Vote:
    stated = [StatedVote("operator_1", answer, f"detail of {answer}") for answer in answers]
    [vote] = decided_votes(["operator_1"], signers, stated)
    return vote


@pytest.mark.parametrize(
    ("answer", "outcome", "reason"),
    [
        ("valid", "valid", ""),
        ("invalid: stark", "invalid", "stark"),
        *((str(reason), "refused", str(reason)) for reason in RefusalReason),
        ("timeout", "silent", "timeout"),
        ("announced", "silent", "announced"),
        (NO_ANSWER, "waiting", ""),
        ("", "silent", ""),
        ("valid ", "silent", "valid "),
    ],
)
def test_an_answer_has_an_outcome(answer: str, outcome: str, reason: str) -> None:
    found = pending(answer)

    assert (found.outcome, found.reason, found.detail) == (outcome, reason, "why")
    assert not found.is_certified


def test_an_operator_that_never_answered_was_silent() -> None:
    assert decided(NO_ANSWER).outcome == "silent"


def test_a_signature_is_certified_whatever_is_stated() -> None:
    found = decided("invalid: root", signers=("operator_1",))

    assert (found.outcome, found.reason, found.is_certified) == ("signed", "", True)


def test_of_two_statements_the_one_that_knows_more_counts() -> None:
    for answers in (("valid", "timeout"), ("timeout", "valid"), (NO_ANSWER, "busy", "valid")):
        assert decided(*answers).outcome == "valid"
    assert decided("timeout", "busy").reason == "busy"


def test_every_operator_is_listed_and_nobody_else() -> None:
    stated = [StatedVote("stranger", "valid")]

    assert [each.outcome for each in pending_votes(["operator_1"], stated)] == ["waiting"]
    assert [each.outcome for each in decided_votes(["operator_1"], ("stranger",), stated)] == [
        "unknown"
    ]
