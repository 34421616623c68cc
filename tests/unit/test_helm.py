"""The Helm chart, linted and rendered by Helm's own engine. No cluster has run it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import helm_python as helm
import pytest
import yaml

from dragon_cli.fleet.create import Plan, Ports, make_fleet
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.swarm import Swarm, host

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "datadragon"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
Manifests = dict[tuple[str, str], Any]


def render(values: dict[str, Any] | None = None) -> Manifests:
    """All manifests, by kind and name."""
    with helm.Chart.load(str(CHART)) as chart:
        texts = chart.render(values or {}, name="test", namespace="default").values()
    found = [each for text in texts for each in yaml.safe_load_all(text) if each]
    return {(each["kind"], each["metadata"]["name"]): each for each in found}


def pods(manifests: Manifests) -> dict[str, Any]:
    kinds = ("StatefulSet", "Deployment")
    return {
        name: manifest["spec"]["template"]["spec"]
        for (kind, name), manifest in manifests.items()
        if kind in kinds
    }


def test_the_chart_is_clean() -> None:
    found = helm.lint(str(CHART))

    assert found["errors"] == []
    assert [each["error"] for each in found["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize("tls", [False, True])
def test_every_service_of_a_fleet_has_its_host_name_port_and_keys(
    tmp_path: Path, tls: bool
) -> None:
    home = Home(tmp_path / "fleet")
    ports = Ports(prover=5200, streams=5300, explorer=5400)
    make_fleet(home, Plan(containers=True, ports=ports, tls=tls), genesis=1_800_000_000)
    manifests = render({"fleet": {"tls": tls}})

    urls = Swarm(home).services()

    assert set(pods(manifests)) == {host(name) for name in urls}
    for name, url in urls.items():
        [port] = manifests["Service", host(name)]["spec"]["ports"]
        assert port["port"] == urlsplit(url).port
    for name, pod in pods(manifests).items():
        folder = home.keys / name.replace("-", "_")
        assert any(each["name"] == "keys" for each in pod["volumes"]) == folder.exists()
        paths = [each["mountPath"] for each in pod["containers"][0]["volumeMounts"]]
        assert (f"/fleet/keys/{folder.name}" in paths) == folder.exists()


def test_a_pod_is_confined_and_has_only_its_own_keys() -> None:
    found = pods(render())

    assert found
    for name, pod in found.items():
        check_confined(name, pod)


def check_confined(name: str, pod: Any) -> None:
    [container] = pod["containers"]
    folder = name.replace("-", "_")

    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    for mount in container["volumeMounts"]:
        if mount["mountPath"].startswith(("/fleet/keys", "/fleet/data")):
            assert mount["mountPath"].endswith(f"/{folder}")
    secrets = [each["secret"]["secretName"] for each in pod["volumes"] if "secret" in each]
    assert secrets in ([], [f"datadragon-{name}"])


@pytest.mark.parametrize("name", sorted(pods(render())))
def test_command_and_image_are_those_of_the_compose_file(name: str) -> None:
    [container] = pods(render())[name]["containers"]
    service = COMPOSE[name]

    command = [
        word for word in container["args"] if word not in {"--name", "zkp_api", "stream_api"}
    ]
    assert command == service["command"]
    assert container["image"].rpartition(":")[0] == (
        "datadragon/zkp" if "/zkp:" in service["image"] else "datadragon/api"
    )
    memory = container["resources"]["limits"]["memory"]
    assert memory.lower() == f"{service['mem_limit']}i"


def test_a_service_with_data_is_never_two_processes() -> None:
    manifests = render()

    for (kind, name), manifest in manifests.items():
        if kind == "StatefulSet":
            assert manifest["spec"]["replicas"] == 1
            assert manifest["spec"]["volumeClaimTemplates"]
        elif kind == "Deployment":
            assert name == "zkp-api"


def test_an_operator_that_sees_no_others_is_not_restarted() -> None:
    for pod in pods(render()).values():
        [container] = pod["containers"]
        for probe in ("livenessProbe", "startupProbe"):
            assert container[probe]["exec"]["command"][-2:] == ["--path", "/healthz"]
        assert "--path" not in container["readinessProbe"]["exec"]["command"]


def test_only_stream_services_reach_provers() -> None:
    policy = render()["NetworkPolicy", "test-provers"]["spec"]

    assert policy["podSelector"]["matchLabels"]["datadragon/kind"] == "zkp"
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert "egress" not in policy
    [[source]] = [rule["from"] for rule in policy["ingress"]]
    assert source["podSelector"]["matchLabels"]["datadragon/kind"] == "stream"


def test_further_services_are_added_by_values() -> None:
    added = {
        "zkp-api-2": {"kind": "zkp", "port": 5201, "keys": True},
        "aggregator-1": {"kind": "aggregator", "port": 5101, "keys": False},
    }
    made = pods(render({"services": added}))

    assert made["zkp-api-2"]["containers"][0]["args"] == ["serve", "zkp", "--name", "zkp_api_2"]
    assert made["aggregator-1"]["containers"][0]["args"] == ["serve", "aggregator", "--rank", "1"]
    assert set(made) >= {"operator-1", "explorer"}


def test_tls_mounts_the_authority() -> None:
    [container] = pods(render({"fleet": {"tls": True}}))["operator-1"]["containers"]

    assert "/fleet/ca.crt" in [each["mountPath"] for each in container["volumeMounts"]]


@pytest.mark.parametrize(
    "service",
    [
        {"kind": "webserver", "port": 80, "keys": False},
        {"kind": "operator", "port": 0, "keys": True},
        {"kind": "operator", "port": 5005},
    ],
)
def test_values_that_no_service_can_have_are_refused(service: dict[str, Any]) -> None:
    with helm.Chart.load(str(CHART)) as chart, pytest.raises(helm.HelmError):
        chart.validate_schema({"services": {"operator-5": service}})
