"""Services as processes, with real sockets, signals and time."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from shutil import ignore_patterns

import pytest

import forked
from dragon.log.audit import audit
from dragon.net.tls import client_context
from dragon_cli.fleet.create import Plan, Ports, make_fleet
from dragon_cli.fleet.layout import Home, port_of
from dragon_cli.fleet.processes import Fleet
from dragon_cli.main import main
from forked import ForkedFleet
from forked import start as start_forked
from ports import free_block, is_free

pytestmark = [pytest.mark.processes, pytest.mark.timeout(150)]

DRAGON = [sys.executable, "-m", "dragon_cli.main"]
SERVICES = 9  # of the demonstration: as many ports
PATIENCE = 40.0  # seconds: two cores may be busy with other tests


def free_ports() -> Ports:
    """Return free, consecutive ports for all services."""
    base = free_block(SERVICES)
    return Ports(base, base + 4, base + 5, base + 6, base + 7)


def port_options(ports: Ports) -> list[str]:
    return [
        *("--base-port", str(ports.operators)),
        *("--aggregator-port", str(ports.aggregator)),
        *("--sequencer-port", str(ports.sequencer)),
        *("--prover-port", str(ports.prover)),
        *("--stream-port", str(ports.streams)),
        *("--explorer-port", str(ports.operators + 8)),
    ]


def all_free(ports: Ports) -> bool:
    return all(is_free(ports.operators + offset) for offset in range(SERVICES))


def identical(fleet: Fleet) -> bool:
    seen = [(view.size, view.root, view.error) for view in fleet.views()]
    return len(set(seen)) == 1 and not seen[0][2]


def verify_logs(fleet: Fleet) -> None:
    """The oracle, on the files of the running services."""
    services = [name for name in fleet.addresses if name != "sequencer"]
    roots = {audit(fleet.home.database(name), fleet.committee).root for name in services}
    assert len(roots) == 1


@pytest.fixture(scope="module")
def running_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One fleet for many tests, with rounds of two seconds, over TLS."""
    home = Home(tmp_path_factory.mktemp("processes") / "fleet")
    ports = free_ports()
    nodes = Ports(ports.operators, ports.aggregator, ports.sequencer)  # no data services
    plan = Plan(ports=nodes, round_seconds=2, tls=True)
    make_fleet(home, plan, genesis=int(time.time()))
    with ForkedFleet(home) as running:
        running.start_all()
        running.wait_ready()
        yield running


@pytest.fixture
def fleet(running_fleet: Fleet) -> Fleet:
    """The fleet, with all nodes certified up in identical logs."""

    def healed() -> bool:
        views = running_fleet.views()
        return identical(running_fleet) and all(
            view.size >= 4 and view.status(node_id) == "up"
            for view in views
            for node_id in running_fleet.committee.urls
        )

    running_fleet.wait_until(healed, "all nodes are up in identical logs", PATIENCE)
    return running_fleet


