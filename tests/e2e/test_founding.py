"""docs/founding.md as written: organisations that share nothing found a network and change it."""

from __future__ import annotations

import json
import stat
import time
from collections.abc import Iterator
from typing import Any

import pytest

from dragon.encoding import to_hex
from dragon.protocol.lineage import Lineage
from dragon.protocol.streams.receipt import Receipt
from dragon.protocol.streams.receipt_verification import is_complete, verify_receipt
from organisations import DATA, FOUNDERS, OPERATORS, Organisations, organisations, short_ids
from stack import wait_until

pytestmark = [pytest.mark.docker, pytest.mark.timeout(240, func_only=True)]


@pytest.fixture(scope="module")
def founded(
    image: str, tmp_path_factory: pytest.TempPathFactory, report: list[str]
) -> Iterator[Organisations]:
    """Four organisations that have followed the page up to the start of their operators."""
    prefix, _, tag = image.partition("/api:")
    images = {"IMAGE_PREFIX": prefix, "TAG": tag}
    with organisations(tmp_path_factory.mktemp("organisations"), images) as made:
        made.follow("1. Make your key", *FOUNDERS)
        for name in FOUNDERS:
            made.send(name, f"{OPERATORS[name][0]}.member.json", *FOUNDERS)
        now = time.strftime("%Y-%m-%dT%H:%M:00Z", time.gmtime())
        seen = made.follow("3. Assemble the committee", *FOUNDERS, genesis=now)
        assert len(short_ids(seen)) == 1
        made.follow("4. Start", *FOUNDERS)
        took = wait_until(lambda: all_up(made), "all operators are certified up", 120)
        report.append(f"four organisations: all certified up {took:.1f} s after their start")
        yield made


def all_up(made: Organisations) -> bool:
    """Whether the logs of the founders have all of them as up."""
    try:
        logs = [made.get(name, "/nodes")["nodes"] for name in FOUNDERS]
    except OSError:
        return False
    return all([each["status"] for each in log] == ["up"] * len(FOUNDERS) for log in logs)


def test_the_first_certificate_is_verified_with_the_committee_file(founded: Organisations) -> None:
    for text in founded.follow("5. The first certificate", "alpha", "delta").values():
        assert "verified: operator_" in text
        assert "certified by " in text


def test_nobody_holds_anothers_key(founded: Organisations) -> None:
    own = {"keystore.json", "password", "member.json", "tls.crt", "tls.key"}
    secrets = {}
    for name in FOUNDERS:
        operator, _ = OPERATORS[name]
        keys = founded.host(name).folder / "fleet" / "keys"
        others = {"aggregator/tls.crt", "aggregator/tls.key"} if name == "alpha" else set()
        held = {str(path.relative_to(keys)) for path in keys.rglob("*") if path.is_file()}
        assert held == {f"{operator}/{file}" for file in own} | others
        for file in ("keystore.json", "password", "tls.key"):
            path = keys / operator / file
            secrets[path.read_text().strip()] = path
        assert stat.S_IMODE((keys / operator / "password").stat().st_mode) == 0o600

    for name in FOUNDERS:
        host = founded.host(name)
        for path in host.files():
            content = path.read_bytes()
            for secret, origin in secrets.items():
                assert host.folder in origin.parents or secret.encode() not in content, path


def test_a_container_sees_its_own_keys_and_data_only(founded: Organisations) -> None:
    def files(service: str, folder: str) -> set[str]:
        listed = founded.run("alpha", "find", folder, "-type", "f", service=service)
        return {path.rpartition("/")[0] for path in listed.split()}

    assert files("operator", "/fleet/keys") == {"/fleet/keys/operator_1"}
    assert files("aggregator", "/fleet/keys") == {"/fleet/keys/aggregator"}
    assert files("operator", "/fleet/data") == {"/fleet/data/operator_1"}
    assert files("aggregator", "/fleet/data") == {"/fleet/data/aggregator"}


