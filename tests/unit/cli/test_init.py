"""`dragon init` creates a committee once, keeps its keys private, and overwrites nothing."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import time
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from dragon.encoding import to_hex
from dragon.node.settings import Environment
from dragon.protocol.committee import Committee
from dragon.storage import keystore
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.settings import environment
from dragon_cli.main import main
from dragon_cli.render.committee import outage_table


def run(*arguments: object) -> int:
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as done:
        return int(done.code or 0)
    return 0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `dragon init` creates."""
    home = tmp_path_factory.mktemp("init") / "fleet"
    assert run("init", "--home", home, "--operators", "3", "--name", "three") == 0
    return home


def files(home: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(home)): path.read_bytes()
        for path in sorted(home.rglob("*"))
        if path.is_file()
    }


def test_all_files_are_created(made: Path) -> None:
    kinds = ("keystore.json", "password")
    keys = [f"keys/operator_{n}/{kind}" for n in (1, 2, 3) for kind in (*kinds, "member.json")]

    assert sorted(files(made)) == sorted(
        [
            *("committee.json", "nodes.json", "services.json"),
            *("keys/sequencer/keys.json", "keys/zkp_api/token", "keys/sources/token"),
            *(f"keys/stream_api/{kind}" for kind in (*kinds, "token", "prover-token")),
            *keys,
        ]
    )


def test_private_files_have_private_permissions(made: Path) -> None:
    assert stat.S_IMODE((made / "keys").stat().st_mode) == 0o700
    for path in (made / "keys").rglob("*"):
        mode = 0o700 if path.is_dir() else 0o644 if path.name == "member.json" else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == mode, path


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_permissions_do_not_depend_on_the_umask(tmp_path: Path, umask: int) -> None:
    home = tmp_path / "new" / "fleet"
    before = os.umask(umask)
    try:
        assert run("init", "--home", home, "--operators", "3", "--tls") == 0
        assert run("init", "--home", home, "--refound") == 0
    finally:
        os.umask(before)

    modes = {
        str(path.relative_to(tmp_path / "new")): stat.S_IMODE(path.lstat().st_mode)
        for path in sorted((tmp_path / "new").rglob("*"))
    }
    private = {name: mode for name, mode in modes.items() if "/keys" in name}
    public = {name: mode for name, mode in modes.items() if name not in private}
    shown = {name for name in private if name.endswith(("tls.crt", "member.json"))}
    folders = {name for name in modes if (tmp_path / "new" / name).is_dir()}
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o755
    for name, mode in public.items():
        assert mode == (0o755 if name in folders else 0o644), name
    for name, mode in private.items():
        expected = 0o700 if name in folders else 0o600
        assert mode == (0o644 if name in shown else expected), name


def test_the_committee_matches_the_options(made: Path) -> None:
    committee = Committee.load((made / "committee.json").read_bytes())

    assert (committee.name, committee.rounds.seconds) == ("three", 5)
    assert list(committee.keys) == ["operator_1", "operator_2", "operator_3"]
    assert [committee.urls[key] for key in committee.keys] == [
        f"http://127.0.0.1:{port}" for port in (5001, 5002, 5003)
    ]
    assert [(one.url, one.rank) for one in committee.aggregators] == [("http://127.0.0.1:5100", 0)]
    assert committee.sequencer.app == "datadragon"
    assert abs(committee.rounds.genesis - time.time()) < 300


def test_every_keystore_has_its_own_password(made: Path) -> None:
    home = Home(made)
    committee = home.committee()

    for operator, key in committee.keys.items():
        secret = keystore.load(home.keystore(operator), home.password(operator))
        assert secret.public_key() == key
    assert len({home.password(operator).read_text() for operator in committee.keys}) == 3