@pytest.mark.timeout(240)
def test_the_demonstration_runs_to_its_end_and_leaves_nothing(tmp_path: Path) -> None:
    ports = free_ports()

    done = subprocess.run(
        [*DRAGON, "demo", "--round-seconds", "2", *port_options(ports)],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        cwd=tmp_path,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "window 1 carries no claim" in done.stdout
    assert "contain none of the 72" in done.stdout
    assert "refused: claim_missing: without the claim about readings: window 1" in done.stdout
    assert "the same event is in 3 logs" in done.stdout
    assert "shows it, with the operators' certificate" in done.stdout
    assert "verified: operator_2 was down" in done.stdout
    assert "refused: bad_signature" in done.stdout
    assert "refused: quorum_not_met" in done.stdout
    assert all_free(ports)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def _ctrl_c_counts() -> Iterator[None]:
    """What is started inherits that Ctrl-C is ignored, as it is where tests run in the background;
    but not a handler."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c_counts")
def test_ctrl_c_in_the_middle_leaves_nothing_running(tmp_path: Path) -> None:
    ports = free_ports()
    with subprocess.Popen(
        [*DRAGON, "demo", *port_options(ports)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=tmp_path,
        start_new_session=True,
    ) as running:
        assert running.stdout is not None
        ends = time.monotonic() + 60
        while is_free(ports.operators):  # some of the services are there, others begin
            assert time.monotonic() < ends
            time.sleep(0.05)
        os.killpg(running.pid, signal.SIGINT)
        said = running.stdout.read()
        running.wait(20)

    assert running.returncode == 130
    assert "Interrupted" in said
    assert "Traceback" not in said
    assert all_free(ports)


def test_no_service_outlives_a_program_that_is_killed(tmp_path: Path) -> None:
    """Else the next `dragon up` finds the ports in use."""
    ports, home = free_ports(), str(tmp_path / "fleet")
    with subprocess.Popen(
        [*DRAGON, "demo", *port_options(ports)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as running:
        ends = time.monotonic() + 60
        while is_free(ports.operators):
            assert time.monotonic() < ends, home
            time.sleep(0.05)
        running.kill()

    ends = time.monotonic() + 20
    while not all_free(ports):
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_a_port_in_use_fails_the_first_step(tmp_path: Path) -> None:
    ports = free_ports()
    with socket.create_server(("127.0.0.1", ports.operators + 2)):
        done = subprocess.run(
            [*DRAGON, "demo", *port_options(ports)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=tmp_path,
        )

    assert done.returncode == 1
    assert f"Port {ports.operators + 2} of operator_3 is in use" in done.stderr
    assert "Traceback" not in done.stderr
    assert all_free(ports)


def kill_service(fleet: subprocess.Popen[str], name: str) -> None:
    """Kill the child of `dragon up` that has the name of a service."""
    children = Path(f"/proc/{fleet.pid}/task/{fleet.pid}/children").read_text().split()
    for child in map(int, children):
        if Path(f"/proc/{child}/comm").read_text() == f"{name}\n":
            os.kill(child, signal.SIGKILL)


def test_up_shows_a_table_restarts_what_died_and_stops_after_its_time(tmp_path: Path) -> None:
    ports, home = free_ports(), str(tmp_path / "fleet")
    subprocess.run(
        [*DRAGON, "init", "--home", home, "--operators", "3", *port_options(ports)],
        check=True,
        timeout=60,
    )

    with subprocess.Popen(
        [*DRAGON, "up", "--home", home, "--seconds", "6"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as up:
        assert up.stdout is not None
        before = ""
        while not before.endswith("Ctrl-C stops them.\n"):
            before += (line := up.stdout.readline())
            assert line, before
        kill_service(up, "operator_2")
        said = up.stdout.read()
        up.wait(30)

    assert up.returncode == 0, before + said
    assert said.count("has died") == 1
    assert "operator_2 has died (killed by SIGKILL). It restarts in 1 s." in said
    assert "logs agree" in said
    assert "has ended" not in said  # in the last table
    assert all_free(ports)


def dragon(command: str, home: Path, *arguments: object) -> int:
    with pytest.raises(SystemExit) as done:
        main([command, "--json", "--home", str(home), *map(str, arguments)])
    return int(done.value.code or 0)


def test_a_fleet_over_tls_is_read_by_those_who_have_its_authority(
    fleet: Fleet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert all(url.startswith("https://127.0.0.1:") for url in fleet.addresses.values())
    assert dragon("logs", fleet.home.path) == 0

    # A stranger has the committee file alone, and then the authority's certificate too.
    shutil.copy(fleet.home.committee_file, tmp_path)
    assert dragon("status", tmp_path) == 1
    assert "its certificate is not trusted" in capsys.readouterr().out
    assert dragon("status", tmp_path, "--ca", fleet.home.authority_file) == 0


def test_every_service_killed_once_in_turn_leaves_all_logs_identical(fleet: Fleet) -> None:
    for name in ("operator_3", "sequencer", "aggregator", "operator_1"):
        fleet.kill(name)
        time.sleep(1)
        fleet.start(name)
        fleet.wait_until(lambda name=name: fleet.is_ready(name), f"{name} is ready", PATIENCE)

    fleet.wait_until(
        lambda: (
            all(v.status(n) == "up" for v in fleet.views() for n in v.nodes) and identical(fleet)
        ),
        "all nodes are up in identical logs",
        PATIENCE,
    )
    verify_logs(fleet)


def test_a_killed_operator_is_certified_down_and_up_again(fleet: Fleet) -> None:
    fleet.kill("operator_4")
    others = ["operator_1", "operator_2", "operator_3"]
    fleet.wait_until(
        lambda: all(fleet.view(name).status("operator_4") == "down" for name in others),
        "operator_4 is certified down",
        PATIENCE,
    )

    fleet.start("operator_4")

    fleet.wait_until(
        lambda: all(view.status("operator_4") == "up" for view in fleet.views()),
        "operator_4 is certified up in every log",
        PATIENCE,
    )
    fleet.wait_until(lambda: identical(fleet), "all logs are identical", PATIENCE)
    verify_logs(fleet)


def test_a_frozen_operator_is_certified_down_and_thaws_identical(fleet: Fleet) -> None:
    """After SIGSTOP its port still accepts connections, but nothing answers."""
    group = fleet.running["operator_2"].pid
    os.killpg(group, signal.SIGSTOP)
    fleet.wait_until(
        lambda: fleet.view("operator_1").status("operator_2") == "down",
        "operator_2 is certified down",
        PATIENCE,
    )

    os.killpg(group, signal.SIGCONT)

    fleet.wait_until(
        lambda: all(view.status("operator_2") == "up" for view in fleet.views()),
        "operator_2 is certified up in every log",
        PATIENCE,
    )
    verify_logs(fleet)


def test_a_second_service_with_one_key_ends_with_a_sentence(fleet: Fleet, tmp_path: Path) -> None:
    """As on another host: it has the keys and files of the fleet, and data of its own."""
    copy = shutil.copytree(fleet.home.path, tmp_path / "copy", ignore=ignore_patterns("data"))
    arguments = ["serve", "operator", "--id", "operator_2", "--port", str(free_block(1))]

    ended = forked.run([*arguments, "--home", str(copy)])

    assert ended.returncode == 3
    assert "dragon: key_in_use: another service answers at https://" in ended.stderr


def test_sigterm_drains_every_service_in_five_seconds(fleet: Fleet) -> None:
    begun = time.monotonic()
    for process in fleet.running.values():
        process.send_signal(signal.SIGTERM)
    for process in fleet.running.values():
        process.wait(10)

    assert time.monotonic() - begun < 5
    outputs = [fleet.home.output(name).read_text() for name in fleet.addresses]
    assert not any("Traceback" in output for output in outputs)
    fleet.start_all()
    fleet.wait_ready()


def test_a_client_that_sends_half_a_request_does_not_hold_a_service_up(fleet: Fleet) -> None:
    """As many slow clients as there are threads, each after a handshake in form."""
    port, context = port_of(fleet.addresses["operator_1"]), client_context(fleet.home.ca)
    with ExitStack() as slow:
        for _ in range(64):
            plain = slow.enter_context(socket.create_connection(("127.0.0.1", port)))
            client = slow.enter_context(context.wrap_socket(plain, server_hostname="localhost"))
            client.sendall(b"GET /status HTTP/1.1\r\nHost: x\r\n")

        took = fleet.wait_until(lambda: fleet.is_ready("operator_1"), "it answers", PATIENCE)

    assert took < PATIENCE / 2


def test_a_target_is_added_to_a_running_fleet(fleet: Fleet, tmp_path: Path) -> None:
    """Nothing is restarted. Whoever stops the command while it waits for a checkpoint can learn the
    outcome later."""
    url, output = f"{fleet.addresses['aggregator']}/healthz", tmp_path / "output"

    with output.open("wb") as file:
        adding = start_forked(
            ["target", "add", "site", url, "--private", "--home", fleet.home.path], stdout=file
        )
        fleet.wait_until(
            lambda: all(view.status("site") == "up" for view in fleet.views()),
            "the target is up in every log",
            PATIENCE,
        )
        adding.send_signal(signal.SIGINT)
        code = adding.wait(PATIENCE)

    assert output.read_text().startswith("waiting until epoch 1 begins\n")
    home = fleet.home
    # The last one: the command was done, and the interpreter about to end.
    ends = ((130, False), (0, True), (-signal.SIGINT, True))
    assert (code, home.lineage_file.exists()) in ends, output.read_text()
    fleet.wait_until(lambda: identical(fleet), "all logs are identical", PATIENCE)
    verify_logs(fleet)