def test_projects_share_no_network_no_volume_and_no_folder(founded: Organisations) -> None:
    mounted: dict[str, str] = {}
    networks: dict[str, str] = {}
    for name in FOUNDERS:
        attrs = founded.container(name).attrs
        for mount in attrs["Mounts"]:
            assert mount["Type"] == "bind"
            assert mount["Source"].startswith(f"{founded.host(name).folder}/fleet")
            assert mounted.setdefault(mount["Source"], name) == name
        for network in attrs["NetworkSettings"]["Networks"]:
            assert networks.setdefault(network, name) == name
        assert attrs["HostConfig"]["ReadonlyRootfs"]
        assert attrs["HostConfig"]["CapDrop"] == ["ALL"]
        assert attrs["Config"]["User"].split(":")[0] not in ("", "0", "root")
    assert len(networks) == len(FOUNDERS)


@pytest.fixture(scope="module")
def streaming(founded: Organisations) -> Iterator[str]:
    """The name of a stream into which messages flow while the committee changes."""
    founded.send("alpha", "committee.json", DATA)
    seen = founded.follow("6. A stream service", DATA, blocks=slice(0, 2))
    founded.copy_kernels(DATA)
    founded.follow("6. A stream service", DATA, blocks=slice(2, 3))
    assert "Give fleet/keys/sources/token to those who may create streams." in seen[DATA]
    wait_until(lambda: founded.is_healthy(DATA, "stream-api"), "the stream service is ready", 180)
    command = "exec dragon source ticker --stream running --rate 2 --window-ms 3000 --home fleet"
    with founded.host(DATA).background(f"{command} --url https://data.example:5300"):
        yield "running"


def test_whoever_owns_data_streams_it_and_verifies_a_receipt(
    founded: Organisations, streaming: str
) -> None:
    assert streaming
    seen = founded.follow("6. A stream service", DATA, blocks=slice(3, None))

    assert "The data existed no later than" in seen[DATA]
    keys = founded.host(DATA).folder / "fleet" / "keys"
    assert {path.name for path in keys.iterdir()} == {"stream_api", "zkp_api", "sources"}


def has_handed_over(made: Organisations, *names: str) -> bool:
    """Whether these logs have a checkpoint by the committee that has been approved."""
    certified = [made.get(name, "/lineage")["checkpoint"] for name in names]
    following = to_hex(made.next_committee(made.host(names[0])).id)
    return {each["committee"] for each in certified if each} == {following}


def epochs(made: Organisations, *names: str) -> set[int]:
    return {made.get(name, "/committee")["epoch"] for name in names}


def test_four_become_five_rotate_one_drop_one(
    founded: Organisations, streaming: str, report: list[str]
) -> None:
    """While data streams, and while one operator is down."""
    founded.container("gamma").stop(timeout=20)
    others = [name for name in FOUNDERS if name != "gamma"]

    # Epsilon joins.
    joined = [*others, "epsilon"]
    founded.follow("1. Make your key", "epsilon")
    founded.send("epsilon", "operator_5.member.json", "alpha")
    founded.send("alpha", "committee.json", "epsilon")
    founded.follow("4. Start", "epsilon")
    wait_until(lambda: founded.is_healthy("epsilon"), "the newcomer follows", 120)
    assert founded.get("epsilon", "/committee")["epoch"] == 0
    founded.follow("Joining", *joined, blocks=slice(0, 3))
    took = wait_until(lambda: has_handed_over(founded, *joined), "the five certify", 120)
    seen = founded.follow("Joining", *joined, blocks=slice(3, None))
    assert all("Epoch 0 → 1" in text for text in seen.values())
    report.append(f"the five had certified a checkpoint {took:.1f} s after the last approval")

    # Beta rotates its key, and Delta leaves.
    section = "Rotating a key, and leaving"
    founded.follow(section, *joined, blocks=slice(0, 2))
    founded.send("beta", "operator_2.member.json", "alpha")
    wait_until(lambda: founded.is_healthy("beta"), "the operator with two keys", 120)
    founded.follow(section, *joined, blocks=slice(2, 4))
    wait_until(lambda: has_handed_over(founded, *joined), "without delta, with a new key", 120)
    founded.follow(section, *joined, blocks=slice(4, None))

    # Gamma comes back to a committee that it has never approved.
    founded.container("gamma").start()
    remaining = ["alpha", "beta", "gamma", "epsilon"]
    wait_until(lambda: founded.is_healthy("gamma"), "the one that was down is ready", 120)
    wait_until(lambda: founded.identical(*remaining), "all logs are identical", 120)
    assert epochs(founded, *remaining) == {2}
    assert set(founded.get("gamma", "/committee")["seated"]) == {
        OPERATORS[name][0] for name in remaining
    }
    verify_on_the_command_line(founded, streaming)
    report.append(f"{verify_all_receipts(founded, streaming)} receipts of three epochs verified")


