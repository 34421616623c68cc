"""A fleet of real processes on a ledger that is slow, lying, without a quorum, or reset."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests

import forked
from dragon.errors import PeerError
from dragon.log.audit import audit
from dragon.protocol.committee import Committee
from dragon_cli.fleet.create import Plan, Ports, make_fleet
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.processes import Fleet
from forked import ForkedFleet
from ports import free_block

pytestmark = [pytest.mark.processes, pytest.mark.timeout(280)]

ROUND_SECONDS = 2
PATIENCE = 60.0  # seconds: two cores may be busy with other tests
CONTROL_CHARACTERS = "\x01" * 5120  # a batch that JSON escapes sixfold


def free_ports() -> Ports:
    base = free_block(6)
    return Ports(base, base + 4, base + 5)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A fleet with four gateways, whose sequencer injects faults."""
    home = Home(tmp_path_factory.mktemp("ledger") / "fleet")
    plan = Plan(ports=free_ports(), round_seconds=ROUND_SECONDS)
    make_fleet(home, plan, genesis=int(time.time()))
    separate_gateways(home)
    with ForkedFleet(home, {"SEQUENCER_FAULTS": "1"}) as running:
        running.start_all()
        running.wait_ready()
        yield running


def separate_gateways(home: Home) -> None:
    """Give each node of the list a URL of its own. Sockets are not part of the list's hash."""
    nodes: dict[str, dict[str, Any]] = json.loads(home.nodes_file.read_text())
    for number, node in enumerate(nodes.values()):
        node["socket"] = f"{node['socket']}/gateway/{number}"
    home.nodes_file.write_text(json.dumps(nodes))


@pytest.fixture
def fleet(shared: Fleet) -> Iterator[Fleet]:
    """The fleet, with all nodes certified up in identical logs. Afterwards the ledger is healed."""
    shared.wait_until(lambda: are_up(shared), "all nodes are up in identical logs", PATIENCE)
    yield shared
    inject(shared, stalled=False, silent=[], shown="first", bomb="", tamper="", gateways=[])
    for name in shared.committee.keys:
        if not shared.is_running(name):
            shared.start(name)


def are_up(fleet: Fleet) -> bool:
    return agree(fleet) and all(
        view.status(node_id) == "up" for view in fleet.views() for node_id in fleet.committee.urls
    )


def agree(fleet: Fleet) -> bool:
    """Whether all logs are identical now; not while an event is on its way."""
    seen = {(view.size, view.root, view.error) for view in fleet.views()}
    return len(seen) == 1 and not next(iter(seen))[2]


def inject(fleet: Fleet, **faults: object) -> None:
    answer = requests.post(f"{sequencer(fleet)}/dev/faults", json=faults, timeout=5)
    assert answer.status_code == 200, answer.text


def sequencer(fleet: Fleet) -> str:
    return fleet.addresses["sequencer"]


def reasons(fleet: Fleet, name: str) -> list[str]:
    with suppress(requests.RequestException):
        answer = requests.get(f"{fleet.addresses[name]}/readyz", timeout=5)
        return [str(reason) for reason in answer.json()["reasons"]]
    return ["unreachable"]


def is_down(fleet: Fleet, node_id: str) -> bool:
    others = [name for name in fleet.committee.keys if name != node_id]
    with suppress(PeerError):
        return all(fleet.view(name).status(node_id) == "down" for name in others)
    return False


def an_outage_is_certified(fleet: Fleet, node_id: str = "operator_2") -> None:
    """Kill an operator; wait until the others call it down; start it; wait until all are up."""
    fleet.kill(node_id)
    fleet.wait_until(lambda: is_down(fleet, node_id), f"{node_id} is down", PATIENCE)
    fleet.start(node_id)
    fleet.wait_until(lambda: are_up(fleet), f"{node_id} is up again", PATIENCE)


def test_a_leader_change_that_finalizes_again_splits_no_log(fleet: Fleet) -> None:
    """Gateways show genuine proofs of the same batches with different times, in turns."""
    for seconds, shown in ((7, "alternate"), (-5, "all")):
        change = {"batches": 50, "segment": 1, "seconds": seconds}
        inject(fleet, leader_change=change, shown=shown)
        an_outage_is_certified(fleet)
        inject(fleet, leader_change=change, shown="newest")
    fleet.wait_until(lambda: are_up(fleet), "all nodes are up in identical logs", PATIENCE)

    services = [*fleet.committee.keys, "aggregator"]
    assert [reasons(fleet, name) for name in services] == [[]] * len(services)
    roots = {audit(fleet.home.database(name), fleet.committee).root for name in services}
    assert len(roots) == 1


