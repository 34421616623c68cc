"""The limit of open files is raised, and connections are limited by it."""

from __future__ import annotations

import resource

import pytest

from dragon.node import open_files
from dragon.node.connections import Limits
from dragon.node.gunicorn_server import within


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((256, 4096), 4096),
        ((256, resource.RLIM_INFINITY), 65_536),
        ((1024, 1024), 1024),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), 65_536),
        ((70_000, 100_000), 65_536),
    ],
)
def test_the_soft_limit_is_raised(
    monkeypatch: pytest.MonkeyPatch, before: tuple[int, int], after: int
) -> None:
    limits = [before]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, pair: limits.append(pair))
    assert open_files.raise_limit() == after
    assert limits[-1][1] == before[1], "the hard limit stays"
    assert limits[-1][0] == resource.RLIM_INFINITY or limits[-1][0] >= before[0]


@pytest.mark.parametrize("files", [256, 512, 1024, 65_536])
def test_connections_and_sockets_stay_within_the_limit(files: int) -> None:
    threads = 96
    sockets = min(80, open_files.websockets_within(files))
    limits = within(files, threads, Limits(threads - sockets))
    used = limits.connections + (open_files.PER_WEBSOCKET - 1) * sockets
    assert used + open_files.RESERVED_OPEN_FILES <= files
    assert limits.connections >= 2 * sockets
    assert limits.connections_per_address <= limits.connections
