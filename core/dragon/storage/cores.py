"""How many processor cores this process may use: its affinity, and its container's quota."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from dragon.storage.control_groups import CGROUPS, PROC, folders, read


def available_cores(proc: Path = PROC, cgroups: Path = CGROUPS) -> int:
    """The number of whole cores, at least 1. A quota of 1.5 cores counts as 1."""
    return max(1, min([_allowed(), *_quotas(proc, cgroups)]))


def _allowed() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas(proc: Path, cgroups: Path) -> Iterator[int]:
    """The quota of each control group that has one, in whole cores."""
    for version, folder in folders("cpu", proc, cgroups):
        if version == 2:
            quota, _, period = read(folder / "cpu.max").strip().partition(" ")
        else:
            quota = read(folder / "cpu.cfs_quota_us").strip()
            period = read(folder / "cpu.cfs_period_us").strip()
        # "max" or -1 stand for no quota.
        if quota.isdecimal() and period.isdecimal() and int(period):
            yield int(quota) // int(period)
