"""docs/founding.md as written: organisations that share nothing found a network and change it."""

from __future__ import annotations

import stat
import time
from collections.abc import Iterator

import pytest

from organisations import FOUNDERS, OPERATORS, Organisations, organisations, short_ids
from stack import wait_until

pytestmark = [pytest.mark.docker, pytest.mark.timeout(240)]


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
        took = wait_until(lambda: all_up(made), "all operators are certified up", 60)
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
    for text in founded.follow("5. The first certificate", *FOUNDERS).values():
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
