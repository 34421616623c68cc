"""`dragon init --refound` gives the same members a committee with another id."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dragon.protocol.committee import Committee
from dragon.protocol.lineage import Lineage
from dragon_cli.fleet import lineages
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.refound import refound
from dragon_cli.main import main
from dragon_cli.trust import held
from epochs import Network


def run(*arguments: object) -> int:
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as done:
        return int(done.code or 0)
    return 0


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("refound") / "fleet"
    assert run("init", "--home", home, "--operators", "3") == 0
    return home


@pytest.fixture
def home(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "fleet"))


def test_only_genesis_and_id_change(home: Path) -> None:
    before = Home(home).committee()

    assert run("init", "--home", home, "--refound") == 0

    after = Home(home).committee()
    assert after.id != before.id
    assert after.rounds.genesis > before.rounds.genesis
    assert after.to_json() | {"genesis": 0} == before.to_json() | {"genesis": 0}
    [kept] = home.glob("committee-*.json")
    assert Committee.load(kept.read_bytes()).id == before.id


def test_the_app_on_the_ledger_can_be_another_one(home: Path) -> None:
    """The proofs of the old history are of another app then, and prove nothing."""
    before = Home(home).committee()

    assert run("init", "--home", home, "--refound", "--app", "datadragon-2") == 0

    after = Home(home).committee()
    assert after.sequencer.app == "datadragon-2"
    assert after.sequencer.nodes_sha256 == before.sequencer.nodes_sha256


def test_a_genesis_is_never_used_twice(home: Path) -> None:
    """Also if the clock was set back."""
    first = refound(Home(home), genesis=1)
    second = refound(Home(home), genesis=1)

    ids = {first.old.id, first.committee.id, second.committee.id}
    assert len(ids) == 3
    assert len(list(home.glob("committee-*.json"))) == 2


def test_an_interrupted_attempt_is_repeated(home: Path) -> None:
    """The old committee was kept, and the new one not written yet."""
    text = Home(home).committee_file.read_text()
    done = refound(Home(home), genesis=1)
    Home(home).committee_file.write_text(text)

    again = refound(Home(home), genesis=1)

    assert again == done
    assert again.old_file.read_text() == text


def test_an_attempt_that_was_killed_while_it_kept_the_old_committee_is_repeated(home: Path) -> None:
    text = Home(home).committee_file.read_text()
    done = refound(Home(home), genesis=1)
    Home(home).committee_file.write_text(text)
    done.old_file.write_text(text[: len(text) // 2])

    again = refound(Home(home), genesis=1)

    assert again == done
    assert again.old_file.read_text() == text


def test_the_ids_are_reported_as_json(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = Home(home).committee()

    assert run("init", "--home", home, "--refound", "--json") == 0

    told = json.loads(capsys.readouterr().out)
    assert told["old"] == "0x" + before.id.hex()
    assert told["committee"] == "0x" + Home(home).committee().id.hex()
    assert Path(told["old_file"]).exists()


def test_a_changed_committee_begins_again_at_epoch_0(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The lineage of the network that ends is kept beside the committee that ends."""
    network = Network()
    network.step(add=["operator_5"])
    home = Home(tmp_path)
    lineages.write(home, network.lineage())

    assert run("init", "--home", tmp_path, "--refound") == 0

    assert "`dragon log archive --refounded " in capsys.readouterr().out
    after = home.committee()
    assert (after.epoch, after.operators) == (0, network.newest.committee.operators)
    assert not home.lineage_file.exists()
    [kept] = tmp_path.glob("lineage-*.json")
    assert Lineage.load(kept.read_bytes()) == network.lineage()
    assert held(home) == Lineage.of(after)


@pytest.mark.parametrize("option", [("--operators", "5"), ("--once",), ("--name", "else")])
def test_nothing_else_can_be_changed(
    home: Path, option: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    before = Home(home).committee_file.read_bytes()

    assert run("init", "--home", home, "--refound", *option) == 2

    assert f"omit `{option[0]}`" in capsys.readouterr().err
    assert Home(home).committee_file.read_bytes() == before


def test_a_folder_without_a_committee_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("init", "--home", tmp_path / "none", "--refound") == 2

    assert "failed: no_home" in capsys.readouterr().err
