"""How much memory this process may still take, from the host and from its container's limit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dragon.storage.control_groups import CGROUPS, PROC, folders, read


@dataclass(frozen=True, slots=True)
class _Names:
    """The files in which one version of Linux control groups keeps its figures."""

    limit: str
    usage: str
    cached: tuple[str, ...]  # members of memory.stat: file pages, which the kernel can drop


_V1: Final = _Names(
    "memory.limit_in_bytes", "memory.usage_in_bytes", ("total_active_file", "total_inactive_file")
)
_V2: Final = _Names("memory.max", "memory.current", ("active_file", "inactive_file"))


def available_bytes(proc: Path = PROC, cgroups: Path = CGROUPS) -> int | None:
    """Bytes that can still be allocated; None where the system does not say. Swap is not counted.

    A process in a control group with a limit is killed when it exceeds it: allocating does not
    fail, so code that needs much memory at once checks here first.
    """
    found = list(_groups(proc, cgroups))
    if (host := _member(proc / "meminfo", "MemAvailable:")) is not None:
        found.append(1024 * host)
    return min(found, default=None)


def _groups(proc: Path, cgroups: Path) -> Iterator[int]:
    """What is free in the process's own control group and in each one around it."""
    for version, folder in folders("memory", proc, cgroups):
        if (free := _free(folder, _V2 if version == 2 else _V1)) is not None:
            yield free


def _free(folder: Path, names: _Names) -> int | None:
    limit, usage = read(folder / names.limit).strip(), read(folder / names.usage).strip()
    if not limit.isdecimal() or not usage.isdecimal():  # "max", or no such group
        return None
    cached = sum(_member(folder / "memory.stat", name) or 0 for name in names.cached)
    return max(0, int(limit) - int(usage) + cached)


def _member(path: Path, name: str) -> int | None:
    """A number in a file of lines `name number`."""
    for line in read(path).splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == name and words[1].isdecimal():
            return int(words[1])
    return None
