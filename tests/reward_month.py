"""The files of examples/reward-month: a committee, and the certified report of one month.

All keys come from known texts, so the files are the same every time. To write them again after a
change of a format, run in the folder of the repository:

    PYTHONPATH=core:cli:tests python tests/reward_month.py
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from committees import Members, make_members
from dragon.agreements.report import CertifiedReport, Terms
from dragon.agreements.rule_file import decode_rule
from dragon.protocol.claims.period import PeriodClaim
from dragon.protocol.committee import Target
from dragon.protocol.period import PeriodLeaf, PeriodReport, report_tree
from dragon.protocol.target_checks import HttpCheck
from dragon.protocol.trust import Trust
from dragon_cli.report.certified import Verified
from dragon_cli.report.certified_html import as_html

FOLDER: Final = Path(__file__).parents[1] / "examples" / "reward-month"
BEGIN: Final = 1_793_491_200  # 2026-11-01
END: Final = 1_796_083_200  # 2026-12-01
UNITS: Final = 1000 * 10**6
SIGNERS: Final = ("operator_1", "operator_2", "operator_3")
LEAVES: Final = (
    PeriodLeaf("operator_1", 0, 0, 180),
    PeriodLeaf("operator_2", 95, 0, 180),
    PeriodLeaf("operator_3", 0, 0, 180),
    PeriodLeaf("operator_4", 7_205, 7_200, 180),
    PeriodLeaf("relay-berlin", 600, 0, 180),
    PeriodLeaf("relay-lagos", 9_300, 7_200, 180),
    PeriodLeaf("relay-lima", 19_995, 0, 180),
    PeriodLeaf("relay-osaka", 100_005, 0, 180),
    PeriodLeaf("relay-quito", 410_000, 0, 180),
)
RELAYS: Final = [leaf.node_id for leaf in LEAVES if leaf.node_id.startswith("relay-")]


def members() -> Members:
    """The committee with its secrets: four operators watch five relays."""
    made = make_members(4, name="relays", genesis=BEGIN - 86_400)
    targets = [Target(each, f"https://{each}.example.org", HttpCheck()) for each in RELAYS]
    return replace(made, committee=replace(made.committee, targets=tuple(targets)))


def period(leaves: tuple[PeriodLeaf, ...] = LEAVES, begin: int = BEGIN) -> PeriodReport:
    root = report_tree(leaves).root()
    claim = PeriodClaim(begin, END, len(leaves), root, bytes(range(32)), 45_012)
    return PeriodReport.of(members().certify(claim, SIGNERS), leaves)


def rule_text() -> bytes:
    return (FOLDER / "rule.toml").read_bytes()


def certified(terms: Terms | None = None) -> Verified:
    return Verified.of(CertifiedReport(period(), terms), Trust.of(members().committee))


def paid() -> Verified:
    return certified(Terms(decode_rule(rule_text()), UNITS))


def files() -> Mapping[str, str]:
    """Every generated file of the folder, by name."""
    return {
        "committee.json": json.dumps(members().committee.to_json(), indent=2) + "\n",
        "november.json": json.dumps(period().to_json(), indent=2) + "\n",
        "november.html": as_html(paid()),
    }


if __name__ == "__main__":
    for name, text in files().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
