"""Everything but prover, stream service and Ziggy's signing runs without the extra `prover`."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from dragon.errors import StepFailed
from dragon_cli.errors import MissingExtra
from dragon_cli.fleet import home_operators, processes, queries
from dragon_cli.fleet.create import Plan, Ports, make_fleet
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.processes import Fleet
from dragon_cli.main import main
from dragon_cli.services import COMPILED, EXTRA, SERVICES, service
from ports import free_block

# Importing what is None in there is an ImportError, as if it were not installed.
WITHOUT_EXTRA = """
import sys
sys.modules |= dict.fromkeys(["numba", "numpy", "llvmlite"])
"""


@pytest.fixture
def no_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in EXTRA:
        monkeypatch.setitem(sys.modules, name, None)


def test_all_other_services_and_every_command_load_without_the_extra() -> None:
    services = [name for name in SERVICES if name not in COMPILED]
    program = f"""{WITHOUT_EXTRA}
from dragon_cli import services
from dragon_cli.main import main
for name in {services}:
    services.service(name)
services.source("sensor")
main(["--help"])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.stderr == ""
    assert "Commands:" in done.stdout  # to list the commands loads all of them


@pytest.mark.usefixtures("no_extra")
@pytest.mark.parametrize("name", COMPILED)
def test_a_service_that_needs_the_extra_is_refused_in_one_sentence(name: str) -> None:
    with pytest.raises(MissingExtra) as refused:
        service(name)

    assert str(refused.value) == (
        f"{COMPILED[name]} needs numba and numpy, which this installation lacks: "
        "install datadragon[prover]."
    )


def test_the_command_ends_with_code_two(tmp_path: Path) -> None:
    ports = Ports(operators=free_block(8), prover=5200, streams=5300)
    make_fleet(Home(tmp_path / "fleet"), Plan(ports=ports), genesis=1_700_000_000)
    arguments = ["serve", "zkp", "--home", str(tmp_path / "fleet")]
    program = f"{WITHOUT_EXTRA}\nfrom dragon_cli.main import main\nmain({arguments})"

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("dragon: failed: missing_extra: The prover needs numba and numpy")
    assert "\nhint: `pip install 'datadragon[prover]'`" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("no_extra")
def test_a_fleet_that_needs_the_extra_starts_nothing(tmp_path: Path) -> None:
    ports = Ports(operators=free_block(8), prover=5200, streams=5300)
    home = Home(tmp_path / "fleet")
    make_fleet(home, Plan(ports=ports), genesis=1_700_000_000)

    with Fleet(home) as fleet:
        with pytest.raises(MissingExtra):
            fleet.start_all()
        assert not any(fleet.is_running(name) for name in fleet.addresses)


class EndedProcess:
    """A service that has ended."""

    pid, returncode = 0, 3

    def poll(self) -> int:
        return self.returncode


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    """A fleet whose sequencer is ready; no service is started, and nothing takes time."""
    ports = Ports(operators=free_block(8), prover=5200, streams=5300)
    home = Home(tmp_path / "fleet")
    make_fleet(home, Plan(ports=ports), genesis=1_700_000_000)
    monkeypatch.setattr(processes, "REPORT_SECONDS", 0.0)
    monkeypatch.setattr(processes, "READY_POLL_SECONDS", 0.0)
    monkeypatch.setattr(Fleet, "is_ready", lambda _, name: name == "sequencer")
    with Fleet(home) as made:
        yield made


