"""Reward rules: what a node earns for its share of up time.

All shares are exact fractions and all amounts integers of the smallest unit.
`dragon.agreements.rule_file` reads a rule from a file; docs/agreements.md describes it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction


class Counts(StrEnum):
    """How seconds of one sort count."""

    UP = "up"
    DOWN = "down"
    EXCLUDED = "excluded"  # as if they did not belong to the period


class Unearned(StrEnum):
    """What happens to the part of a payout that nodes did not earn."""

    KEPT = "kept"  # it stays with the payer
    SHARED = "shared"  # the nodes get it, in the proportion of what they earned


@dataclass(frozen=True, slots=True)
class Tier:
    """What a node earns whose share of up time is at least `up`."""

    up: Fraction  # 0 to 1
    pays: Fraction | None  # part of the full amount, 0 to 1; None: the node's own share of up time

    def paid(self, share: Fraction) -> Fraction:
        """Return the part of the full amount that a node with this share of up time earns."""
        return share if self.pays is None else self.pays


@dataclass(frozen=True, slots=True)
class Entry:
    """Nodes that the rule pays: one id, or all ids of a pattern in which `*` is any text."""

    pattern: str
    weight: int | None  # its part of the payout is weight / sum of the weights of all nodes
    amount: int | None  # in smallest units; instead of a weight


@dataclass(frozen=True, slots=True)
class Rule:
    """A reward rule. Equal texts are equal rules, so the SHA-256 of the text names the rule."""

    text: str
    decimals: int  # of the currency, 0 to 18
    unit: str  # name of the currency for people; "" if the file states none
    maintenance: Counts
    maintenance_seconds: int  # that count so; further ones count as down
    unknown: Counts
    known: Fraction  # part of the period, 0 to 1, that must be known for a node to earn anything
    unearned: Unearned
    nodes: tuple[Entry, ...]
    tiers: tuple[Tier, ...]  # from the highest share of up time to the lowest

    @property
    def sha256(self) -> bytes:
        """The SHA-256 of the file, 32 bytes. Two parties compare it."""
        return hashlib.sha256(self.text.encode()).digest()

    def tier(self, share: Fraction) -> Tier | None:
        """Return the tier that a share of up time reaches, or None."""
        return next((tier for tier in self.tiers if share >= tier.up), None)
