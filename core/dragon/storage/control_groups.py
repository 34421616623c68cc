"""The Linux control groups that limit this process, such as those of a container or a service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
CGROUPS: Final = Path("/sys/fs/cgroup")


def folders(controller: str, proc: Path, cgroups: Path) -> Iterator[tuple[int, Path]]:
    """The folders of the process's own group and of each one around it.

    Args:
        controller: its name in version 1, such as `memory`.
        proc: the folder /proc.
        cgroups: where control groups are mounted.

    Returns pairs of the version, 1 or 2, and a folder, which may not exist.
    """
    for line in read(proc / "self" / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            version, root = 2, cgroups
        elif controller in controllers.split(","):
            version, root = 1, cgroups / controller
        else:
            continue
        # In a container the path may be the host's: then only the root is there, and is its own.
        own = root / path.lstrip("/")
        for folder in (own, *own.parents):
            yield version, folder
            if folder == root:
                break


def read(path: Path) -> str:
    """The text of a file; empty if it cannot be read."""
    try:
        return path.read_text("ascii")
    except (OSError, UnicodeDecodeError):
        return ""