@pytest.mark.parametrize("word", ["silent", "journal", "compiling"])
def test_reasons_that_time_alone_ends_delay_no_start(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    """Else `dragon up` would wait for an operator that signed a round of the future."""
    monkeypatch.setattr(queries, "reasons", lambda *_: (f"{word}: for a while",))

    fleet.wait_ready(pytest.fail)


def test_a_fleet_waits_for_a_service_as_long_as_it_runs_and_says_for_which(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    reasons = iter([(), ("clock: not confirmed",), ("clock: not confirmed", "silent: yes")])
    monkeypatch.setattr(Fleet, "_reasons", lambda *_: next(reasons, ("silent: yes",)))
    started = iter([True, False, False])
    monkeypatch.setattr(Fleet, "_has_started", lambda *_: next(started, True))
    said: list[str] = []

    fleet.wait_ready(said.append)

    assert said == [
        "Waiting for operator_1: it does not answer yet.",
        "Waiting for operator_1: clock: not confirmed",
    ]


def test_a_fleet_waits_for_no_service_that_has_ended(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "reasons", lambda *_: ("clock: not confirmed",))
    running: Any = fleet.running
    running["operator_2"] = EndedProcess()
    monkeypatch.setattr(processes, "_signal", lambda *_: None)
    monkeypatch.setattr(Fleet, "stop", lambda _: None)

    with pytest.raises(StepFailed, match="operator_2 ended with exit code 3"):
        fleet.wait_ready()


@pytest.mark.parametrize(
    ("operators", "own", "verifiers"),
    [(4, {}, "1"), (4, {"OPERATOR_VERIFIERS": "3"}, "3"), (1, {}, None)],
)
def test_operators_of_one_machine_share_its_cores(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    operators: int,
    own: dict[str, str],
    verifiers: str | None,
) -> None:
    """A single operator has a process for windows on each core, by its own default."""
    home = Home(tmp_path / "fleet")
    make_fleet(home, Plan(ports=Ports(operators=free_block(8))), genesis=1_700_000_000)
    urls = dict(list(home_operators.urls(home, home.committee()).items())[:operators])
    monkeypatch.setattr(home_operators, "urls", lambda *_: urls)
    monkeypatch.delenv("OPERATOR_VERIFIERS", raising=False)
    given: list[Mapping[str, str]] = []
    monkeypatch.setattr(Fleet, "spawn", lambda *arguments: given.append(arguments[3]))

    with Fleet(home, own) as fleet:
        fleet.start("operator_1")
        fleet.running.clear()

    assert given[0].get("OPERATOR_VERIFIERS") == verifiers


def test_a_fleet_knows_the_provers_that_compile(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reasons(_: object, url: str) -> tuple[str, ...]:
        return ("compiling: kernel 3 of 41",) if url == fleet.addresses["zkp_api"] else ()

    monkeypatch.setattr(queries, "reasons", reasons)
    assert fleet.compiling() == ["zkp_api"]

    monkeypatch.setattr(queries, "reasons", lambda *_: ("workers are preparing: kernel 1 of 41",))
    assert fleet.compiling() == []


class StubbornProcess:
    """A service that does not end on SIGTERM, while a person presses Ctrl-C again."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.waits = 0

    def wait(self, timeout: float | None = None) -> int:
        self.waits += 1
        if timeout is not None:
            raise KeyboardInterrupt
        return -signal.SIGKILL


def test_a_second_interrupt_leaves_no_service_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path / "fleet")
    make_fleet(home, Plan(ports=Ports(operators=free_block(8))), genesis=1_700_000_000)
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(processes, "_signal", lambda each, number: sent.append((each.pid, number)))
    fleet: Any = Fleet(home)
    fleet.running = {"operator_1": StubbornProcess(1), "operator_2": StubbornProcess(2)}

    with pytest.raises(KeyboardInterrupt):
        fleet.stop()

    assert sent[-2:] == [(1, signal.SIGKILL), (2, signal.SIGKILL)]
    assert fleet.running == {}


def test_the_last_output_of_a_service_without_a_file_is_no_error(tmp_path: Path) -> None:
    home = Home(tmp_path / "fleet")
    make_fleet(home, Plan(ports=Ports(operators=free_block(8))), genesis=1_700_000_000)

    with Fleet(home) as fleet:
        assert fleet.last_output("operator_1") == "(none)"


@pytest.mark.usefixtures("no_extra")
def test_signing_needs_no_extra(tmp_path: Path) -> None:
    files = [
        *("--private", str(tmp_path / "ziggy_private_input.json")),
        *("--public", str(tmp_path / "ziggy_public_input.json")),
    ]

    for command in (
        ["keygen", "--output-dir", str(tmp_path)],
        ["sign", *files, "--output", str(tmp_path / "proof.json")],
        ["verify", str(tmp_path / "proof.json")],
    ):
        with pytest.raises(SystemExit) as done:
            main(["ziggy", *command])
        assert done.value.code == 0


LIBRARIES = (
    *("alembic", "asyncio", "jinja2", "numba", "numpy", "py_ecc", "pydantic", "pygments"),
    *("requests", "rich", "sqlalchemy", "ssl", "structlog", "urllib3"),
)
# Smaller ones, which services load, and what verifies a file must not.
OF_SERVICES = {"asyncio", "jinja2", "pydantic", "ssl", "structlog", "urllib3"}


def loaded_by(program: str) -> set[str]:
    """Return those of LIBRARIES that a program loads in a new process."""
    program += f"\nimport sys\nprint(*set({LIBRARIES}) & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    return set(done.stdout.split())


def test_the_command_itself_loads_no_large_library_to_serve() -> None:
    assert loaded_by("import dragon_cli.main, dragon_cli.commands.serve") == set()


@pytest.mark.parametrize(
    ("name", "libraries"),
    [
        ("operator", {"requests", "sqlalchemy"}),
        ("aggregator", {"requests", "sqlalchemy"}),
        ("sequencer", set()),
        ("stream", {"numba", "numpy", "requests", "sqlalchemy"}),
        ("zkp", set()),  # its workers, not the service itself, load the compiler
    ],
)
def test_a_service_loads_only_the_large_libraries_that_it_needs(
    name: str, libraries: set[str]
) -> None:
    program = f"from dragon_cli import services\nservices.service({name!r})"

    assert loaded_by(program) <= libraries | OF_SERVICES


@pytest.mark.parametrize(
    ("what", "libraries"),
    [
        *((what, set()) for what in ("certificate", "event", "receipt", "stream_report")),
        *((what, set()) for what in ("downtime", "lineage", "log")),
        *((what, {"rich"}) for what in ("period", "evidence")),  # they print tables
        ("report", {"jinja2", "rich"}),  # it makes the page again
    ],
)
def test_what_verifies_a_file_loads_no_library_of_services(what: str, libraries: set[str]) -> None:
    program = f"import dragon_cli.main, dragon_cli.commands.verify.{what}"

    assert loaded_by(program) <= libraries


def test_a_signature_of_ziggy_is_verified_without_a_compiler() -> None:
    assert loaded_by("import dragon_cli.main, dragon_cli.commands.ziggy") == set()


def test_a_loaded_library_stays_loaded_when_a_service_is_loaded() -> None:
    program = """
import rich
from dragon_cli import services
services.service("sequencer")
import rich.table
"""
    assert "rich" in loaded_by(program)
