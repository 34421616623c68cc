"""The next committees that operators say their owners have approved. Uncertified.

An operator speaks for its own owner only, and it counts under the rule of aggregators: its log must
have the committee that holds here. A false statement changes nothing: a handover needs signatures.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from dragon.encoding import from_hex, to_hex
from dragon.errors import InvalidCommittee
from dragon.protocol.committee import Committee, Operator, byzantine_faults, short_id
from dragon.protocol.differences import allows_private, differences
from dragon.protocol.handover import newcomers
from dragon.protocol.succession import check_successor
from dragon_explorer.sources import Sources
from dragon_explorer.views.health import OperatorState, is_fresh, operator_state

MAX_PROPOSALS: Final = 4  # those that most operators name; an operator may invent others
MAX_DIFFERENCES: Final = 200
Says = Literal["approved", "another", "nothing", "elsewhere", "silent"]


@dataclass(frozen=True, slots=True)
class DifferenceRow:
    """One difference between two committees. What is absent is an empty text."""

    what: str
    before: str
    after: str
    sentence: str
    opens_private: bool  # whether it allows private addresses for a target


@dataclass(frozen=True, slots=True)
class ApprovalRow:
    """What one operator says that its owner has approved."""

    operator: str
    # another: another committee; elsewhere: its log has another committee than this explorer
    says: Says
    other: str  # short id of that other committee; empty if there is none


@dataclass(frozen=True, slots=True)
class NewcomerRow:
    """An operator of the next committee whose key is new. It must accept the handover."""

    operator: str
    url: str
    says: Says
    is_asked: bool  # whether this explorer asks it
    is_in_step: bool  # whether it has the same log, and is ready to be seated
    state: OperatorState


@dataclass(frozen=True, slots=True)
class Proposal:
    """A next committee that at least one operator says is approved."""

    id: str
    short_id: str  # to compare by voice
    sentence: str
    approved: int  # operators of the committee that holds which say that it is approved
    needed: int  # operators of the committee that holds that must sign
    fault: str  # why it cannot follow the committee that holds, if its file is known
    is_known: bool  # whether an operator has handed out the file
    may_be_faulty: int  # operators of the committee that holds that may lie
    is_believable: bool  # whether more operators name it than may be faulty
    operators: tuple[ApprovalRow, ...]  # of the committee that holds
    newcomers: tuple[NewcomerRow, ...]
    members: int | None  # operators of the next committee
    acceptances_needed: int | None  # operators of the next committee that must sign
    differences: tuple[DifferenceRow, ...]  # to the committee that holds
    differences_omitted: int


def proposals(sources: Sources, now: float) -> tuple[Proposal, ...]:
    """Return the next committees that operators name, those named most often first."""
    committee = sources.committee
    named: dict[str, int] = defaultdict(int)
    for operator in committee.keys:
        if said := _stated(sources, committee, operator, now)[1]:
            named[said] += 1
    ranked = sorted(named, key=lambda each: (-named[each], each))[:MAX_PROPOSALS]
    return tuple(_proposal(sources, committee, each, now) for each in ranked)


def sentence(approved: int, needed: int, short: str) -> str:
    """Return how many operators have approved a committee, in words."""
    verb = "says that it has" if approved == 1 else "say that they have"
    return f"{approved} of {needed} needed {verb} approved {short}"


def difference_rows(before: Committee, after: Committee) -> tuple[DifferenceRow, ...]:
    """Return all differences between two committees."""
    return tuple(
        DifferenceRow(
            each.what,
            each.before,
            each.after,
            each.sentence,
            allows_private(each),
        )
        for each in differences(before, after)
    )


def next_operators(sources: Sources, now: float) -> Iterator[Operator]:
    """Yield the operators that a next committee brings, and that may be asked how they are.

    Their addresses come from operators. They are asked only if more operators name the file than
    may be faulty: otherwise a single one could make this explorer send requests anywhere.
    """
    committee = sources.committee
    for each in proposals(sources, now):
        file = sources.approved_files.file(each.id)
        if file is not None and each.is_believable and not each.fault:
            new = newcomers(committee, file) - committee.keys.keys()
            yield from (operator for operator in file.operators if operator.id in new)


def _proposal(sources: Sources, committee: Committee, named: str, now: float) -> Proposal:
    file = sources.approved_files.file(named)
    rows = tuple(_approval(sources, committee, operator, named, now) for operator in committee.keys)
    approved = sum(each.says == "approved" for each in rows)
    needed = committee.quorum("handover")
    may_be_faulty = byzantine_faults(len(committee.operators))
    is_believable = approved > may_be_faulty
    fault = _fault(sources, file)
    short = short_id(from_hex(named, member="approved", size=32))
    found = difference_rows(committee, file) if file else ()
    return Proposal(
        id=named,
        short_id=short,
        sentence=sentence(approved, needed, short),
        approved=approved,
        needed=needed,
        fault=fault,
        is_known=file is not None,
        may_be_faulty=may_be_faulty,
        is_believable=is_believable,
        operators=rows,
        newcomers=tuple(
            _newcomer(
                sources,
                each,
                _approval(sources, committee, each.id, named, now),
                now,
                is_asked=each.id in committee.keys or (is_believable and not fault),
            )
            for each in (file.operators if file else ())
            if file and each.id in newcomers(committee, file)
        ),
        members=len(file.operators) if file else None,
        acceptances_needed=file.quorum("handover") if file else None,
        differences=found[:MAX_DIFFERENCES],
        differences_omitted=len(found[MAX_DIFFERENCES:]),
    )


def _fault(sources: Sources, file: Committee | None) -> str:
    if file is None:
        return ""
    state = sources.log.state
    try:
        check_successor(state.known, state.sealed, file)
    except InvalidCommittee as error:
        return str(error)
    return ""


def _stated(sources: Sources, committee: Committee, operator: str, now: float) -> tuple[Says, str]:
    """Return what an operator says, and the committee that it names, in hexadecimal."""
    report = sources.board.operator(operator)
    said = report.committee.value if report and is_fresh(report.committee, now) else None
    if said is None:
        return "silent", ""
    if said.committee != to_hex(committee.id):
        return "elsewhere", ""
    named = said.approved.get(operator) or ""
    if named == said.committee:  # that committee has its seat
        named = ""
    return ("approved", named) if named else ("nothing", "")


def _approval(
    sources: Sources, committee: Committee, operator: str, named: str, now: float
) -> ApprovalRow:
    says, other = _stated(sources, committee, operator, now)
    if not other or other == named:
        return ApprovalRow(operator, says, "")
    return ApprovalRow(operator, "another", short_id(from_hex(other, member="id", size=32)))


def _newcomer(
    sources: Sources, operator: Operator, row: ApprovalRow, now: float, *, is_asked: bool
) -> NewcomerRow:
    state = operator_state(sources, operator.id, operator.url, now)
    return NewcomerRow(
        operator.id,
        operator.url,
        row.says,
        is_asked=is_asked,
        is_in_step=state.agreement in {"equal", "ahead"},
        state=state,
    )
