"""What a container's limit leaves is found under both versions of Linux control groups."""

from __future__ import annotations

from pathlib import Path

import pytest

from dragon.storage.memory import available_bytes

MIB = 1 << 20


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def available(root: Path) -> int | None:
    return available_bytes(root / "proc", root / "cgroup")


def host(mib: int) -> dict[str, str]:
    return {"proc/meminfo": f"MemTotal: 99999999 kB\nMemAvailable:   {mib * 1024} kB\n"}


def second(folder: str, limit: str, usage: int, cached: int = 0) -> dict[str, str]:
    """A group of version 2; what is cached is half active and half not."""
    stat = f"anon {usage - cached}\ninactive_file {cached // 2}\nactive_file {cached // 2}\n"
    return {
        f"cgroup/{folder}memory.max": f"{limit}\n",
        f"cgroup/{folder}memory.current": f"{usage}\n",
        f"cgroup/{folder}memory.stat": stat,
    }


def first(folder: str, limit: int, usage: int, cached: int = 0) -> dict[str, str]:
    """A group of version 1."""
    stat = f"cache {cached}\ntotal_inactive_file {cached}\ntotal_active_file 0\n"
    return {
        f"cgroup/memory/{folder}memory.limit_in_bytes": f"{limit}\n",
        f"cgroup/memory/{folder}memory.usage_in_bytes": f"{usage}\n",
        f"cgroup/memory/{folder}memory.stat": stat,
    }


def test_without_a_limit_the_hosts_memory_counts(tmp_path: Path) -> None:
    write(tmp_path, host(1000) | second("", "max", 7 * MIB) | {"proc/self/cgroup": "0::/\n"})

    assert available(tmp_path) == 1000 * MIB


def test_a_containers_limit_less_what_is_used_counts(tmp_path: Path) -> None:
    group = second("", str(256 * MIB), 100 * MIB, cached=40 * MIB)
    write(tmp_path, host(1000) | group | {"proc/self/cgroup": "0::/\n"})

    assert available(tmp_path) == 196 * MIB


def test_the_host_may_have_less_than_the_container_is_allowed(tmp_path: Path) -> None:
    group = second("", str(256 * MIB), 0)
    write(tmp_path, host(50) | group | {"proc/self/cgroup": "0::/\n"})

    assert available(tmp_path) == 50 * MIB


def test_every_group_around_the_own_one_counts(tmp_path: Path) -> None:
    own = {"proc/self/cgroup": "0::/system.slice/dragon.service\n"}
    inner = second("system.slice/dragon.service/", "max", 10 * MIB)
    outer = second("system.slice/", str(300 * MIB), 100 * MIB)
    write(tmp_path, host(1000) | own | inner | outer)

    assert available(tmp_path) == 200 * MIB


@pytest.mark.parametrize("path", ["/", "/docker/3f0c"], ids=["own", "the host's"])
def test_a_container_under_version_one(tmp_path: Path, path: str) -> None:
    own = {"proc/self/cgroup": f"9:pids:{path}\n4:cpu,memory:{path}\n0::/\n"}
    write(tmp_path, host(1000) | own | first("", 256 * MIB, 90 * MIB, cached=30 * MIB))

    assert available(tmp_path) == 196 * MIB


def test_more_used_than_allowed_leaves_nothing(tmp_path: Path) -> None:
    write(tmp_path, second("", "1000", 2000) | {"proc/self/cgroup": "0::/\n"})

    assert available(tmp_path) == 0


@pytest.mark.parametrize("text", ["", "0::/\n", "0::/../../elsewhere\n"])
def test_where_nothing_is_said_nothing_is_known(tmp_path: Path, text: str) -> None:
    write(tmp_path, {"proc/self/cgroup": text})

    assert available(tmp_path) is None


def test_this_machine_says_something() -> None:
    found = available_bytes()

    assert found is None or found > MIB
