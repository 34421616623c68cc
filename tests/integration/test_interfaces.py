"""Logs without secrets, metrics, OpenAPI documents, and lists in pages."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from committees import GENESIS, make_members
from dragon.encoding import Json, canonical, to_hex
from dragon.errors import BadAnswer
from dragon.net.http_client import HttpClient
from dragon.net.session import make_session
from dragon.node.log_format import Lines
from dragon.protocol.event import decode
from dragon.protocol.streams.chunks import encode_chunks
from dragon.storage import keystore
from dragon_cli.fleet.create import Plan, Ports, make_fleet
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.processes import Fleet
from dragon_operator.routes import events as operator_events
from forked import ForkedFleet
from ports import free_block
from simulation import World
from streams import Owner, Window, make_owner

PATIENCE = 40.0  # seconds: two cores may be busy with other tests
NONCE = re.compile(r"nonce=0x([0-9a-f]+)")


def spellings(secret: int) -> set[str]:
    """The forms in which a secret number could appear in a line."""
    return {str(secret), f"{secret:x}", f"{secret:064x}", str(secret.to_bytes(32, "big"))}


def check_no_secrets(text: str, secrets: Iterable[str]) -> None:
    for secret in secrets:
        assert len(secret) >= 8
        assert secret.lower() not in text.lower()


def pages(get: Any, path: str, name: str, limit: int) -> Iterator[list[Json]]:
    """Every page of a list, from the first to the last."""
    after = ""
    while True:
        page = get(f"{path}?limit={limit}{after}").json()
        yield page[name]
        if page["next"] is None:
            return
        after = f"&after={page['next']}"


# Logs


@pytest.fixture
def output() -> Iterator[io.StringIO]:
    """Everything that a fleet in this process logs, at the lowest level."""
    stream, root = io.StringIO(), logging.getLogger()
    handler, before = logging.StreamHandler(stream), root.level
    handler.setFormatter(Lines("fleet"))
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(before)


def test_a_fleet_in_one_process_logs_no_secrets(tmp_path: Path, output: io.StringIO) -> None:
    with World(tmp_path) as world:
        world.run(3)
        world.stop("operator_2")
        world.run(2)
        world.post("operator_1", "/attestations", raw=b'{"password": "hunter2hunter2"}')
        world.get("operator_1", "/status?nonce=0x" + "c0ffee" * 6)
        answers = [world.get(n, "/metrics").text for n in ("operator_1", "aggregator_0")]
        nonces = {n for _, request in world.sent for n in NONCE.findall(request.url or "")}
        secrets = {
            spelling
            for key in world.members.secrets.values()
            for spelling in spellings(int.from_bytes(key.encode(), "big"))
        }

    said = output.getvalue()
    events = [json.loads(line)["event"] for line in said.splitlines()]
    assert "certificate_assembled" in events
    assert len(nonces) >= 10
    check_no_secrets(said, secrets | nonces | {"hunter2hunter2"})
    check_no_secrets("".join(answers), secrets | nonces)


def secrets_of(home: Home) -> set[str]:
    """Keys, passwords and contents of the keystores in a fleet's folder."""
    found: set[str] = set()
    for number in json.loads(home.sequencer_keys.read_text()):
        found |= spellings(int(number))
    for operator in home.committee().keys:
        password = home.password(operator).read_text().strip()
        key = keystore.load(home.keystore(operator), home.password(operator))
        found |= spellings(key.scalar) | {password}
        crypto = json.loads(home.keystore(operator).read_text())["crypto"]
        found |= {crypto["cipher"]["message"], crypto["kdf"]["params"]["salt"]}
    return found


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    home, base = Home(tmp_path_factory.mktemp("home") / "fleet"), free_block(6)
    make_fleet(
        home, Plan(ports=Ports(base, base + 4, base + 5), round_seconds=2), genesis=int(time.time())
    )
    with ForkedFleet(home) as running:
        running.start_all()
        running.wait_ready()
        running.wait_until(
            lambda: all(v.status(n) == "up" for v in running.views() for n in v.nodes),
            "everybody is certified up",
            PATIENCE,
        )
        yield running


@pytest.mark.processes
@pytest.mark.timeout(150)
def test_real_services_log_json_without_secrets(fleet: Fleet) -> None:
    fleet.kill("operator_4")
    others = ["operator_1", "operator_2", "operator_3"]
    fleet.wait_until(
        lambda: all(fleet.view(name).status("operator_4") == "down" for name in others),
        "operator_4 is certified down",
        PATIENCE,
    )
    fleet.start("operator_4")
    fleet.wait_until(lambda: fleet.is_ready("operator_4"), "it is ready", PATIENCE)
    http, url = HttpClient(make_session()), fleet.addresses["operator_1"]
    http.get(f"{url}/status", params={"nonce": "0x" + "c0ffee" * 6}, deadline=2)
    http.post(f"{url}/reports", {"password": "hunter2hunter2"}, deadline=2)
    http.get(f"{url}/" + "x" * 5000, deadline=2)  # refused by gunicorn
    http.close()

    secrets = secrets_of(fleet.home) | {"c0ffee" * 6, "hunter2hunter2"}
    for name in fleet.addresses:
        said = fleet.home.output(name).read_text()
        check_no_secrets(said, secrets)
        for line in said.splitlines():
            fields = json.loads(line)
            assert {"timestamp", "level", "event", "service", "logger"} <= set(fields), line
            assert fields["service"] == name
    applied = [
        line
        for line in map(json.loads, fleet.home.output("operator_1").read_text().splitlines())
        if line["event"] == "event_applied"
    ]
    assert any(line["claim"].get("status") == "down" for line in applied)