def verify_all_receipts(made: Organisations, name: str) -> int:
    """Verify the receipt of every chunk with nothing but the newest lineage. Returns how many.

    Chunks that no checkpoint covers yet are left out: the stream goes on.
    """
    lineage = Lineage.load((made.host(DATA).folder / "fleet" / "lineage.json").read_bytes())
    lineage.verify()
    path = stream_path(made, name)
    verified, epochs = 0, set()
    for window in made.get(DATA, f"{path}/windows?limit=1000")["windows"]:
        for chunk in range(window["first"], window["first"] + window["count"]):
            if window["state"] != "certified":
                continue
            receipt = Receipt.from_json(made.get(DATA, f"{path}/chunks/{chunk}/receipt"))
            if receipt.place is None and receipt.event.committee_id == lineage.newest.id:
                continue
            assert is_complete(verify_receipt(receipt, lineage)), chunk
            epochs.add(lineage.named(receipt.event.committee_id).epoch)
            verified += 1
    assert epochs == {0, 1, 2}
    return verified


def verify_on_the_command_line(made: Organisations, name: str) -> None:
    """Verify receipts of every epoch offline, as an owner would."""
    data = made.host(DATA)
    data.sh("dragon committee update --home fleet")
    for number, receipt in enumerate(receipts_of_all_epochs(made, name)):
        (data.folder / f"receipt-{number}.json").write_text(json.dumps(receipt))
    data.sh(
        "dragon receipt complete receipt-*.json --committee fleet/lineage.json --home fleet\n"
        "for file in receipt-*.json\n"
        "do dragon verify receipt $file --committee fleet/lineage.json; done"
    )


def stream_path(made: Organisations, name: str) -> str:
    [found] = [each for each in made.get(DATA, "/streams")["streams"] if each["name"] == name]
    return f"/streams/{found['stream']}"


def receipts_of_all_epochs(made: Organisations, name: str) -> list[Any]:
    """Return receipts from the first and last windows of each epoch, and one of the newest."""
    path = stream_path(made, name)
    chunks: dict[str, list[int]] = {}  # the first one of each certified window, by committee
    windows: set[int] = set()

    def receipt_of(chunk: int) -> Any:
        return made.get(DATA, f"{path}/chunks/{chunk}/receipt")

    def all_are_covered() -> bool:
        listed = made.get(DATA, f"{path}/windows?limit=1000")["windows"]
        for window in listed:
            if window["state"] == "certified" and window["number"] not in windows:
                windows.add(window["number"])
                committee = receipt_of(window["first"])["event"]["committee"]
                chunks.setdefault(committee, []).append(window["first"])
        return len(chunks) == 3 and "checkpoint" in receipt_of([*chunks.values()][-1][0])

    wait_until(all_are_covered, "windows of three committees are certified and covered", 120)
    *former, newest = chunks.values()
    chosen = [chunk for found in former for chunk in (found[0], found[-1])]
    return [receipt_of(chunk) for chunk in (*chosen, newest[0])]
