"""The operators' votes on a window, in one form for pages and the command line.

An aggregator states the last answer of each operator, in words and unsigned. The certificate of the
window names those that signed; whoever verified it knows their votes for certain.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from dragon.protocol.claims.window import Verdict
from dragon.protocol.refusal import RefusalReason

Outcome = Literal["signed", "valid", "invalid", "refused", "silent", "waiting", "unknown"]
NO_ANSWER: Final = "no answer yet"  # what an aggregator states until an operator answers
_REFUSALS: Final = frozenset(str(reason) for reason in RefusalReason)
# Of two statements about one operator, that of the aggregator which knows more.
_ORDER: Final[Sequence[Outcome]] = ("valid", "invalid", "refused", "silent", "unknown")


@dataclass(frozen=True, slots=True)
class StatedVote:
    """What an aggregator states: a verdict, a refusal, or why there is no usable answer."""

    operator: str
    answer: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Vote:
    """The vote of one operator."""

    operator: str
    outcome: Outcome  # waiting: may still vote; unknown: no service states the vote
    reason: str  # why it is invalid, was refused, or did not come
    detail: str  # for people. Never certified
    is_certified: bool  # whether a certificate has this operator's signature


def pending_votes(operators: Iterable[str], stated: Iterable[StatedVote]) -> tuple[Vote, ...]:
    """Return the vote of every operator on a window that is not decided yet."""
    known = {each.operator: _vote(each, "waiting") for each in stated}
    return tuple(known.get(name, _nothing(name, "waiting")) for name in operators)


def decided_votes(
    operators: Iterable[str], signers: Collection[str], stated: Iterable[StatedVote]
) -> tuple[Vote, ...]:
    """Return the vote of every operator on a decided window.

    Args:
        signers: operators that signed the verified certificate.
        stated: what aggregators state of all operators; several statements about one may differ.
    """
    known: dict[str, Vote] = {}
    for each in stated:
        vote, before = _vote(each, "silent"), known.get(each.operator)
        if before is None or _ORDER.index(vote.outcome) < _ORDER.index(before.outcome):
            known[each.operator] = vote
    votes = (known.get(name, _nothing(name, "unknown")) for name in operators)
    return tuple(
        Vote(vote.operator, "signed", "", vote.detail, is_certified=True)
        if vote.operator in signers
        else vote
        for vote in votes
    )


def _vote(stated: StatedVote, without_answer: Outcome) -> Vote:
    """Args: `without_answer`, the outcome for an operator that has not answered."""
    answer, _, reason = stated.answer.partition(": ")
    outcome: Outcome = "silent"
    if answer == Verdict.VALID:
        outcome = "valid"
    elif answer == Verdict.INVALID:
        outcome = "invalid"
    elif stated.answer in _REFUSALS:
        outcome, reason = "refused", stated.answer
    elif stated.answer == NO_ANSWER:
        outcome, reason = without_answer, ""
    else:
        reason = stated.answer
    return Vote(stated.operator, outcome, reason, stated.detail, is_certified=False)


def _nothing(operator: str, outcome: Outcome) -> Vote:
    """The vote of an operator of which no service states anything."""
    return Vote(operator, outcome, "", "", is_certified=False)
