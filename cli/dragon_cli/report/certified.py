"""A certified report as a table for the terminal, as CSV and as a document for programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self

from rich.console import Group
from rich.table import Table

from dragon.agreements.amounts import format_amount, format_percent
from dragon.agreements.payout import Earning, Payout
from dragon.agreements.report import CertifiedReport
from dragon.encoding import Json, to_hex
from dragon.protocol.claims.period import PeriodClaim
from dragon.protocol.committee import Committee
from dragon.protocol.period import PeriodLeaf
from dragon.protocol.trust import Trust
from dragon_cli.render.output import plain
from dragon_cli.render.text import duration, moment
from dragon_cli.report.percentages import percent_of
from dragon_cli.report.spreadsheets import plain_cell

CSV_COLUMNS: Final = (
    "node_id", "from", "to", "seconds_up", "seconds_down", "seconds_maintenance",
    "seconds_unknown", "log_size", "log_root", "report_root",
)  # fmt: skip
PAYOUT_COLUMNS: Final = (
    "counted_up_seconds", "counted_seconds", "tier", "payout", "payout_units", "currency",
    "total_units", "undistributed_units", "rule_sha256",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Verified:
    """A report that was verified, and the payout that was computed from it."""

    report: CertifiedReport
    committee: Committee  # that signed
    payout: Payout | None

    @classmethod
    def of(cls, report: CertifiedReport, trust: Trust) -> Self:
        """Verify a report. Raises as `CertifiedReport.verify` and `CertifiedReport.payout`."""
        return cls(report, report.verify(trust), report.payout())

    @property
    def claim(self) -> PeriodClaim:
        return self.report.period.claim

    def rows(self) -> Iterator[tuple[PeriodLeaf, Earning | None]]:
        """Yield each leaf with what its node earns; None: the rule does not name the node."""
        paid = {} if self.payout is None else {each.node_id: each for each in self.payout.earnings}
        for leaf in self.report.period.leaves:
            yield leaf, paid.get(leaf.node_id)


def percent(part: int, whole: int) -> str:
    """Return a part in percent, rounded as in every report."""
    return f"{percent_of(part, whole):.3f}"


def share(earning: Earning) -> str:
    """Return a share of up time in percent, rounded down: it is compared with a tier's bound."""
    if not earning.counted:
        return "–"
    return format_amount(100_000 * earning.counted_up // earning.counted, 3)


def pays(earning: Earning) -> str:
    """Return what the tier of a node pays, in words."""
    if earning.tier is None:
        return "nothing"
    return "its share" if earning.tier.pays is None else f"{format_percent(earning.tier.pays)} %"


def table(verified: Verified) -> Group:
    """Return one row for each node, the payout, and what the figures rest on."""
    claim = verified.claim
    title = f"{plain(verified.committee.name)}: {moment(claim.begin)} to {moment(claim.end)}"
    shown = Table(title=title, title_justify="left", box=None, pad_edge=False)
    shown.add_column("node", overflow="fold")
    paid = () if verified.payout is None else ("payout",)
    for column in ("up %", "down", "in maintenance", "unknown", *paid):
        shown.add_column(column, justify="right")
    for leaf, earning in verified.rows():
        shown.add_row(
            leaf.node_id,
            percent(leaf.seconds_up(claim), claim.seconds),
            duration(leaf.seconds_down),
            duration(leaf.seconds_maintenance),
            duration(leaf.seconds_unknown),
            *(_amount(earning, verified.payout) if verified.payout else ()),
        )
    return Group(shown, *sums(verified), *_basis(verified))


def _amount(earning: Earning | None, payout: Payout) -> tuple[str]:
    return ("–" if earning is None else format_amount(earning.units, payout.rule.decimals),)


def sums(verified: Verified) -> Iterator[str]:
    """Yield what was paid, and by which rule."""
    if (payout := verified.payout) is None:
        return
    rule = payout.rule

    def money(units: int) -> str:
        return f"{format_amount(units, rule.decimals)} {rule.unit}".rstrip()

    yield (
        f"Payout {money(payout.units)}: {money(payout.distributed)} to "
        f"{len(payout.earnings)} nodes, {money(payout.undistributed)} undistributed."
    )
    yield f"Rule: SHA-256 {to_hex(rule.sha256)}."


def _basis(verified: Verified) -> Iterator[str]:
    claim = verified.claim
    signed = f"{len(verified.report.period.certificate.signers)} of "
    signed += f"{len(verified.committee.operators)} operators"
    yield f"Certified by {signed}, from the first {claim.size} log entries."


def as_csv(verified: Verified) -> str:
    """Return one line for each node, after a line with the names of the columns."""
    text, claim, payout = io.StringIO(), verified.claim, verified.payout
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow((*CSV_COLUMNS, *(PAYOUT_COLUMNS if payout else ())))
    for leaf, earning in verified.rows():
        seconds = (leaf.seconds_down, leaf.seconds_maintenance, leaf.seconds_unknown)
        row = (plain_cell(leaf.node_id), claim.begin, claim.end, leaf.seconds_up(claim), *seconds)
        basis = (claim.size, to_hex(claim.log_root), to_hex(claim.report))
        lines.writerow((*row, *basis, *(_paid_cells(earning, payout) if payout else ())))
    return text.getvalue()


def _paid_cells(earning: Earning | None, payout: Payout) -> tuple[object, ...]:
    rule = payout.rule
    own: tuple[object, ...] = ("",) * 5
    if earning is not None:
        amount = format_amount(earning.units, rule.decimals)
        times = (earning.counted_up, earning.counted)
        own = (*times, _tier_number(earning, payout), amount, earning.units)
    return (*own, rule.unit, payout.units, payout.undistributed, to_hex(rule.sha256))


def _tier_number(earning: Earning, payout: Payout) -> int:
    """Return which tier of the rule a node reaches, from 1; 0: none."""
    return 0 if earning.tier is None else payout.rule.tiers.index(earning.tier) + 1


def document(verified: Verified) -> dict[str, Json]:
    """Return the report for programs: figures, certificate and leaves."""
    claim, committee = verified.claim, verified.committee
    period = verified.report.period
    nodes: list[Json] = [
        {**leaf.members(), "seconds_up": leaf.seconds_up(claim)} for leaf in period.leaves
    ]
    told: dict[str, Json] = {
        "committee": to_hex(committee.id),
        "epoch": committee.epoch,
        "name": committee.name,
        "from": claim.begin,
        "to": claim.end,
        "nodes": nodes,
        "log": {"size": claim.size, "root": to_hex(claim.log_root)},
        **period.to_json(),
    }
    if verified.payout:
        told["payout"] = payout_document(verified.payout)
    return told


def payout_document(payout: Payout) -> dict[str, Json]:
    """Return a payout for programs. Units are texts: they may exceed 2^53."""
    rule = payout.rule
    earnings: list[Json] = [
        {
            "node_id": each.node_id,
            "counted_up_seconds": each.counted_up,
            "counted_seconds": each.counted,
            "tier": _tier_number(each, payout),
            "units": str(each.units),
            "amount": format_amount(each.units, rule.decimals),
        }
        for each in payout.earnings
    ]
    return {
        "rule_sha256": to_hex(rule.sha256),
        "currency": rule.unit,
        "decimals": rule.decimals,
        "units": str(payout.units),
        "distributed_units": str(payout.distributed),
        "undistributed_units": str(payout.undistributed),
        "nodes": earnings,
    }
