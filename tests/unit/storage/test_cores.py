"""The cores that a process may use are bounded by its affinity and by every quota around it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dragon.storage.control_groups import folders
from dragon.storage.cores import available_cores


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def available(root: Path) -> int:
    return available_cores(root / "proc", root / "cgroup")


def test_without_control_groups_the_affinity_counts(tmp_path: Path) -> None:
    assert available(tmp_path) == 8


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        ("max 100000", 8),
        ("100000 100000", 1),
        ("250000 100000", 2),
        ("50000 100000", 1),  # half a core: there is always one
        ("9900000 100000", 8),
        ("", 8),
        ("100000", 8),
        ("100000 0", 8),
    ],
)
def test_the_quota_of_a_container_counts(quota: str, cores: int, tmp_path: Path) -> None:
    write(tmp_path, {"proc/self/cgroup": "0::/\n", "cgroup/cpu.max": f"{quota}\n"})

    assert available(tmp_path) == cores


def test_the_smallest_quota_around_the_process_counts(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/system.slice/dragon.service\n",
            "cgroup/system.slice/dragon.service/cpu.max": "400000 100000\n",
            "cgroup/system.slice/cpu.max": "300000 100000\n",
        },
    )

    assert available(tmp_path) == 3


@pytest.mark.parametrize(("quota", "cores"), [("-1", 8), ("200000", 2)])
def test_the_quota_of_version_1_counts(quota: str, cores: int, tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "proc/self/cgroup": "4:cpu,cpuacct:/docker/0123\n3:memory:/docker/0123\n",
            "cgroup/cpu/cpu.cfs_quota_us": f"{quota}\n",
            "cgroup/cpu/cpu.cfs_period_us": "100000\n",
            "cgroup/memory/cpu.cfs_quota_us": "100000\n",
        },
    )

    assert available(tmp_path) == cores


def test_the_groups_around_a_process_end_at_the_root(tmp_path: Path) -> None:
    write(tmp_path, {"proc/self/cgroup": "0::/a/b\n"})
    root = tmp_path / "cgroup"

    assert list(folders("cpu", tmp_path / "proc", root)) == [
        (2, root / "a/b"),
        (2, root / "a"),
        (2, root),
    ]


def test_without_an_affinity_all_cores_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)

    assert available(tmp_path) == 1
