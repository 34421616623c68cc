"""Payouts: what nodes earn in a period, computed from certified leaves and a reward rule alone.

Everything is exact. Each amount is rounded down to the smallest unit; what remains of the payout
is shown as undistributed. So the amounts never add up to more than the payout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from fractions import Fraction
from math import floor

from dragon.agreements.rule import Counts, Entry, Rule, Tier, Unearned
from dragon.errors import PayoutTooSmall, UnknownNode
from dragon.protocol.period import PeriodLeaf


@dataclass(frozen=True, slots=True)
class Earning:
    """What one node earns."""

    node_id: str
    entry: Entry  # of the rule
    counted_up: int  # seconds that count as up
    counted: int  # seconds that count
    tier: Tier | None  # that the share reaches; None, too, if too little of the period is known
    units: int  # of the smallest unit

    @property
    def share(self) -> Fraction:
        """The share of up time; 0 if no second counts."""
        return share(self.counted_up, self.counted)


@dataclass(frozen=True, slots=True)
class Payout:
    """What all nodes of a rule earn in a period."""

    rule: Rule
    units: int  # to distribute, of the smallest unit
    earnings: tuple[Earning, ...]  # of the nodes that the rule names, in the order of the leaves

    @property
    def distributed(self) -> int:
        """What the nodes get together."""
        return sum(each.units for each in self.earnings)

    @property
    def undistributed(self) -> int:
        """What remains of the payout: what was not earned, and what rounding down leaves."""
        return self.units - self.distributed


def compute_payout(rule: Rule, leaves: Sequence[PeriodLeaf], seconds: int, units: int) -> Payout:
    """Compute what each node earns.

    Args:
        leaves: of a certified period. The function does not verify them.
        seconds: the length of the period.
        units: the payout, in smallest units of the rule's currency.

    Raises:
        UnknownNode: an entry of the rule fits none of the leaves.
        PayoutTooSmall: the amounts of the rule add up to more than the payout.
    """
    chosen = _chosen(rule, leaves)
    amounts = _full_amounts([entry for _, entry in chosen], units)
    earnings = [
        _earning(leaf, entry, amount, seconds, rule)
        for (leaf, entry), amount in zip(chosen, amounts, strict=True)
    ]
    if rule.unearned is Unearned.SHARED:
        earnings = _shared(earnings, units)
    return Payout(rule, units, tuple(earnings))


def counted_seconds(leaf: PeriodLeaf, seconds: int, rule: Rule) -> tuple[int, int]:
    """Return the seconds that count as up by the rule, and all seconds that count."""
    maintenance = min(leaf.seconds_maintenance, rule.maintenance_seconds)
    parts: Mapping[Counts, list[int]] = {each: [] for each in Counts}
    parts[Counts.UP].append(seconds - leaf.seconds_down - leaf.seconds_unknown)
    parts[Counts.DOWN].append(leaf.seconds_down - maintenance)
    parts[rule.maintenance].append(maintenance)
    parts[rule.unknown].append(leaf.seconds_unknown)
    up = sum(parts[Counts.UP])
    return up, up + sum(parts[Counts.DOWN])


def share(counted_up: int, counted: int) -> Fraction:
    """Return the share of up time, 0 to 1; 0 if no second counts."""
    return Fraction(counted_up, counted) if counted else Fraction(0)


def _chosen(rule: Rule, leaves: Sequence[PeriodLeaf]) -> list[tuple[PeriodLeaf, Entry]]:
    """Return the leaves that the rule names, each with its entry.

    An entry without `*` comes before one with it; among patterns the first of the file decides.

    Raises UnknownNode: an entry fits none of the leaves.
    """
    exact = {entry.pattern: entry for entry in rule.nodes if "*" not in entry.pattern}
    patterns = [entry for entry in rule.nodes if "*" in entry.pattern]
    chosen = []
    for leaf in leaves:
        fitting = (each for each in patterns if fnmatchcase(leaf.node_id, each.pattern))
        if entry := exact.get(leaf.node_id) or next(fitting, None):
            chosen.append((leaf, entry))
    used = {entry.pattern for _, entry in chosen}
    if idle := next((each.pattern for each in rule.nodes if each.pattern not in used), None):
        message = f"the entry {idle} of the rule fits no node of the period"
        raise UnknownNode(message, id=idle)
    return chosen


def _full_amounts(entries: Sequence[Entry], units: int) -> list[Fraction]:
    """Return what each node earns at most, exactly. Raises PayoutTooSmall."""
    if weights := sum(entry.weight or 0 for entry in entries):
        return [Fraction(units * (entry.weight or 0), weights) for entry in entries]
    amounts = [entry.amount or 0 for entry in entries]
    if (total := sum(amounts)) > units:
        message = "the amounts of the rule's nodes add up to more than the payout"
        raise PayoutTooSmall(message, amounts=str(total), payout=str(units))
    return [Fraction(amount) for amount in amounts]


def _earning(leaf: PeriodLeaf, entry: Entry, amount: Fraction, seconds: int, rule: Rule) -> Earning:
    up, counted = counted_seconds(leaf, seconds, rule)
    reached = share(up, counted)
    is_known = seconds - leaf.seconds_unknown >= rule.known * seconds
    tier = rule.tier(reached) if is_known else None
    units = floor(amount * tier.paid(reached)) if tier else 0
    return Earning(leaf.node_id, entry, up, counted, tier, units)


def _shared(earnings: Sequence[Earning], units: int) -> list[Earning]:
    """Split the whole payout in the proportion of what the nodes earned."""
    total = sum(each.units for each in earnings)
    if not total:
        return list(earnings)
    return [replace(each, units=units * each.units // total) for each in earnings]
