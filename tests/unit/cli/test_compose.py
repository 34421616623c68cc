"""The compose files, and the override that `dragon init --compose` writes."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from dragon_cli.fleet.compose import INCLUDED, OVERRIDE, override, threads_for
from dragon_cli.main import main

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES: list[str] = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
BASE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SOURCES = ("source-sensor", "source-ticker")
VERIFYING = {"operator", "aggregator", "explorer", "stream", "zkp"}  # many proofs


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as done:
        main(list(arguments))
    return int(done.value.code or 0)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_operators_in_override_and_compose_file_are_equal() -> None:
    """Except for the number."""
    made = yaml.safe_load(override(5, {}))["services"]["operator-5"]
    renamed = yaml.safe_load(
        yaml.safe_dump(made)
        .replace("5005", "5004")
        .replace("operator-5", "operator-4")
        .replace("operator_5", "operator_4")
        .replace("OPERATOR_5", "OPERATOR_4")
    )

    assert renamed == BASE["services"][f"operator-{INCLUDED}"]


@pytest.mark.parametrize("operators", [3, 4, 5, 7, 64])
def test_every_operator_has_volumes_for_keys_data_and_kernels(operators: int) -> None:
    over = yaml.safe_load(override(operators, {"operators": operators}))
    services = BASE["services"] | over["services"]
    volumes = BASE["volumes"] | over.get("volumes", {})
    made = BASE["services"]["init"]["volumes"] + over["services"]["init"].get("volumes", [])

    assert over["services"]["init"]["environment"] == {"DRAGON_INIT_OPERATORS": str(operators)}
    running = {
        int(name.removeprefix("operator-"))
        for name, service in services.items()
        if name.startswith("operator") and "left-out" not in service.get("profiles", [])
    }
    assert running == set(range(1, operators + 1))
    for number in running:
        kinds = ("keys", "data", "kernels")
        assert {f"operator-{number}-{kind}" for kind in kinds} <= set(volumes)
        assert f"operator-{number}-keys:/fleet/keys/operator_{number}" in made


def test_a_service_waits_for_the_keys_and_for_no_other_service() -> None:
    """One broken operator must not keep the aggregator from starting."""
    once = {"init": {"condition": "service_completed_successfully"}}
    waits = {name: service.get("depends_on") for name, service in BASE["services"].items()}
    assert waits.pop("init") is None
    assert all(found == once for found in waits.values())


def test_every_container_has_limits_of_memory_swap_and_processor() -> None:
    for service in BASE["services"].values():
        assert service["mem_limit"] == service["memswap_limit"]  # so it never swaps
        assert service["cpu_quota"] in (100_000, 200_000)


def test_the_override_is_written_and_not_overwritten(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        run("init", "--operators", "7", "--round-seconds", "3", "--name", 'a "$b" 😀', "--compose")
        == 0
    )
    written = (folder / OVERRIDE).read_text()
    environment = yaml.safe_load(written)["services"]["init"]["environment"]

    assert environment["DRAGON_INIT_OPERATORS"] == "7"
    assert environment["DRAGON_INIT_ROUND_SECONDS"] == "3"
    assert environment["DRAGON_INIT_NAME"] == 'a "$$b" 😀'  # compose replaces $$ by $
    assert sorted(path.name for path in folder.iterdir()) == [OVERRIDE]  # no key was created

    assert run("init", "--operators", "3", "--compose") == 2
    assert "override_exists" in capsys.readouterr().err
    assert (folder / OVERRIDE).read_text() == written


@pytest.mark.parametrize("options", [["--base-port", "6000"], ["--nodes-file", "nodes.json"]])
def test_options_that_the_override_does_not_support_are_wrong_usage(
    folder: Path, options: list[str]
) -> None:
    (folder / "nodes.json").write_text("{}")

    assert run("init", "--compose", *options) == 2
    assert not (folder / OVERRIDE).exists()


@pytest.mark.parametrize("name", [file.name for file in ROOT.glob("docker-compose*.yml")])
def test_a_compose_file_serves_both_generations_of_compose(name: str) -> None:
    read = yaml.safe_load((ROOT / name).read_text())
    assert not {"version", "name"} & set(read)


def test_only_the_listed_ports_are_published_and_on_loopback() -> None:
    published = {name: service.get("ports", []) for name, service in BASE["services"].items()}

    assert published.pop("init") == []
    assert published.pop("sequencer") == ["127.0.0.1:${SEQUENCER_PORT:-6001}:6001"]
    ports = {"aggregator": ("AGGREGATOR", 5100), "stream-api": ("STREAM", 5300)}
    ports["explorer"] = ("EXPLORER", 5400)
    ports |= {f"operator-{n}": (f"OPERATOR_{n}", 5000 + n) for n in range(1, 5)}
    for name, (variable, port) in ports.items():
        on_host = f"${{BIND_ADDRESS:-127.0.0.1}}:${{{variable}_PORT:-{port}}}"
        assert published.pop(name) == [f"{on_host}:{port}"]
    assert published == {"zkp-api": [], **{name: [] for name in SOURCES}}


def test_the_override_for_alerts_gives_only_the_explorer_a_way_out() -> None:
    over = yaml.safe_load((ROOT / "docker-compose.alerts.yml").read_text())

    assert set(over["services"]) == {"explorer"}
    explorer = over["services"]["explorer"]
    assert set(explorer) == {"environment", "pids_limit", "networks", "volumes"}
    assert explorer["networks"] == ["fleet", "alerts"]
    assert all(mount["read_only"] for mount in explorer["volumes"])
    assert over["networks"] == {"alerts": {}}
    assert sorted(explorer["networks"])[0] == "alerts"  # Docker's choice for the default route


def test_only_the_stream_service_is_in_the_provers_network() -> None:
    networks = {name: service.get("networks", []) for name, service in BASE["services"].items()}

    assert BASE["networks"]["proofs"] == {"internal": True}
    assert networks.pop("init") == []
    assert networks.pop("zkp-api") == ["proofs"]
    assert networks.pop("stream-api") == ["fleet", "proofs"]
    assert all(found == ["fleet"] for found in networks.values())


def test_volumes_of_keys_and_data_belong_to_one_service() -> None:
    """Except for the token that the sources share. Only `init` writes keys."""
    users: dict[str, set[str]] = {}
    for name, service in BASE["services"].items():
        for volume, path, *mode in (mount.split(":") for mount in service["volumes"]):
            assert volume in BASE["volumes"]
            if name == "init":
                continue
            users.setdefault(volume, set()).add(name)
            assert mode == (["ro"] if path.startswith("/fleet/keys") or path == "/fleet" else [])
    made = {mount.split(":")[0] for mount in BASE["services"]["init"]["volumes"]}

    assert users.pop("sources-keys") == set(SOURCES)
    assert users.pop("fleet") == set(BASE["services"]) - {"init"}
    for volume, names in users.items():
        [name] = names
        assert volume in (f"{name}-keys", f"{name}-data", f"{name}-kernels")
    assert {volume for volume in users if volume.endswith("-keys")} <= made


def test_both_images_contain_the_mount_point_of_every_volume() -> None:
    """A folder in the image gives the volume its owner."""
    listed = re.findall(r"for service in (.*) \$\(seq", (ROOT / "Dockerfile").read_text())
    folders = set(" ".join(listed).split()) | {f"operator_{n}" for n in range(1, 65)}
    for service in BASE["services"].values():
        for mount in service["volumes"]:
            path = Path(mount.split(":")[1])
            assert path.name in folders | {"fleet", "kernels"}


WINDOW_BYTES = 91_000  # header, chunk headers and proof of a window of up to 63 chunks
READINGS_WINDOW_BYTES = 93_000
ENTRY_BYTES = 1700  # of a log
MESSAGE_BYTES = 105  # with what its place takes


def options_of(source: str) -> dict[str, str]:
    command = BASE["services"][source]["command"]
    return dict(zip(command[2::2], command[3::2], strict=True))


def test_the_disk_usage_of_the_sources_is_bounded_and_documented() -> None:
    services, windows, messages = BASE["services"], [], 0
    for name in SOURCES:
        options = options_of(name)
        seconds = int(options["--window-ms"]) // 1000
        assert float(options["--rate"]) * seconds <= 62  # one more may be carried
        assert options["--retention-seconds"] == "86400"
        windows.append(86_400 // seconds)
        messages += round(86_400 * float(options["--rate"]))
    operators = [services[f"operator-{n}"]["environment"] for n in range(1, 5)]
    quotas = [int(environment["OPERATOR_OBJECTS_MB"]) for environment in operators]
    quotas.append(int(services["aggregator"]["environment"]["AGGREGATOR_OBJECTS_MB"]))

    sizes = (READINGS_WINDOW_BYTES, WINDOW_BYTES)  # the sensor's windows have readings
    a_day = sum(count * size for count, size in zip(windows, sizes, strict=True))
    objects = 6 * a_day  # at operators, aggregator and stream service
    logs = 7 * 2 * sum(windows) * ENTRY_BYTES  # a checkpoint a minute; at the sequencer, too
    total = objects + logs + messages * MESSAGE_BYTES
    assert total < 0.95e9
    assert sum(quotas) * 1_000_000 + 2 * a_day < 2.6e9  # at any time, a day's retention included

    comment = (ROOT / "docker-compose.yml").read_text()
    counted = zip(windows, sizes, strict=True)
    stated = (f"{count} windows of {size // 1000} KB" for count, size in counted)
    assert " + ".join(stated) in comment
    for size in (objects, logs, messages * MESSAGE_BYTES):
        assert f" {size / 1e6:.0f} MB\n" in comment
    assert f" {total / 1e9:.2f} GB\n" in comment
    assert f"{total / 1e9:.2f} GB per day" in (ROOT / "docs/operating.md").read_text()


def test_the_thread_limit_of_the_aggregator_grows_with_the_operators() -> None:
    assert BASE["services"]["aggregator"]["pids_limit"] == threads_for(INCLUDED)
    over = yaml.safe_load(override(7, {"operators": 7}))["services"]
    assert over["aggregator"] == {"pids_limit": threads_for(7)}
    assert "aggregator" not in yaml.safe_load(override(3, {"operators": 3}))["services"]


OWN_HOST = {
    name: yaml.safe_load((ROOT / f"docker-compose.{name}.yml").read_text())
    for name in ("operator", "aggregator", "stream")
}
# By service in a compose file for one host: the same service in the demonstration.
COUNTERPARTS = {
    "operator": "operator-1",
    "aggregator": "aggregator",
    "stream-api": "stream-api",
    "zkp-api": "zkp-api",
}


@pytest.mark.parametrize("file", OWN_HOST)
def test_a_service_on_its_own_host_is_restricted_as_in_the_demonstration(file: str) -> None:
    for name, service in OWN_HOST[file]["services"].items():
        like = BASE["services"][COUNTERPARTS[name]]
        same = ("image", "init", "read_only", "cap_drop", "security_opt", "mem_limit", "logging")
        same += ("memswap_limit", "cpu_quota", "restart", "stop_grace_period")
        assert {each: service[each] for each in same} == {each: like[each] for each in same}
        assert service["pids_limit"] >= like["pids_limit"]
        assert service["user"].startswith("${DRAGON_UID:?")  # there is no default, such as root
        assert service["environment"]["DRAGON_PORT"] == like["environment"]["DRAGON_PORT"]
        assert run(*service["command"][:2], "--help") == 0


@pytest.mark.parametrize("file", OWN_HOST)
def test_a_service_on_its_own_host_sees_one_folder_of_keys_and_one_of_data(file: str) -> None:
    for service in OWN_HOST[file]["services"].values():
        mounts = {target: mode for _, target, *mode in map(_parts, service["volumes"])}
        keys = [target for target in mounts if target.startswith("/fleet/keys/")]
        assert len(keys) == 1
        assert all(
            mode == ["ro"]
            for target, mode in mounts.items()
            if not target.startswith(("/fleet/data/", "/kernels"))
        )
        if "/fleet" in mounts:  # empty folders hide what other services of the host have there
            hidden = {mount.split(":")[0] for mount in service["tmpfs"]}
            assert {"/fleet/keys", "/fleet/data"} <= hidden


def _parts(mount: str) -> list[str]:
    assert mount.startswith("./fleet")
    return mount.split(":")


def test_on_its_own_host_only_the_stream_service_reaches_the_prover() -> None:
    stream = OWN_HOST["stream"]
    assert stream["networks"] == {"proofs": {"internal": True}}
    assert stream["services"]["zkp-api"]["networks"] == ["proofs"]
    assert "ports" not in stream["services"]["zkp-api"]
    assert stream["services"]["stream-api"]["networks"] == ["default", "proofs"]


def test_every_setting_of_the_example_is_used_and_every_needed_one_is_in_it() -> None:
    example = (ROOT / "deploy" / "host.env.example").read_text()
    given = set(re.findall(r"^#?([A-Z_]+)=", example, re.MULTILINE))
    texts = [(ROOT / f"docker-compose.{name}.yml").read_text() for name in OWN_HOST]
    used = {found for text in texts for found in re.findall(r"\$\{([A-Z_]+)", text)}
    reference = (ROOT / "docs" / "reference.md").read_text()

    built_in = {"IMAGE_PREFIX", "TAG", "BASE_IMAGE"}  # docs/operating.md describes them
    assert used - built_in <= given
    for name in given - used - {"COMPOSE_FILE", "COMPOSE_PROJECT_NAME"}:
        assert f"| `{name}` |" in reference
    for file in re.findall(r"docker-compose\.\w+\.yml", example):
        assert (ROOT / file).exists()


def test_every_command_in_the_compose_file_exists() -> None:
    for service in BASE["services"].values():
        command, *options = service["command"]
        assert run(command, *options, "--help") == 0


def test_each_image_is_a_target_of_the_one_dockerfile_and_of_its_own_script() -> None:
    stages = re.findall(r"^FROM \S+ AS (\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    built = {
        service["image"].partition("/")[2].partition(":")[0]: service["build"]["target"]
        for service in BASE["services"].values()
        if "build" in service
    }

    assert built == {"api": "api", "zkp": "zkp"}
    assert stages[-1] == "zkp"  # a builder that builds every stage up to its target: not this one
    for name in built:
        assert name in stages
        assert f"docker build --target {name} " in (ROOT / f"build_{name}.sh").read_text()


def test_only_the_first_service_that_needs_an_image_builds_it() -> None:
    """docker-compose 1.29 creates services in this order, and pulls what it cannot build.

    Compose v2 builds for all services at the same time, and cannot give two results one name.
    """
    seen: set[str] = set()
    for service in BASE["services"].values():
        assert ("build" in service) == (service["image"] not in seen)
        seen.add(service["image"])


@pytest.mark.parametrize("file", ["demonstration", *OWN_HOST])
def test_services_that_verify_many_proofs_run_from_the_image_with_compiled_code(file: str) -> None:
    services = OWN_HOST.get(file, BASE)["services"]
    for service in services.values():
        verifies = service["command"][0] == "serve" and service["command"][1] in VERIFYING
        image = "zkp" if verifies else "api"
        assert service["image"] == f"${{IMAGE_PREFIX:-datadragon}}/{image}:${{TAG:-latest}}"
        assert service.get("build", {"target": image})["target"] == image


def test_an_operator_on_its_own_host_keeps_its_compiled_verifier_in_its_data_folder() -> None:
    """Kernels are used only from a folder of this user, which the image's own is not."""
    operator = OWN_HOST["operator"]["services"]["operator"]
    mounts = [target for _, target, *mode in map(_parts, operator["volumes"]) if not mode]

    assert operator["environment"]["NUMBA_CACHE_DIR"] == f"{mounts[0]}/kernels"
    assert mounts == ["/fleet/data/${OPERATOR_ID}"]


