"""The fork server of `dragon up`: services are copies of a process that has imported them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from dragon_cli import forking
from dragon_cli.fleet.create import Plan, Ports, make_fleet
from dragon_cli.fleet.layout import Home, service_kind
from dragon_cli.fleet.processes import Fleet
from dragon_cli.forking import ForkFailed, ForkServer, Setting, fork_server
from dragon_cli.services import SERVICES
from ports import free_block


@pytest.fixture
def server() -> Iterator[ForkServer]:
    """A fork server that has imported no service: it starts sooner."""
    with fork_server() as started:
        assert started is not None
        yield started


def empty(folder: Path) -> Path:
    file = folder / "output.log"
    file.touch()
    return file


@pytest.fixture
def stdin() -> Iterator[int]:
    """An open pipe, so that a service goes on."""
    reading, writing = os.pipe()
    yield reading
    os.close(reading)
    os.close(writing)


def setting(name: str, stdin: int, **environ: str) -> Setting:
    return Setting(name, stdin, {**os.environ, **environ})


def test_a_forked_command_runs_with_its_arguments_and_its_output(
    server: ForkServer, stdin: int, tmp_path: Path
) -> None:
    good, bad = empty(tmp_path), tmp_path / "bad.log"
    bad.write_text("before\n")

    done = server.start("", ["--version"], good, setting("version", stdin))
    failed = server.start("", ["nonsense"], bad, setting("nonsense", stdin))

    assert (done.wait(30), failed.wait(30)) == (0, 2)
    assert "version" in good.read_text()
    assert bad.read_text().startswith("before\nUsage:")


def test_a_forked_service_is_our_child_with_its_own_session_and_name(
    server: ForkServer, stdin: int, tmp_path: Path
) -> None:
    output = empty(tmp_path)
    service = server.start("", ["source", "sensor"], output, setting("sensors", stdin))
    try:
        while not output.stat().st_size:
            assert service.poll() is None
        status = Path(f"/proc/{service.pid}/status").read_text()
        assert f"\nPPid:\t{os.getpid()}\n" in status
        assert status.startswith("Name:\tsensors\n")
        assert os.getsid(service.pid) == service.pid
        given = os.readlink(f"/proc/self/fd/{stdin}")
        assert os.readlink(f"/proc/{service.pid}/fd/0") == given
        open_files = Path(f"/proc/{service.pid}/fd").iterdir()
        assert [str(each.readlink()) for each in open_files].count(given) == 1
        server.stop()  # the service goes on without it
        assert service.poll() is None
    finally:
        service.send_signal(signal.SIGKILL)
    assert service.wait(30) == -signal.SIGKILL
    assert service.poll() == -signal.SIGKILL


def test_a_forked_command_has_its_environment(
    server: ForkServer, stdin: int, tmp_path: Path
) -> None:
    output = empty(tmp_path)

    asked = server.start("", ["status"], output, setting("status", stdin, DRAGON_HOME="/nowhere"))

    assert asked.wait(30) == 2
    assert "/nowhere" in output.read_text()


def test_an_environment_may_be_longer_than_what_a_socket_holds(
    server: ForkServer, stdin: int, tmp_path: Path
) -> None:
    output = empty(tmp_path)
    large = {f"LARGE_{number}": "x" * 100_000 for number in range(20)}

    for home in ("/first", "/second"):  # the server goes on
        environ = {**large, "DRAGON_HOME": home}
        assert server.start("", ["status"], output, setting("status", stdin, **environ)).wait(30)
        assert home in output.read_text()


def test_waiting_for_a_service_ends_in_time(server: ForkServer, stdin: int, tmp_path: Path) -> None:
    service = server.start("", ["source", "sensor"], empty(tmp_path), setting("sensors", stdin))
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            service.wait(0.0)
    finally:
        service.send_signal(signal.SIGKILL)
        service.wait(30)


def test_a_server_that_has_ended_starts_nothing(
    server: ForkServer, stdin: int, tmp_path: Path
) -> None:
    server.stop()

    with pytest.raises(ForkFailed):
        server.start("", ["--version"], empty(tmp_path), setting("version", stdin))


def test_a_server_that_cannot_import_a_service_starts_nothing(
    server: ForkServer, stdin: int, tmp_path: Path
) -> None:
    with pytest.raises(ForkFailed):
        server.start("unknown", ["--version"], empty(tmp_path), setting("version", stdin))


def test_nothing_is_forked_where_the_system_gives_us_no_children(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forking, "_adopt_orphans", lambda *, adopt: False)

    with fork_server() as started:
        assert started is None


def test_a_process_that_forks_has_one_thread_and_no_compiler() -> None:
    program = f"""
import os, sys
from dragon_cli import fork_server
for kind in {SERVICES}:
    fork_server.load(kind)
print(len(os.listdir("/proc/self/task")), *({{"numba", "numpy"}} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout.split() == ["1"]


class EndedServer(ForkServer):
    """A fork server that could not start."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def start(
        self, kind: str, _arguments: object, _output: object, setting: Setting
    ) -> forking.Child:
        assert kind == service_kind(setting.name)
        self.asked.append(setting.name)
        raise ForkFailed


class Recorded(Fleet):
    """A fleet that starts nothing, and notes what it would start."""

    server = EndedServer()

    def fork_server(self) -> nullcontext[ForkServer | None]:
        return nullcontext(self.server)

    def start(self, name: str) -> None:
        self.ordinary = [*getattr(self, "ordinary", []), name]


def test_without_a_fork_server_every_service_starts_in_the_usual_way(tmp_path: Path) -> None:
    home, first = Home(tmp_path / "fleet"), free_block(8)
    ports = Ports(operators=first, prover=first + 6, streams=first + 7)
    make_fleet(home, Plan(ports=ports), genesis=1_700_000_000)
    fleet = Recorded(home)

    fleet.start_all()

    assert set(fleet.ordinary) == set(fleet.addresses)
    assert set(fleet.server.asked) == set(fleet.addresses)
    assert fleet.ordinary[0] == "zkp_api"
    assert fleet.server.asked == fleet.ordinary
