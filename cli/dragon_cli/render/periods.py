"""What a period report and one leaf of it prove, in words and as a table."""

from __future__ import annotations

from typing import Final

from rich.table import Table

from dragon.encoding import Json
from dragon.protocol.claims.base import kind_of
from dragon.protocol.claims.period import PeriodClaim
from dragon.protocol.committee import Committee
from dragon.protocol.period import PeriodLeaf, PeriodReport, ProvenLeaf
from dragon_cli.render import certificates
from dragon_cli.render.output import plain
from dragon_cli.render.text import duration

ALTERED_HINT: Final = "The file was altered, or made from two: get it again from its author."


def leaf_statement(proven: ProvenLeaf, committee: Committee) -> str:
    """Return what the proof of one leaf says about its node, and the signers."""
    downtime = proven.leaf.downtime(proven.claim)
    sentence = kind_of(downtime).sentence(downtime)
    return f"{sentence}, {certificates.signed_by(proven.certificate.signers, committee)}"


def leaf_facts(leaf: PeriodLeaf, claim: PeriodClaim) -> dict[str, Json]:
    """Return the seconds of one node for programs."""
    return {**leaf.members(), "seconds_up": leaf.seconds_up(claim)}


def leaves_facts(report: PeriodReport) -> list[Json]:
    """Return the seconds of all nodes for programs."""
    return [leaf_facts(leaf, report.claim) for leaf in report.leaves]


def table(report: PeriodReport) -> Table:
    """Return one row for each node."""
    shown = Table(box=None, pad_edge=False)
    shown.add_column("node", overflow="fold")
    for column in ("up %", "down %", "unknown %", "down", "in maintenance", "unknown"):
        shown.add_column(column, justify="right")
    whole = report.claim.seconds
    for leaf in report.leaves:
        parts = leaf.seconds_up(report.claim), leaf.seconds_down, leaf.seconds_unknown
        shown.add_row(
            plain(leaf.node_id),
            *(f"{100 * seconds / whole:.3f}" for seconds in parts),
            duration(leaf.seconds_down),
            duration(leaf.seconds_maintenance),
            duration(leaf.seconds_unknown),
        )
    return shown
