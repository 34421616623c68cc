"""The votes of the operators on a window: those that the log certifies, and the others."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from dragon.protocol.refusal import RefusalReason
from dragon_explorer.live import answers

Outcome = Literal["signed", "valid", "invalid", "refused", "silent", "waiting", "unknown"]
REFUSALS: Final = frozenset(str(reason) for reason in RefusalReason)
NO_ANSWER: Final = "no answer yet"  # what an aggregator states until an operator answers
# Of two statements about one vote, that of an aggregator which knows more.
_ORDER: Final[Sequence[Outcome]] = ("valid", "invalid", "refused", "silent", "unknown")


@dataclass(frozen=True, slots=True)
class VoteRow:
    """The vote of one operator."""

    operator: str
    outcome: Outcome  # waiting: not asked, or not answered yet; unknown: no service states the vote
    reason: str  # why it is invalid, was refused, or did not come
    detail: str  # for people. Never certified
    is_certified: bool  # whether the log contains this operator's signature


def pending_votes(operators: Iterable[str], votes: Iterable[answers.Vote]) -> tuple[VoteRow, ...]:
    """Return the votes on a window that is not decided yet, of every operator."""
    stated = {each.operator: each for each in votes}
    return tuple(
        _row(stated[name], is_over=False)
        if name in stated
        else VoteRow(name, "waiting", "", "", False)
        for name in operators
    )


def decided_votes(
    operators: Iterable[str], signers: Collection[str], stated: Iterable[answers.Vote]
) -> tuple[VoteRow, ...]:
    """Return the votes on a decided window, of every operator.

    Args:
        signers: operators that signed the certificate in the log.
        stated: what aggregators said of the others. Uncertified.
    """
    known: dict[str, VoteRow] = {}
    for each in stated:
        row = _row(each, is_over=True)
        before = known.get(row.operator)
        if before is None or _ORDER.index(row.outcome) < _ORDER.index(before.outcome):
            known[row.operator] = row
    rows = (known.get(name, VoteRow(name, "unknown", "", "", False)) for name in operators)
    return tuple(
        VoteRow(each.operator, "signed", "", each.detail, True)
        if each.operator in signers
        else each
        for each in rows
    )


def _row(vote: answers.Vote, *, is_over: bool) -> VoteRow:
    answer, _, reason = vote.answer.partition(": ")
    outcome: Outcome = "silent"
    if answer == "valid":
        outcome = "valid"
    elif answer == "invalid":
        outcome = "invalid"
    elif vote.answer in REFUSALS:
        outcome, reason = "refused", vote.answer
    elif vote.answer == NO_ANSWER:
        outcome, reason = ("silent" if is_over else "waiting"), ""
    else:
        reason = vote.answer
    return VoteRow(vote.operator, outcome, reason, vote.detail, is_certified=False)
