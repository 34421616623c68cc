"""Stand-in for the leaf of a period certificate."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Leaf:
    """One node's seconds of a period."""

    node_id: str
    seconds_down: int
    seconds_maintenance: int
    seconds_unknown: int
