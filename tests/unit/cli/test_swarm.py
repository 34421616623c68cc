"""The stack file that `dragon swarm` writes for Docker Swarm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from dragon_cli.fleet.create import Plan, Ports, make_fleet
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.swarm import STACK, Swarm
from dragon_cli.main import main

COMPOSE: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parents[3] / "docker-compose.yml").read_text()
)["services"]
SERVICES = {
    *("sequencer", "operator-1", "operator-2", "operator-3", "operator-4", "aggregator"),
    *("zkp-api", "zkp-api-2", "stream-api", "stream-api-2", "explorer"),
}


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as done:
        main(list(arguments))
    return int(done.value.code or 0)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A fleet for containers, with two provers and two stream services."""
    found = Home(tmp_path / "fleet")
    ports = Ports(prover=5200, streams=5300, explorer=5400)
    plan = Plan(containers=True, provers=2, stream_services=2, ports=ports)
    make_fleet(found, plan, genesis=1_800_000_000)
    return found


def stack(home: Home, **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(Swarm(home, **options).text())
    return found


def test_every_service_of_the_fleet_is_in_the_stack(home: Home) -> None:
    made = stack(home)["services"]

    assert set(made) == SERVICES
    assert made["operator-3"]["command"] == ["serve", "operator", "--id", "operator_3"]
    assert made["stream-api-2"]["command"] == ["serve", "stream", "--name", "stream_api_2"]
    assert made["zkp-api-2"]["environment"]["DRAGON_PORT"] == "5201"


def test_a_service_has_the_image_memory_and_kernels_of_the_compose_file(home: Home) -> None:
    """Of which the further services are copies."""
    for name, service in stack(home)["services"].items():
        like = COMPOSE.get(name) or COMPOSE[name.removesuffix("-2")]
        assert service["image"] == like["image"]
        assert service["deploy"]["resources"]["limits"]["memory"] == like["mem_limit"].upper()
        kernels = [volume for volume in service["volumes"] if str(volume).endswith(":/kernels")]
        assert kernels == [f"{name}-kernels:/kernels"] * (
            like["volumes"][-1].endswith("-kernels:/kernels")
        )


def test_a_service_has_its_own_keys_and_no_others(home: Home) -> None:
    made = stack(home)

    for name, service in made["services"].items():
        folder = f"/fleet/keys/{name.replace('-', '_')}/"
        for secret in service.get("secrets", []):
            assert secret["target"].startswith(folder)
            assert (secret["uid"], secret["mode"]) == ("10001", 0o400)
            file = home.path / made["secrets"][secret["source"]]["file"]
            assert file.read_bytes()
    assert {name for name, each in made["services"].items() if "secrets" not in each} == {
        *("aggregator", "explorer")
    }
    assert not any("sources" in name or "ca-key" in name for name in made["secrets"])


def test_no_secret_stands_in_the_stack_file(home: Home) -> None:
    text = Swarm(home).text()

    for file in home.keys.glob("*/*"):
        assert file.read_text().strip() not in text


def test_a_changed_key_gets_another_name(home: Home) -> None:
    before = set(stack(home)["secrets"])
    home.password("operator_1").write_text("another password\n")

    changed = before ^ set(stack(home)["secrets"])

    assert len(changed) == 2
    assert all(name.startswith("operator_1-password-") for name in changed)


def test_a_service_with_data_stops_before_its_successor_starts(home: Home) -> None:
    for name, service in stack(home)["services"].items():
        order = service["deploy"]["update_config"]["order"]
        has_data = any("-data:" in str(volume) for volume in service["volumes"])
        assert order == ("stop-first" if has_data else "start-first")
        assert has_data != name.startswith("zkp-api")
        assert service["deploy"]["replicas"] == 1


def test_a_service_is_healthy_before_it_reaches_others(home: Home) -> None:
    """Swarm gives a service its name only then, and `/readyz` of operators needs those names."""
    for service in stack(home)["services"].values():
        assert service["healthcheck"]["test"][-2:] == ["--path", "/healthz"]


def test_only_published_services_open_a_port(home: Home) -> None:
    made = stack(home, published=("explorer",))["services"]

    assert {name for name, service in made.items() if "ports" in service} == {"explorer"}
    assert made["explorer"]["ports"] == [{"target": 5400, "published": 5400, "mode": "host"}]


def test_provers_are_in_a_network_without_a_way_out(home: Home) -> None:
    made = stack(home)

    assert made["services"]["zkp-api-2"]["networks"] == ["proofs"]
    assert made["networks"]["proofs"]["internal"] is True


def test_pinned_services_run_where_their_data_is(home: Home) -> None:
    made = stack(home, pinned=True)["services"]

    constraints = made["operator-2"]["deploy"]["placement"]["constraints"]
    assert constraints == ["node.labels.datadragon.operator_2 == true"]
    assert "placement" not in made["zkp-api"]["deploy"]


def test_the_command_writes_the_file_again(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("swarm", "--home", str(home.path)) == 0
    assert run("swarm", "--home", str(home.path), "--publish", "explorer", "--json") == 0

    assert str(home.path / STACK) in capsys.readouterr().out
    assert "published" in (home.path / STACK).read_text()


def test_an_unknown_service_is_refused(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("swarm", "--home", str(home.path), "--publish", "webserver") == 2
    assert "`--publish` webserver is no service" in capsys.readouterr().err


def test_a_fleet_that_is_not_for_containers_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = Home(tmp_path / "fleet")
    make_fleet(home, Plan(), genesis=1_800_000_000)

    assert run("swarm", "--home", str(home.path)) == 2
    assert "dragon init --containers" in capsys.readouterr().err
    assert not (home.path / STACK).exists()


def test_the_json_document_names_the_services(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("swarm", "--home", str(home.path), "--json") == 0

    told = json.loads(capsys.readouterr().out)
    assert {name.replace("_", "-") for name in told["services"]} == SERVICES
