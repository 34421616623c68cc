"""Several provers and stream services of one fleet: folders, keys, ports, settings, compose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from dragon.storage import keystore
from dragon_cli import services
from dragon_cli.fleet.compose import override
from dragon_cli.fleet.layout import Home, is_reserved, service_kind, service_number
from dragon_cli.fleet.processes import Fleet
from dragon_cli.fleet.settings import environment
from dragon_cli.main import main

ROOT = Path(__file__).parents[3]
BASE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as done:
        main([str(argument) for argument in arguments])
    return int(done.value.code or 0)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    path = tmp_path_factory.mktemp("several") / "fleet"
    options = ("--operators", "3", "--provers", "3", "--stream-services", "2", "--tls")
    assert run("init", "--home", path, *options) == 0
    return Home(path)


def settings(home: Home, service: str) -> dict[str, str]:
    return environment(home, service, host="127.0.0.1", port=1)


@pytest.mark.parametrize(
    ("name", "kind", "number"),
    [
        ("zkp_api", "zkp", 1),
        ("zkp_api_2", "zkp", 2),
        ("stream_api_16", "stream", 16),
        ("stream_api_1", "operator", 1),
        ("stream_api_02", "operator", 1),
        ("stream_api_2x", "operator", 1),
        ("explorer_2", "operator", 1),
    ],
)
def test_the_first_service_of_a_kind_has_no_number(name: str, kind: str, number: int) -> None:
    assert (service_kind(name), service_number(name)) == (kind, number)
    assert is_reserved(name) is (kind != "operator")


def test_further_services_have_the_next_ports(home: Home) -> None:
    assert home.provers() == {
        "zkp_api": "https://127.0.0.1:5200",
        "zkp_api_2": "https://127.0.0.1:5201",
        "zkp_api_3": "https://127.0.0.1:5202",
    }
    assert home.stream_services() == {
        "stream_api": "https://127.0.0.1:5300",
        "stream_api_2": "https://127.0.0.1:5301",
    }


def test_each_stream_service_has_its_own_key_and_tokens(home: Home) -> None:
    names = list(home.stream_services())
    keys = {
        keystore.load(home.keystore(name), home.password(name)).public_key().raw for name in names
    }
    tokens = [home.token(name).read_text() for name in names]
    assert len(keys) == len(set(tokens)) == 2
    assert [home.sources_token(name).read_text() for name in names] == tokens
    assert [home.sources_token(name).name for name in names] == ["token", "token_2"]


def test_all_provers_have_the_token_that_all_stream_services_send(home: Home) -> None:
    files = [home.token(name) for name in home.provers()]
    files += [home.prover_token(name) for name in home.stream_services()]
    assert len({file.read_text() for file in files}) == 1


def test_every_service_has_a_certificate(home: Home) -> None:
    for name in home.services():
        assert home.tls_certificate(name).exists(), name


def test_each_stream_service_gets_its_own_files_and_all_provers(home: Home) -> None:
    first, second = (settings(home, name) for name in home.stream_services())
    urls = "https://127.0.0.1:5200,https://127.0.0.1:5201,https://127.0.0.1:5202"
    assert first["STREAM_PROVER_URLS"] == second["STREAM_PROVER_URLS"] == urls
    for name in ("KEYSTORE", "PASSWORD_FILE", "TOKEN_FILE", "PROVER_TOKEN_FILE"):
        assert f"{home.keys}/stream_api_2/" in second[f"STREAM_{name}"]
        assert f"{home.keys}/stream_api/" in first[f"STREAM_{name}"]
    assert second["STREAM_DATABASE"] == f"{home.path}/data/stream_api_2/stream.db"
    assert second["STREAM_DATA"] == f"{home.path}/data/stream_api_2/streams"


def test_the_explorer_watches_all_stream_services(home: Home) -> None:
    urls = "https://127.0.0.1:5300,https://127.0.0.1:5301"
    assert settings(home, "explorer")["EXPLORER_STREAM_URLS"] == urls


def test_services_of_an_older_fleet_stay_when_more_are_added(tmp_path: Path) -> None:
    home = Home(tmp_path / "fleet")
    options = ("--home", home.path, "--operators", "3", "--tls", "--once")
    assert run("init", *options) == 0
    before = {
        path: path.read_bytes()
        for path in home.path.rglob("*")
        if path.is_file() and path != home.services_file
    }
    assert run("init", *options, "--provers", "2", "--stream-services", "2") == 0
    assert {path: path.read_bytes() for path in before} == before
    assert list(home.stream_services()) == ["stream_api", "stream_api_2"]
    assert list(home.provers()) == ["zkp_api", "zkp_api_2"]
    assert home.tls_certificate("stream_api_2").exists()
    assert home.token("zkp_api_2").read_text() == home.token("zkp_api").read_text()

    made = home.keystore("stream_api_2").read_bytes()
    assert run("init", *options) == 0  # with fewer, none is removed
    assert home.keystore("stream_api_2").read_bytes() == made
    assert len(home.stream_services()) == 2


def test_the_default_is_one_of_each(tmp_path: Path) -> None:
    path = tmp_path / "fleet"
    assert run("init", "--home", path, "--operators", "3") == 0
    assert json.loads((path / "services.json").read_text()) == {
        "zkp_api": "http://127.0.0.1:5200",
        "stream_api": "http://127.0.0.1:5300",
        "explorer": "http://127.0.0.1:5400",
    }


def test_ports_that_two_services_would_share_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--stream-services", "2", "--explorer-port", "5301")
    assert run("init", "--home", tmp_path / "fleet", *options) == 2
    assert "port 5301" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--provers", "--stream-services"])
@pytest.mark.parametrize("number", ["0", "17"])
def test_there_are_1_to_16_of_each(tmp_path: Path, option: str, number: str) -> None:
    assert run("init", "--home", tmp_path / "fleet", option, number) == 2


@pytest.mark.parametrize(
    ("service", "name", "listed"),
    [
        ("stream", "stream_api_9", "no stream service stream_api_9; it has stream_api, stream_api"),
        ("zkp", "zkp_api_9", "no prover zkp_api_9; it has zkp_api, zkp_api_2, zkp_api_3"),
    ],
)
def test_serve_refuses_a_service_that_the_fleet_does_not_have(
    home: Home,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    service: str,
    name: str,
    listed: str,
) -> None:
    monkeypatch.setattr(services, "service", lambda _: pytest.fail("it was started"))
    assert run("serve", service, "--name", name, "--home", home.path) == 1
    err = " ".join(capsys.readouterr().err.split())
    assert listed in err
    assert "services.json" in err


def test_serve_runs_a_named_service_where_no_list_of_services_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container that has only the files which its variables name."""
    served: list[dict[str, str]] = []
    monkeypatch.setattr(services, "service", lambda _: lambda environ: served.append(dict(environ)))
    assert run("serve", "stream", "--name", "stream_api_2", "--home", tmp_path) == 0
    assert served[0]["DRAGON_SERVICE"] == "stream_api_2"


