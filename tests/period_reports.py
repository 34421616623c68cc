"""Period reports with known keys, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from committees import Members, make_members
from dragon.protocol.claims.period import PeriodClaim
from dragon.protocol.period import PeriodLeaf, PeriodReport, report_tree

BEGIN: Final = 1_732_522_000
END: Final = 1_732_525_600
LOG_ROOT: Final = bytes(range(32))
SIGNERS: Final = ("operator_1", "operator_2", "operator_3")
MEMBERS: Final = make_members(4)
LEAVES: Final = tuple(PeriodLeaf(f"node_{at}", 100 + at, 20, 3) for at in range(5))


def make_report(
    leaves: Sequence[PeriodLeaf] = LEAVES,
    members: Members = MEMBERS,
    signers: Sequence[str] = SIGNERS,
    **changes: Any,
) -> PeriodReport:
    """Return a certified report on an hour, by default on five nodes. `changes`: of the claim."""
    root = report_tree(leaves).root()
    claim = PeriodClaim(BEGIN, END, len(leaves), root, LOG_ROOT, 1234)
    return PeriodReport.of(members.certify(replace(claim, **changes), signers), leaves)