def test_public_files_contain_no_secret(made: Path) -> None:
    home = Home(made)
    public = home.committee_file.read_text() + home.nodes_file.read_text()

    for operator in home.committee().keys:
        secret = keystore.load(home.keystore(operator), home.password(operator))
        for text in (secret.encode().hex(), str(secret.scalar)):
            assert text not in public
    keys = json.loads(home.sequencer_keys.read_text())
    for text in _leaves(keys):
        if len(text) > 30:
            assert text not in public


def _leaves(value: object) -> list[str]:
    if isinstance(value, dict):
        return [leaf for inner in value.values() for leaf in _leaves(inner)]
    if isinstance(value, list):
        return [leaf for inner in value for leaf in _leaves(inner)]
    return [str(value)]


def test_experts_have_keys_and_are_in_the_committee(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = Home(tmp_path / "fleet")
    asked = ["init", "--home", home.path, "--operators", "3", "--experts", "2"]

    assert run(*asked, "--json") == 0

    told = json.loads(capsys.readouterr().out)
    committee = home.committee()
    assert list(committee.expert_keys) == ["expert_1", "expert_2"]
    assert told["experts"] == [
        {"id": expert, "public_key": to_hex(key.raw)}
        for expert, key in committee.expert_keys.items()
    ]
    for expert, key in committee.expert_keys.items():
        assert keystore.load(home.keystore(expert), home.password(expert)).public_key() == key
        for file in (home.keystore(expert), home.password(expert)):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert run(*asked, "--once") == 0
    assert run(*asked[:-2], "--once") == 2
    assert "experts 2, not 0" in capsys.readouterr().err


def test_experts_and_the_folder_of_their_keys_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "fleet"

    assert run("init", "--home", home, "--operators", "3", "--experts", "1") == 0

    assert f"Experts: expert_1. Give each expert its own folder in {home}/keys." in (
        capsys.readouterr().out
    )


def test_a_committee_has_no_experts_by_default(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Home(made).committee().experts == ()
    assert run("init", "--home", tmp_path / "fleet", "--operators", "3", "--json") == 0
    assert json.loads(capsys.readouterr().out)["experts"] == []


def test_experts_are_not_supported_in_containers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    assert run("init", "--compose", "--experts", "1") == 2

    assert "their keys do not belong in containers" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_settings_of_every_service_are_valid(made: Path) -> None:
    home = Home(made)
    for service in ("operator_1", "aggregator", "sequencer"):
        environ = environment(home, service, host="127.0.0.1", port=5001)
        assert Environment(environ).committee().id == home.committee().id
        assert Path(environ["SEQUENCER_NODES_FILE"]).exists()


def test_a_committee_is_never_overwritten(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(made)

    code = run("init", "--home", made)

    out, err = capsys.readouterr()
    assert code == 2
    assert err.startswith("dragon: failed: committee_exists: ")
    assert "is never overwritten.\nhint: Choose another folder with `--home`." in err
    assert out == ""
    assert files(made) == before


def test_an_unfinished_folder_is_left_as_it_is(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A crash between the first key and the committee file, which is written last."""
    home = tmp_path / "fleet"
    subprocess.run(["cp", "-a", made, home], check=True)
    (home / "committee.json").unlink()
    before = files(home)

    code = run("init", "--home", home)

    assert code == 2
    err = capsys.readouterr().err
    assert "a key is never overwritten.\nhint: Choose another folder" in err
    assert files(home) == before


def test_an_interrupted_init_can_be_repeated(made: Path, tmp_path: Path) -> None:
    home = tmp_path / "fleet"
    subprocess.run(["cp", "-a", made, home], check=True)
    (home / "committee.json").unlink()
    Home(home).unfinished.touch()
    before = Home(home).keystore("operator_1").read_bytes()

    assert run("init", "--home", home, "--operators", "3") == 0

    assert Home(home).keystore("operator_1").read_bytes() != before
    assert not Home(home).unfinished.exists()
    committee = Home(home).committee()
    for operator, key in committee.keys.items():
        secret = keystore.load(Home(home).keystore(operator), Home(home).password(operator))
        assert secret.public_key() == key


def test_once_accepts_the_same_committee_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "fleet"
    once = ["init", "--home", home, "--once", "--operators", "3"]
    assert run(*once) == 0
    before = files(home)

    assert run(*once) == 0
    assert files(home) == before

    capsys.readouterr()
    for option, words in {
        ("--operators", "4"): "operators 3, not 4",
        ("--name", "other"): "name local, not other",
        ("--round-seconds", "2"): "round-seconds 5, not 2",
        ("--app", "other"): "app datadragon, not other",
        ("--threshold", "51"): "threshold 67, not 51",
        ("--containers",): "url http://127.0.0.1:5001, not http://operator-1:5001",
    }.items():
        assert run(*once, *option) == 2
        assert words in capsys.readouterr().err
    assert files(home) == before


def test_once_names_an_empty_key_folder_and_still_succeeds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The other services can start, so their containers must not be kept from it."""
    home = tmp_path / "fleet"
    once = ["init", "--home", home, "--once", "--operators", "3"]
    assert run(*once) == 0
    assert "warning" not in capsys.readouterr().err
    for file in (home / "keys" / "operator_2").iterdir():
        file.unlink()

    assert run(*once) == 0

    warned = capsys.readouterr().err
    assert f"{home / 'keys' / 'operator_2'} is empty, so operator_2 cannot start" in warned
    assert "operator-2-keys" in warned
    assert warned.count("warning") == 1


def test_a_full_disk_leaves_no_half_committee(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home, once = tmp_path / "fleet", ["--once", "--operators", "3"]

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("os.fsync", full)
        assert run("init", "--home", home, *once) == 2
    assert capsys.readouterr().err == (
        f"dragon: failed: unusable_file: Cannot create {home}: the disk is full.\n"
        "hint: Free space on the disk, then run the same command again.\n"
    )
    assert not home.exists()

    assert run("init", "--home", home, *once) == 0
    assert len(Home(home).committee().operators) == 3


@pytest.mark.parametrize("there", [set(), {"zkp_api"}, {"zkp_api", "stream_api"}], ids=len)
def test_once_adds_services_that_an_older_fleet_lacks(tmp_path: Path, there: set[str]) -> None:
    home, once = Home(tmp_path / "fleet"), ["--once", "--operators", "3"]
    assert run("init", "--home", home.path, *once) == 0
    before, urls = files(home.path), home.services()
    for service in {"zkp_api", "stream_api", "sources"} - there:
        shutil.rmtree(home.path / "keys" / service)
    home.services_file.write_text(json.dumps({name: urls[name] for name in sorted(there)}))

    assert run("init", "--home", home.path, *once) == 0

    assert home.services() == urls
    assert urls == {
        "zkp_api": "http://127.0.0.1:5200",
        "stream_api": "http://127.0.0.1:5300",
        "explorer": "http://127.0.0.1:5400",
    }
    after = files(home.path)
    assert set(after) == set(before)
    assert after["keys/stream_api/prover-token"] == after["keys/zkp_api/token"]
    assert after["keys/stream_api/token"] == after["keys/sources/token"]
    assert len(after["keys/zkp_api/token"]) > 30
    kept = {file for file in after if after[file] == before[file]}
    assert {"committee.json", *(f"keys/{name}/token" for name in there)} <= kept
    assert keystore.load(home.keystore("stream_api"), home.password("stream_api"))


def test_once_creates_files_that_are_missing(tmp_path: Path) -> None:
    home, once = Home(tmp_path / "fleet"), ["--once", "--operators", "3"]
    assert run("init", "--home", home.path, *once) == 0
    for file in (home.services_file, home.password("stream_api"), home.token("sources")):
        file.unlink()

    assert run("init", "--home", home.path, *once) == 0

    assert sorted(home.services()) == ["explorer", "stream_api", "zkp_api"]
    assert keystore.load(home.keystore("stream_api"), home.password("stream_api"))


def test_once_compares_the_node_list_too(made: Path, tmp_path: Path) -> None:
    home, listed = tmp_path / "fleet", made / "nodes.json"
    assert run("init", "--home", home, "--once", "--nodes-file", listed) == 0
    assert run("init", "--home", home, "--once", "--nodes-file", listed) == 0
    assert run("init", "--home", made, "--once", "--operators", "3", "--name", "three",
               "--nodes-file", listed) == 0  # fmt: skip
    assert run("init", "--home", tmp_path / "other", "--operators", "3") == 0
    other = tmp_path / "other" / "nodes.json"
    assert run("init", "--home", home, "--once", "--nodes-file", other) == 2


def test_in_containers_every_service_has_its_own_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRAGON_INIT_OPERATORS", "3")
    monkeypatch.setenv("DRAGON_INIT_ROUND_SECONDS", "2")
    monkeypatch.setenv("DRAGON_HOME", str(tmp_path / "fleet"))

    assert run("init", "--containers") == 0

    home = Home(tmp_path / "fleet")
    committee = home.committee()
    assert list(committee.urls.values()) == [f"http://operator-{n}:500{n}" for n in (1, 2, 3)]
    assert [one.url for one in committee.aggregators] == ["http://aggregator:5100"]
    assert home.sequencer_url() == "http://sequencer:6001"
    assert committee.rounds.seconds == 2


@pytest.mark.parametrize(
    "options",
    [
        ["--operators", "2"],
        ["--operators", "65"],
        ["--operators", "four"],
        ["--experts", "9"],
        ["--experts", "-1"],
        ["--round-seconds", "1"],
        ["--round-seconds", "3601"],
        ["--base-port", "0"],
        ["--aggregator-port", "65536"],
        ["--sequencer-nodes", "0"],
        ["--sequencer-nodes", "5"],
        ["--threshold", "0"],
        ["--threshold", "101"],
        ["--nodes-file", "none.json"],
        ["--name", ""],
        ["--name", "x" * 65],
        ["--app", ""],
        ["--name", "two\nlines"],
        ["--app", "half a \udc80"],
        ["--app", "x" * 65],
        ["--base-port", "5098"],  # the third operator would get the aggregator's port
        ["--aggregator-port", "6001"],
        ["--wrong"],
    ],
    ids=" ".join,
)
def test_wrong_usage_creates_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    home = tmp_path / "fleet"

    code = run("init", "--home", home, *options)

    assert code == 2
    assert "Traceback" not in capsys.readouterr().err
    assert not home.exists()


def test_a_home_that_is_a_file_is_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "fleet"
    home.write_text("a file")

    assert run("init", "--home", home) == 2
    assert "fleet" in capsys.readouterr().err
    assert home.read_text() == "a file"


@pytest.mark.parametrize("size", range(3, 11))
def test_the_table_has_quorum_outages_and_faults(size: int) -> None:
    lines = rendered(size)
    quorum = (size + (size - 1) // 3) // 2 + 1

    [own] = [cells for cells in lines if cells and cells[0] == str(size)]

    assert own[1:4] == [str(quorum), str(size - quorum), str((size - 1) // 3)]


def rendered(size: int) -> list[list[str]]:
    """The table's rows, cell by cell."""
    output = StringIO()
    Console(file=output, width=200).print(outage_table(size))
    rows = [line for line in output.getvalue().splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in row.strip("│").split("│")] for row in rows]


def test_the_table_says_what_committees_of_each_size_withstand() -> None:
    table = {int(cells[0]): (int(cells[2]), int(cells[3])) for cells in rendered(4)}

    outages = {size: outage for size, (outage, _) in table.items()}
    liars = {size: lie for size, (_, lie) in table.items()}
    assert outages == {3: 1, 4: 1, 5: 1, 6: 2, 7: 2, 10: 3}
    assert liars == {3: 0, 4: 1, 5: 1, 6: 1, 7: 2, 10: 3}