def test_serve_runs_the_named_service(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[dict[str, str]] = []
    monkeypatch.setattr(services, "service", lambda _: lambda environ: served.append(dict(environ)))
    for name in ("DRAGON_PORT", "DRAGON_SERVICE", "STREAM_TOKEN_FILE", "ZKP_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    assert run("serve", "stream", "--name", "stream_api_2", "--home", home.path) == 0
    assert run("serve", "zkp", "--name", "zkp_api_3", "--home", home.path) == 0
    assert run("serve", "zkp", "--home", home.path) == 0

    stream, third, first = served
    assert [each["DRAGON_SERVICE"] for each in served] == ["stream_api_2", "zkp_api_3", "zkp_api"]
    assert stream["DRAGON_PORT"] == "5301"
    assert stream["STREAM_TOKEN_FILE"] == str(home.token("stream_api_2"))
    assert (third["DRAGON_PORT"], first["DRAGON_PORT"]) == ("5202", "5200")
    assert third["ZKP_TOKEN_FILE"] == str(home.token("zkp_api_3"))
    assert third["DRAGON_TLS_CERTFILE"] == str(home.tls_certificate("zkp_api_3"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("operator", "--id", "operator_1", "--name", "x"), "provers and stream services"),
        (("stream", "--name", "zkp_api_2"), "expected stream_api or stream_api_2"),
        (("zkp", "--name", "operator_1"), "expected zkp_api or zkp_api_2"),
    ],
)
def test_serve_refuses_a_name_of_another_kind(
    home: Home, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert run("serve", *arguments, "--home", home.path) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_a_local_fleet_runs_all_of_them(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []

    def spawn(_: Fleet, arguments: list[str], *_rest: object) -> object:
        started.append(arguments)
        return type("Process", (), {"pid": -1, "poll": lambda _: 0, "wait": lambda *_: 0})()

    monkeypatch.setattr(Fleet, "spawn", spawn)
    fleet = Fleet(home)
    names = ["zkp_api", "zkp_api_2", "zkp_api_3", "stream_api", "stream_api_2"]
    assert [name for name in fleet.addresses if name in names] == names
    for name in names:
        fleet.start(name)
    assert [each[1] for each in started] == ["zkp"] * 3 + ["stream"] * 2
    assert [each[6:] for each in started] == [
        [],
        ["--name", "zkp_api_2"],
        ["--name", "zkp_api_3"],
        [],
        ["--name", "stream_api_2"],
    ]


@pytest.mark.parametrize(("host", "port"), [("zkp-api", 5200), ("stream-api", 5300)])
def test_services_in_override_and_compose_file_are_equal(host: str, port: int) -> None:
    """Except for the number."""
    made = yaml.safe_load(override(4, {}, provers=2, stream_services=2))["services"][f"{host}-2"]
    assert made.pop("command")[2:] == ["--name", f"{host.replace('-', '_')}_2"]
    renamed = yaml.safe_load(
        yaml.safe_dump(made)
        .replace(str(port + 1), str(port))
        .replace(f"{host}-2", host)
        .replace(f"{host.replace('-', '_')}_2", host.replace("-", "_"))
        .replace("STREAM_2_PORT", "STREAM_PORT")
    )
    expected = dict(BASE["services"][host])
    assert len(expected.pop("command")) == 2
    expected.pop("build", None)
    assert renamed == expected


def test_the_override_has_a_volume_for_each_folder() -> None:
    over = yaml.safe_load(override(4, {}, provers=3, stream_services=2))
    made = {f"zkp-api-{n}-{kind}" for n in (2, 3) for kind in ("keys", "kernels")}
    made |= {f"stream-api-2-{kind}" for kind in ("keys", "data", "kernels")}
    assert set(over["volumes"]) == made
    assert set(over["services"]["init"]["volumes"]) == {
        "zkp-api-2-keys:/fleet/keys/zkp_api_2",
        "zkp-api-3-keys:/fleet/keys/zkp_api_3",
        "stream-api-2-keys:/fleet/keys/stream_api_2",
    }


def test_init_in_the_containers_creates_as_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("init", "--compose", "--provers", "2", "--stream-services", "3") == 0
    over = yaml.safe_load((tmp_path / "docker-compose.override.yml").read_text())
    environ = over["services"]["init"]["environment"]
    assert environ["DRAGON_INIT_PROVERS"] == "2"
    assert environ["DRAGON_INIT_STREAM_SERVICES"] == "3"
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert run("init", "--home", tmp_path / "fleet", "--once", "--containers") == 0
    home = Home(tmp_path / "fleet")
    assert home.provers()["zkp_api_2"] == "http://zkp-api-2:5201"
    assert home.stream_services()["stream_api_3"] == "http://stream-api-3:5302"


def test_the_image_has_a_folder_for_each_service() -> None:
    text = (ROOT / "Dockerfile").read_text()
    for first in ("zkp_api", "stream_api"):
        assert f"$(seq -f {first}_%g 2 16)" in text