def test_only_the_image_with_compiled_code_installs_it() -> None:
    """The other one, of the `dragon` command, has half of the size."""
    text = (ROOT / "Dockerfile").read_text()
    stages = dict(re.findall(r"^FROM \S+ AS (\S+)$(.*?)(?=^FROM |\Z)", text, re.M | re.S))

    assert "/opt/venv" in stages["api"]
    assert "COPY --from=prover-build /opt/venv" in stages["zkp"]
    assert "requirements.txt" in stages["prover-build"]
    assert "prover-build" not in stages["api"]
    assert not re.search(r"(?<!-)requirements\.txt", stages["dependencies"] + stages["build"])


def test_the_dockerfile_needs_no_buildkit() -> None:
    text = (ROOT / "Dockerfile").read_text()
    for syntax in ("# syntax", "--mount", "<<", "COPY --link", "--chmod", "--exclude"):
        assert syntax not in text


def test_every_file_that_the_dockerfile_copies_is_in_its_context() -> None:
    allowed = set((ROOT / ".dockerignore").read_text().replace("!", "").splitlines())
    copied = re.findall(r"^COPY ([a-z].*) \./$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    named = {name for files in copied for name in files.split()}
    packages = {path.partition("/")[0] for path in PACKAGES}

    assert {"requirements-api.txt", "requirements.txt", "requirements-build.txt"} == named
    assert named | packages <= allowed


def test_the_image_contains_listed_files_only() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]

    assert rules[0] == "*"
    assert not any(re.search("key|data|fleet|git|tests", rule) for rule in rules)
