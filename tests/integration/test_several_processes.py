"""Two provers and two stream services with real processes: one of each is killed."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

import forked
from dragon.net.http_client import HttpClient
from dragon.net.stream_upload import StreamUpload
from dragon_cli.fleet.create import Plan, Ports, make_fleet
from dragon_cli.fleet.layout import EXPLORER, PROVER, STREAMS, Home
from dragon_cli.fleet.processes import Fleet
from dragon_cli.fleet.stream_services import ServiceAt
from dragon_cli.fleet.streams import find
from forked import ForkedFleet
from ports import free_block

pytestmark = [pytest.mark.processes, pytest.mark.timeout(400)]

PATIENCE = 90.0  # seconds: two cores may be busy with other tests
SECOND_PROVER, SECOND = "zkp_api_2", "stream_api_2"


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the progress of uploads out of this user's folder."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    base = free_block(10)
    ports = Ports(base, base + 3, base + 4, prover=base + 5, streams=base + 7, explorer=base + 9)
    home = Home(tmp_path_factory.mktemp("several") / "fleet")
    plan = Plan(operators=3, provers=2, stream_services=2, ports=ports, round_seconds=2)
    make_fleet(home, plan, genesis=int(time.time()))
    with ForkedFleet(home, {"ZKP_WORKERS": "1"}) as running:
        running.start_all()
        running.wait_ready()
        yield running


def dragon(fleet: Fleet, *arguments: object) -> tuple[int, Any, str]:
    """Run a command with `--json`. Return exit code, output and messages."""
    done = forked.run([*arguments, "--home", fleet.home.path, "--json"], timeout=180)
    return done.returncode, json.loads(done.stdout or "null"), done.stderr


def metric(fleet: Fleet, service: str, name: str, **labels: str) -> float:
    """The value of a metric; 0 if it has none with these labels."""
    url = fleet.addresses[service] + "/metrics"
    answer = HttpClient.create().get(url, deadline=5, max_bytes=1 << 20)
    families = text_string_to_metric_families(answer.body.decode())
    samples = (sample for family in families for sample in family.samples)
    return sum(each.value for each in samples if (each.name, each.labels) == (name, labels))


def test_new_streams_are_spread_and_found_again(fleet: Fleet, tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        assert dragon(fleet, "stream", "create", name)[0] == 0
    home = fleet.home
    urls = {name: ServiceAt().client(home, None, name).url for name in ("one", "two", "three")}
    first, second = home.stream_services().values()
    assert urls == {"one": first, "two": second, "three": first}

    code, made, _ = dragon(fleet, "stream", "create", "chosen", "--service", STREAMS)
    assert (code, made["created"]) == (0, True)
    assert ServiceAt().client(home, None, made["stream"]).url == first
    assert dragon(fleet, "stream", "create", "chosen")[1]["created"] is False

    file = tmp_path / "file"
    file.write_bytes(random.Random(1).randbytes(100_000))
    code, done, errors = dragon(fleet, "stream", file, "--stream", "two")
    assert (code, errors) == (0, "")
    assert done["bytes"] == 100_000
    code, found, _ = dragon(fleet, "windows", "two")
    assert code == 0
    assert [window["state"] for window in found["windows"]] == ["certified"]

    def shown() -> bool:
        page = fleet.get(EXPLORER, "/api/streams")["streams"]
        return isinstance(page, list) and len(page) == 4

    fleet.wait_until(shown, "the explorer shows the streams of both services", PATIENCE)


def test_each_service_logs_under_its_own_name(fleet: Fleet) -> None:
    for name in (STREAMS, SECOND, PROVER, SECOND_PROVER):
        lines = fleet.home.output(name).read_text().splitlines()
        assert {json.loads(line)["service"] for line in lines if line[:1] == "{"} == {name}


def test_all_windows_are_certified_although_a_prover_is_killed(fleet: Fleet) -> None:
    """It is killed during the load, and stays dead."""
    home, uploads = fleet.home, []
    for number, service in enumerate((STREAMS, SECOND)):
        client, made = find(
            ServiceAt(name=service).client(home, None, ""),
            *(home, f"load-{number}", None),
            mode="message",
            window_chunks=7,
            window_ms=500,
        )
        uploads.append((client, str(made["stream"])))

    for part in range(3):
        if part == 1:
            fleet.kill(PROVER)
        for client, stream in uploads:
            StreamUpload(client, stream, [b"%d" % each for each in range(140)]).run()

    for client, stream in uploads:

        def certified() -> bool:
            said = client.get(f"/streams/{stream}")  # noqa: B023 - called in this turn only
            return bool(said["chunks"] == 420 and said["certified"] == said["windows"] >= 60)

        fleet.wait_until(certified, f"all windows of {stream} are certified", PATIENCE)

    dead, alive = (home.provers()[name].removeprefix("http://") for name in (PROVER, SECOND_PROVER))
    for service in (STREAMS, SECOND):
        name = "datadragon_stream_proofs_total"
        assert metric(fleet, service, name, prover=alive, outcome="done") > 0
        ready = fleet.get(service, "/readyz")
        assert ready["reasons"] == []
        assert str(ready["degraded"]).startswith(f"['prover: {dead}: no answer")
    _, status, _ = dragon(fleet, "status")
    services = {each["service"]: each for each in status["services"]}
    assert services[STREAMS]["ready"] is True
    assert services[STREAMS]["degraded"][0].startswith(f"prover: {dead}: no answer")
    fleet.start(PROVER)

    def recovered() -> bool:
        return all(not fleet.get(each, "/readyz")["degraded"] for each in (STREAMS, SECOND))

    fleet.wait_until(recovered, "the prover is used again", PATIENCE)


def test_streams_of_one_service_are_found_while_another_is_down(fleet: Fleet) -> None:
    for name, service in (("here", STREAMS), ("there", SECOND)):
        assert dragon(fleet, "stream", "create", name, "--service", service)[0] == 0
    fleet.kill(SECOND)
    try:
        code, found, _ = dragon(fleet, "windows", "here")
        assert (code, found["windows"]) == (0, [])

        code, _, errors = dragon(fleet, "windows", "there")
        assert code == 1
        assert f"{STREAMS} has no stream 'there', and {SECOND} does not answer" in errors
        code, _, errors = dragon(fleet, "stream", "create", "new")
        assert (code, SECOND in errors) == (1, True)  # it may have a stream of this name
        assert dragon(fleet, "stream", "create", "new", "--service", STREAMS)[0] == 0

        _, status, _ = dragon(fleet, "status")
        services = {each["service"]: each for each in status["services"]}
        assert "ready" in services[STREAMS]
        assert "trouble" in services[SECOND]
    finally:
        fleet.start(SECOND)
    fleet.wait_until(lambda: fleet.is_ready(SECOND), f"{SECOND} is ready", PATIENCE)
    assert dragon(fleet, "windows", "there")[0] == 0