def test_pages_of_any_size_and_form_stop_nobody(fleet: Fleet) -> None:
    """Large pages that JSON escapes sixfold, and gateways with expensive pages."""
    app = fleet.committee.sequencer.app
    for _ in range(4):
        batches = {app: [CONTROL_CHARACTERS] * 12}  # 61 KB each time, 368 KB escaped
        answer = requests.put(f"{sequencer(fleet)}/node/batches", json=batches, timeout=30)
        assert answer.status_code == 200
    an_outage_is_certified(fleet)

    inject(fleet, bomb="lists", bomb_bytes=4 << 20, gateways=[1, 2, 3])
    an_outage_is_certified(fleet)

    peaks = [peak_memory_mb(fleet, name) for name in ("operator_1", "aggregator")]
    assert max(peaks) < 110 + 64


def peak_memory_mb(fleet: Fleet, name: str) -> float:
    """Return the peak memory of a service in MB. A service has two processes; the larger counts."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError, IndexError):
            lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
            if int(lines["NSpid"].split()[0]) and _group(status) == fleet.running[name].pid:
                found.append(int(lines["VmHWM"].split()[0]) / 1024)
    return max(found)


def _group(status: Path) -> int:
    return int((status.parent / "stat").read_text().rpartition(")")[2].split()[2])


def test_a_ledger_without_a_quorum_is_reported_and_loses_nothing(fleet: Fleet) -> None:
    inject(fleet, silent=[0, 1])  # two of four nodes are dead: nothing becomes final
    fleet.kill("operator_2")

    def is_reported() -> bool:
        return any("none finalized" in reason for reason in reasons(fleet, "aggregator"))

    fleet.wait_until(is_reported, "the aggregator says that nothing is finalized", PATIENCE)
    assert not is_down(fleet, "operator_2")

    inject(fleet, silent=[])
    fleet.wait_until(lambda: is_down(fleet, "operator_2"), "the outage is in the logs", PATIENCE)
    fleet.start("operator_2")
    fleet.wait_until(lambda: are_up(fleet), "operator_2 is up again", PATIENCE)
    fleet.wait_until(lambda: not reasons(fleet, "aggregator"), "nothing to report", PATIENCE)


def run(*arguments: str) -> str:
    done = forked.run(arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_reset_ledger_stops_the_logs_and_the_committee_is_refounded(tmp_path: Path) -> None:
    """As docs/operating.md says, with a history that is shorter than the old one."""
    home = Home(tmp_path / "fleet")
    ports = free_ports()
    make_fleet(home, Plan(ports=ports, round_seconds=ROUND_SECONDS), genesis=int(time.time()))
    old = home.committee()
    with ForkedFleet(home, {"SEQUENCER_FAULTS": "1"}) as fleet:
        fleet.start_all()
        fleet.wait_ready()
        fleet.wait_until(lambda: are_up(fleet), "all nodes are up", PATIENCE)
        services = [*fleet.committee.keys, "aggregator"]
        inject(fleet, reset=True)
        batch = requests.put(
            f"{sequencer(fleet)}/node/{old.sequencer.app}/batches", json="[]", timeout=5
        )
        assert batch.status_code == 200

        def have_stopped() -> bool:
            return all("ledger_rewritten" in str(reasons(fleet, name)) for name in services)

        fleet.wait_until(have_stopped, "all logs have stopped", PATIENCE)

    run("init", "--refound", "--home", str(home.path))
    for name in services:
        run("log", "archive", str(home.database(name)))

    with ForkedFleet(home) as fleet:
        fleet.start_all()
        fleet.wait_ready()
        fleet.wait_until(lambda: are_up(fleet), "all nodes are up again", PATIENCE)
    assert fleet.committee.id != old.id
    [kept] = home.path.glob("committee-*.json")
    [archived] = home.database("operator_1").parent.glob("operator.db.archived-*")
    assert audit(archived, Committee.load(kept.read_bytes())).size >= 4
