"""The compose file as it is, in real containers: broken in every way, and whole again each time."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from threading import Thread

import pytest
import requests

from dragon.log.audit import audit
from dragon.probing.prober import RESULT_TTL_SECONDS
from dragon.protocol.committee import Committee
from hostile_clients import ATTACKS, Clients, attack, probe
from stack import (
    HIDDEN,
    OPERATORS,
    PORTS,
    PROJECT,
    ROOT,
    SOURCES,
    Log,
    Stack,
    own_address,
    wait_until,
)

pytestmark = [pytest.mark.docker, pytest.mark.timeout(240, func_only=True)]

STALL = 10.0  # seconds for which a service is stopped in the middle of what it does
ROUND = 2.0


def others(node: str) -> list[str]:
    return [name for name in OPERATORS if name != node]


# What a container is, before anything is broken.


def test_a_container_can_do_little_harm(stack: Stack, report: list[str]) -> None:
    def used(service: str) -> str:
        container = stack.container(service)
        host, config = container.attrs["HostConfig"], container.attrs["Config"]
        assert config["User"] == "dragon"
        assert host["ReadonlyRootfs"]
        assert host["CapDrop"] == ["ALL"]
        assert "no-new-privileges:true" in host["SecurityOpt"]
        assert host["Init"]
        assert host["RestartPolicy"]["Name"] == "unless-stopped"
        assert 0 < host["Memory"] <= 1280 << 20
        assert 0 < host["PidsLimit"] <= 384
        assert stack.run(service, "id", "-u") == (0, "10001\n")
        assert stack.run(service, "touch", "/opt/venv/x")[0] != 0
        memory = container.stats(stream=False, one_shot=True)["memory_stats"]
        return f"{service} {memory['usage'] / 2**20:.0f} MiB"

    report.append("memory: " + ", ".join(stack.of_each(used).values()))


def test_a_service_sees_its_own_keys_and_nobody_elses(stack: Stack) -> None:
    of_operator = ["keystore.json", "member.json", "password"]
    own = {name: (name.replace("-", "_"), of_operator) for name in OPERATORS}
    own["sequencer"] = "sequencer", ["keys.json"]
    own["zkp-api"] = "zkp_api", ["token"]
    own["stream-api"] = "stream_api", ["keystore.json", "password", "prover-token", "token"]
    own |= dict.fromkeys(SOURCES, ("sources", ["token"]))
    own["aggregator"] = "aggregator", []
    own["explorer"] = "explorer", []

    seen = stack.of_each(
        lambda service: stack.run(service, "find", "/fleet/keys", "-type", "f")[1].split()
    )
    for service, (folder, files) in own.items():
        assert sorted(seen.pop(service)) == [f"/fleet/keys/{folder}/{file}" for file in files]
    assert not seen


SECRETS = {  # and who has to know them
    "operator_1/password": ("operator-1",),
    "stream_api/password": ("stream-api",),
    "stream_api/token": ("stream-api", *SOURCES),
    "zkp_api/token": ("zkp-api", "stream-api"),
}


def secrets(stack: Stack) -> Iterator[tuple[str, tuple[str, ...]]]:
    for file, known_to in SECRETS.items():
        secret = stack.run(known_to[0], "cat", f"/fleet/keys/{file}")[1].strip()
        assert len(secret) > 20
        yield secret, known_to


def test_no_secret_is_on_a_volume_of_who_has_no_use_for_it(stack: Stack) -> None:
    def holds(secret: str, service: str) -> list[str]:
        search = "grep", "-rlasF", "--", secret, "/fleet", "/tmp", "/kernels"
        return stack.run(service, *search)[1].split()

    for secret, known_to in secrets(stack):
        for service, places in stack.of_each(partial(holds, secret)).items():
            assert len(places) == (service in known_to), (service, places)
            assert all(place.startswith("/fleet/keys/") for place in places)


def test_no_secret_is_in_the_image_or_in_what_a_container_is_told(stack: Stack, image: str) -> None:
    images = image, image.replace("/api:", "/zkp:")
    histories = [stack.engine.images.get(name).history() for name in images]
    containers = [container.attrs for container in stack.containers().values()]
    told = json.dumps([*histories, containers])

    assert not any(secret in told for secret, _ in secrets(stack))
    named = " -o ".join(f"-name {one}" for one in ("*.key", "password", "*.json", "*.db"))
    search = f"set -f; find /fleet /home /root /tmp -type f '(' {named} ')' 2>/dev/null || true"
    for name in images:
        leaked = stack.engine.containers.run(
            name,
            ["-c", search],
            entrypoint="sh",
            remove=True,
            labels={PROJECT: stack.project},
        )
        assert leaked == b""


def test_the_host_reaches_the_listed_ports_and_nothing_else(stack: Stack) -> None:
    listens = stack.of_each(lambda service: listening(stack, service))
    for service, container in stack.containers().items():
        bound = {
            inner: [(to["HostIp"], to["HostPort"]) for to in outer or []]
            for inner, outer in container.attrs["NetworkSettings"]["Ports"].items()
        }
        ports = {port for name, port in {**PORTS, **HIDDEN}.items() if name == service}
        assert listens[service] == ports
        published = {f"{port}/tcp": [("127.0.0.1", str(port))] for port in ports}
        assert bound == (published if service in PORTS else {})
        for port in ports:
            assert not is_open(own_address(), port), "published on every address of the host"


def listening(stack: Stack, service: str) -> set[int]:
    """Ports on which a container listens, but for the engine's own resolver on 127.0.0.11."""
    tables = [f"/proc/net/{table}" for table in ("tcp", "tcp6", "udp", "udp6")]
    ports = set()
    for line in stack.run(service, "cat", *tables)[1].splitlines():
        local, state = line.split()[1], line.split()[3]
        address, _, port = local.partition(":")
        if state in ("0A", "07") and not address.endswith("0B00007F"):
            ports.add(int(port, 16))
    return ports