@pytest.mark.processes
@pytest.mark.timeout(150)
def test_real_services_serve_openapi_and_metrics(fleet: Fleet) -> None:
    http = HttpClient(make_session())
    for url in fleet.addresses.values():
        document = json.loads(http.get(f"{url}/openapi.json", deadline=5, max_bytes=1 << 20).body)
        assert "/metrics" in document["paths"]
        metrics = http.get(f"{url}/metrics", deadline=5, max_bytes=1 << 20).body.decode()
        names = {family.name for family in text_string_to_metric_families(metrics)}
        assert {"datadragon_http_requests", "process_resident_memory_bytes"} <= names
        assert http.get(f"{url}/openapi/swagger", deadline=5).status == 200
        assert http.get(f"{url}/healthz", deadline=5).status == 200
        with pytest.raises(BadAnswer):
            http.get(f"{url}/nowhere", deadline=5).successful()
    http.close()


# Lists


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A fleet with items in every list, among them two streams with a window in the log, and
    announced windows of one of them."""
    members = make_members(targets=3)
    with World(tmp_path_factory.mktemp("world"), members) as world:
        world.run(3)
        for name in ("sensor-1", "sensor-2"):
            owner = make_owner(world.members, name)
            window = owner.window([b"21.5"], began_ms=1000 * GENESIS)
            submit(world, owner, window)
        world.settle()
        for _ in range(4):
            window = owner.window([b"21.7"], window)
            world.post("aggregator_0", "/windows", owner.submission(window).to_json())
        world.submit(*[{"kind": "nothing", "number": n} for n in range(7)])
        world.network.set_faults(stalled=True)
        world.run(5)  # the targets are certified down, and the events stay in the outbox
        yield world
        world.network.set_faults(stalled=False)


def submit(world: World, owner: Owner, window: Window) -> None:
    proof = owner.prove(window)
    world.post("aggregator_0", "/windows", owner.submission(window, proof).to_json())
    for body in (encode_chunks(window.chunks), proof):
        sha256 = to_hex(hashlib.sha256(body).digest())
        world.session("x").put(f"http://aggregator-0:5100/objects/{sha256}", data=body)


LISTS = [
    ("operator_1", "/nodes", "nodes", "node_id"),
    ("operator_1", "/logs", "logs", "id"),
    ("operator_1", "/events", "events", "position"),
    ("operator_1", "/refused", "refused", "id"),
    ("operator_1", "/streams", "streams", "stream"),
    ("operator_1", "/probes", "rounds", "number"),
    ("aggregator_0", "/rounds", "rounds", "number"),
    ("aggregator_0", "/outbox", "outbox", "id"),
    ("aggregator_0", "/refused", "refused", "id"),
    ("aggregator_0", "/windows", "windows", "number"),
]


@pytest.mark.parametrize(("service", "path", "name", "cursor"), LISTS)
@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_the_pages_of_a_list_make_up_the_list(
    listed: World, service: str, path: str, name: str, cursor: str, limit: int
) -> None:
    whole = listed.get(service, f"{path}?limit=120").json()[name]

    found = list(pages(lambda p: listed.get(service, p), path, name, limit))

    assert [entry for page in found for entry in page] == whole
    assert all(len(page) <= limit for page in found)
    assert len(whole) >= 2
    cursors = [entry[cursor] for entry in whole]
    assert cursors == sorted(set(cursors), reverse=path in {"/rounds", "/probes", "/refused"})


@pytest.mark.parametrize(("service", "path", "name", "cursor"), LISTS)
def test_the_last_page_names_no_next_page(
    listed: World, service: str, path: str, name: str, cursor: str
) -> None:
    whole = listed.get(service, f"{path}?limit=10").json()[name]

    full = listed.get(service, f"{path}?limit={len(whole)}").json()

    assert (full[name], full["next"]) == (whole, None)


@pytest.mark.parametrize(("service", "path", "name", "cursor"), LISTS)
def test_after_the_end_of_a_list_the_page_is_empty(
    listed: World, service: str, path: str, name: str, cursor: str
) -> None:
    ends = {"nodes": "z", "rounds": "0", "refused": "0", "streams": "0x" + "ff" * 32}
    end = ends.get(name, "99999")

    page = listed.get(service, f"{path}?after={end}").json()

    assert (page[name], page["next"]) == ([], None)


def test_refused_events_are_counted_by_reason(listed: World) -> None:
    page = listed.get("operator_1", "/refused?limit=1").json()

    counts = {each["reason"]: each["count"] for each in page["counts"]}
    assert sum(counts.values()) == 7
    [newest] = page["refused"]
    assert newest["reason"] in counts
    assert json.loads(newest["excerpt"])["kind"] == "nothing"


def test_listed_events_are_the_entries_of_the_log(listed: World) -> None:
    entries = listed.components("operator_1").log.entries()

    events = listed.get("operator_1", "/events?limit=1000").json()["events"]

    assert [decode(each["event"]) for each in events] == [entry.event for entry in entries]
    assert [each["ledger_time"] for each in events] == [entry.ledger_time for entry in entries]


def test_a_page_of_events_is_bounded_in_bytes(
    listed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = listed.get("operator_1", "/events").json()["events"]
    for most in (1, 1000, 2500):
        monkeypatch.setattr(operator_events, "MAX_PAGE_BYTES", most)
        found = list(pages(lambda p: listed.get("operator_1", p), "/events", "events", 100))

        assert [entry for page in found for entry in page] == whole
        assert len(found) > 1
        assert all(len(page) == 1 or len(canonical(page)) <= most + 100 for page in found)