def is_open(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((address, port)) == 0


def test_a_container_does_not_reach_beyond_its_network(stack: Stack) -> None:
    masquerade = "com.docker.network.bridge.enable_ip_masquerade"

    assert stack.network("proofs").attrs["Internal"]
    assert (
        stack.network("fleet").attrs["Options"][masquerade] == "false"
    )  # so no answer finds its way back
    script = "import socket; print(socket.getaddrinfo('a.root-servers.net', 80))"
    assert stack.run("operator-1", "python", "-c", script)[0] != 0


PROVE = """
import json, os, urllib.request
from dragon.stark.blocks import verify_window, window_outputs
from dragon.stark.commitment import commit, encode_output
from dragon.stark.ziggy import public_key
key, openings = os.urandom(32), [os.urandom(60) for _ in range(63)]
identity, commitments = encode_output(public_key(key)), [commit(one) for one in openings]
outputs = window_outputs(identity, commitments)
said = lambda one: "0x" + one.hex()
body = {"parameter_set": "standard",
        "statement": {"outputs": [said(one) for one in outputs], "message": "0x00"},
        "secrets": {"identity": said(key), "openings": [said(one) for one in openings]}}
token = open("/fleet/keys/zkp_api/token").read().strip()
asked = urllib.request.Request("http://127.0.0.1:5200/proofs", json.dumps(body).encode(),
                               {"Authorization": "Bearer " + token})
proof = bytes.fromhex(json.load(urllib.request.urlopen(asked, timeout=15))["proof"][2:])
verify_window("standard", identity, commitments, bytes(1), proof)
print(len(proof))
"""


def test_the_prover_proves_and_only_the_stream_service_reaches_it(stack: Stack) -> None:
    assert 60_000 < int(stack.python("zkp-api", PROVE)) < 100_000
    address = "zkp-api", HIDDEN["zkp-api"]
    script = f"import socket; socket.create_connection({address}, timeout=2)"
    codes = stack.of_each(lambda service: stack.run(service, "python", "-c", script)[0])
    assert {service for service, code in codes.items() if not code} == {"zkp-api", "stream-api"}


def test_every_command_works_beside_a_service(stack: Stack) -> None:
    code, printed = stack.run("operator-1", "dragon", "status", "--json")
    assert code == 0, printed
    assert '"up"' in printed
    code, printed = stack.run(
        "operator-1", "dragon", "verify", "log", "data/operator_1/operator.db"
    )
    assert (code, printed[:8]) == (0, "verified"), printed


# Faults, and how the other services handle them.


def test_a_killed_operator_is_certified_down_and_then_up(network: Stack, report: list[str]) -> None:
    network.container("operator-2").kill()
    took = network.wait_certified("operator-2", "down")
    size, root = network.wait_identical(others("operator-2"))
    event = network.get("operator-1", "/logs?node_id=operator_2&limit=500")["logs"][-1]
    assert event["status"] == "down"
    assert all(
        network.history(name, "operator-2")[-1][0] == "down" for name in others("operator-2")
    )

    network.container("operator-2").start()
    again = network.wait_certified("operator-2", "up")
    report.append(f"killed: down in three logs after {took:.1f} s, up after {again:.1f} s")
    after, later_root = network.wait_identical()
    assert (after > size, later_root != root) == (True, True)


ATTEST = """
import json, time, urllib.request, urllib.error
committee = json.load(open("/fleet/committee.json"))
begun, seconds = committee["genesis"], committee["round_seconds"]
claim = {"kind": "status", "node_id": "operator_1", "status": "down",
         "timestamp": begun + (int(time.time()) - begun) // seconds * seconds}
try:
    urllib.request.urlopen("http://127.0.0.1:5003/attestations", json.dumps(claim).encode(), 10)
    print("signed")
except urllib.error.HTTPError as error:
    print(json.load(error)["reason"])
"""


def test_an_operator_without_a_network_abstains_and_heals(network: Stack) -> None:
    name, victim = "operator-3", network.container("operator-3")
    [inside] = victim.attrs["NetworkSettings"]["Networks"]
    wire = network.engine.networks.get(inside)

    wire.disconnect(victim)
    try:
        # To it the whole world is down. It must not say so, once what it saw before is over.
        time.sleep(RESULT_TTL_SECONDS)
        assert network.python(name, ATTEST) == "blind"
        _, health = network.run(name, "python", "-m", "dragon.node.health")
        wait_until(
            lambda: "blind" in network.run(name, "python", "-m", "dragon.node.health")[1],
            f"it says that it is blind, not: {health}",
            20,
        )
        network.wait_certified(name, "down")
        network.wait_identical(others(name))
    finally:
        wire.connect(victim, aliases=[name])
    network.wait_certified(name, "up")
    for node in others(name):
        assert network.history("operator-1", node)[-1][0] == "up"
    network.wait_identical()


@pytest.mark.parametrize("service", ["aggregator", "sequencer"])
def test_nothing_is_lost_while_a_service_stands_still(network: Stack, service: str) -> None:
    """An operator dies meanwhile: with the sequencer stopped, the certificate waits for it."""
    before = {name: network.history(name, "operator-4") for name in others("operator-4")}
    with network.paused(service):
        network.container("operator-4").kill()
        time.sleep(STALL)
        went_on = int(time.time())
    network.wait_certified("operator-4", "down")
    network.wait_identical(others("operator-4"))

    network.start("operator-4")
    network.wait_certified("operator-4", "up")
    for name, known in before.items():
        now = network.history(name, "operator-4")
        assert now[: len(known)] == known
        assert [status for status, _ in now[len(known) :]] == ["down", "up"]
        if service == "sequencer":  # it was certified when it happened, not when it could be sent
            assert now[len(known)][1] < went_on


def test_a_stranger_on_a_nodes_name_is_not_that_node(network: Stack, image: str) -> None:
    victim = network.container("operator-2")
    [inside] = victim.attrs["NetworkSettings"]["Networks"]
    answer = requests.get("http://127.0.0.1:5002/status?nonce=0x" + "11" * 16, timeout=5).text
    victim.stop(timeout=8)

    stranger = network.engine.containers.create(
        image,
        ["-c", (ROOT / "tests/e2e/stranger.py").read_text(), "5002", answer],
        entrypoint="python",
        labels={PROJECT: network.project},
        network=inside,
    )
    try:
        wire = network.engine.networks.get(inside)
        wire.disconnect(stranger)
        wire.connect(stranger, aliases=["operator-2"])
        stranger.start()
        asked = (
            "import urllib.request as r; print(r.urlopen('http://operator-2:5002/status').status)"
        )
        wait_until(
            lambda: network.run("operator-1", "python", "-c", asked)[1] == "200\n",
            "the stranger answers on that name",
            15,
        )
        network.wait_certified("operator-2", "down")
        known = network.history("operator-1", "operator-2")
        time.sleep(5 * ROUND)
        assert network.history("operator-1", "operator-2") == known
    finally:
        stranger.remove(force=True)
    network.start("operator-2")


@pytest.mark.timeout(300, func_only=True)
@pytest.mark.parametrize("name", ["idle", "half_header", "slow_body"])
def test_clients_without_a_key_do_not_get_an_operator_certified_down(
    network: Stack, report: list[str], name: str
) -> None:
    before = {node: len(network.history("operator-2", node)) for node in OPERATORS}
    port = PORTS["operator-1"]
    hostile = Thread(
        target=asyncio.run, args=(attack(ATTACKS[name], Clients(port), 4 * ROUND, scale=0.3),)
    )

    hostile.start()
    probes = probe(port, 4 * ROUND)
    hostile.join()

    report.append(f"{name}: {len(probes.answered)} of {len(probes.results)} probes answered")
    assert probes.share >= 0.99
    network.wait_settled()
    assert before == {node: len(network.history("operator-2", node)) for node in OPERATORS}


def test_every_container_killed_in_turn_leaves_identical_and_valid_logs(
    network: Stack, tmp_path: Path, report: list[str]
) -> None:
    def said(operator: str, status: str) -> bool:
        return network.status(others(operator)[0], operator) == status

    begun, before = time.monotonic(), network.wait_identical()
    for name, operator in zip(
        ("sequencer", "aggregator", "zkp-api", "stream-api"), OPERATORS, strict=True
    ):
        # While an operator is going down, which is in flight when the other one dies. The next two
        # are killed as soon as one log shows what became of these, not when all do.
        network.container(name).kill()
        network.container(operator).kill()
        time.sleep(ROUND)
        network.container(name).start()
        for status in ("down", "up"):
            wait_until(partial(said, operator, status), f"{operator} {status} in one log", 45)
            if status == "down":
                network.container(operator).start()
    log = network.wait_settled()
    report.append(
        f"every container killed once: {log[0] - before[0]} events, "
        f"identical again after {time.monotonic() - begun:.0f} s"
    )
    assert log[0] >= before[0] + 2 * len(OPERATORS)  # down and up of each
    audited(network, tmp_path, log)


def audited(network: Stack, folder: Path, log: Log) -> None:
    """Every log, verified from its first entry, outside of the containers."""
    roots: list[Log] = []
    committee = Committee.load(
        network.copy("operator-1", "/fleet/committee.json", folder).read_bytes()
    )
    for name in OPERATORS:
        own = name.replace("-", "_")
        with network.paused(name):  # so that its files are of one moment
            copied = network.copy(name, f"/fleet/data/{own}", folder)
        verdict = audit(copied / "operator.db", committee)
        roots.append((verdict.size, "0x" + verdict.root.hex()))
    sizes = {size for size, _ in roots}
    assert len({log, *roots}) == len({log[0], *sizes}), "two roots at one size"
