"""Keys of members in a home: newcomers, rotation, lost keys, and which operators are started."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from commands import run_dragon
from committees import Members, make_members, secret
from dragon.errors import SettingsError
from dragon.protocol.founding import Change, succeed
from dragon.protocol.handover import newcomers
from dragon.protocol.lineage import Lineage
from dragon.protocol.member import Member, Role
from dragon.storage import keystore
from dragon_cli.committee_files import read_members
from dragon_cli.errors import AlreadyThere, NotAMember
from dragon_cli.fleet import home_operators, members, own_operators
from dragon_cli.fleet.create import Plan, Ports, make_once
from dragon_cli.fleet.layout import Home, service_kind
from dragon_cli.fleet.members import new_member
from dragon_cli.fleet.processes import Fleet
from dragon_cli.fleet.settings import environment
from dragon_cli.keystores import Sheet
from epochs import successor
from homes import add_keystore, make_home
from ports import free_block

OLD = make_members(4)
URL = "http://127.0.0.1:5007"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def quick_keystores(monkeypatch: pytest.MonkeyPatch) -> None:
    """A keystore takes half a second to seal."""

    def new_keystore(home: Home, name: str) -> object:
        key = secret(name)
        add_keystore(home, name, key)
        keystore.write_private(home.password(name), "secret\n")
        return key

    monkeypatch.setattr(members, "new_keystore", new_keystore)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return make_home(tmp_path / "fleet", OLD)


@pytest.fixture
def run(home: Home, capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*arguments: object) -> tuple[int, str, str]:
        return run_dragon(capsys, *arguments, "--home", home.path)

    return command


def write(home: Home, members: Members) -> None:
    home.committee_file.write_bytes(members.committee.encode())


def key_of(home: Home, name: str) -> str:
    return Sheet.read(home.keystore(name).read_text()).public_key


def test_a_newcomer_is_told_how_to_follow(run: Run, home: Home) -> None:
    code, out, _ = run("key", "new", "acme", URL)

    assert code == 0
    assert f"dragon serve operator --id acme --home {home.path}" in out
    assert Member.load(home.keystore("acme").with_name("member.json").read_bytes()).url == URL
    assert home_operators.urls(home, OLD.committee)["acme"] == URL


def test_a_rotated_key_keeps_the_url_unless_another_is_given(run: Run, home: Home) -> None:
    code, out, _ = run("key", "new", "operator_2", "--rotate")
    following = home.keystore(home.next_key("operator_2")).with_name("member.json")

    assert code == 0
    assert "Restart operator_2 now" in out
    assert Member.load(following.read_bytes()).url == OLD.committee.urls["operator_2"]
    assert run("key", "new", "operator_3", URL, "--rotate")[0] == 0
    assert run("key", "new", "nobody", "--rotate")[0] == 2


def test_a_moved_operator_keeps_its_key(
    run: Run, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keystore, "load", lambda *_: secret("operator_2"))

    code, out, _ = run("key", "move", "operator_2", "https://new.example:5002", "--json")

    assert code == 0
    moved = read_members([Path(json.loads(out)["file"])])
    following = succeed(Lineage.of(OLD.committee), Change(tuple(moved)))
    assert following.urls["operator_2"] == "https://new.example:5002"
    assert newcomers(OLD.committee, following) == set()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("operator_9", URL), "not_a_member"),
        (("operator_2", "ftp://new.example"), "unknown_value"),
        (("Operator 2", URL), "invalid_id"),
    ],
)
def test_what_cannot_move_is_named(
    run: Run, home: Home, arguments: tuple[str, str], reason: str
) -> None:
    code, _, err = run("key", "move", *arguments)
    assert code in (1, 2)
    assert reason in err
    assert not home.keystore("operator_9").parent.exists()


def test_the_home_starts_an_operator_with_both_keys(home: Home) -> None:
    before = environment(home, "operator_2", host="127.0.0.1", port=1)
    new_member(home, Role.OPERATOR, "operator_2", URL, rotate=True)

    after = environment(home, "operator_2", host="127.0.0.1", port=1)

    assert "OPERATOR_NEXT_KEYSTORE" not in before
    assert after["OPERATOR_KEYSTORE"] == str(home.keystore("operator_2"))
    assert after["OPERATOR_NEXT_KEYSTORE"] == str(home.keystore("operator_2/next"))
    assert after["OPERATOR_NEXT_PASSWORD_FILE"] == str(home.password("operator_2/next"))


def test_services_of_a_home_know_all_earlier_committees(home: Home) -> None:
    """An empty log begins with the committee of epoch 0."""
    alone = environment(home, "operator_2", host="127.0.0.1", port=1)
    home.lineage_file.write_text("{}")

    whole = environment(home, "operator_2", host="127.0.0.1", port=1)

    assert alone["DRAGON_COMMITTEE"] == str(home.committee_file)
    assert whole["DRAGON_COMMITTEE"] == str(home.lineage_file)


def test_a_lost_key_is_rotated_too(home: Home) -> None:
    """The operator waits for its handover with the next key alone."""
    home.keystore("operator_2").unlink()
    new_member(home, Role.OPERATOR, "operator_2", URL, rotate=True)

    after = environment(home, "operator_2", host="127.0.0.1", port=1)

    assert after["OPERATOR_KEYSTORE"] == after["OPERATOR_NEXT_KEYSTORE"]
    assert "operator_2" in home_operators.urls(home, OLD.committee)


def test_a_next_key_is_not_replaced_before_it_is_listed(home: Home) -> None:
    new_member(home, Role.OPERATOR, "operator_2", URL, rotate=True)

    with pytest.raises(AlreadyThere, match="never overwritten"):
        new_member(home, Role.OPERATOR, "operator_2", URL, rotate=True)


def test_after_its_handover_a_key_can_be_rotated_again(home: Home) -> None:
    former = key_of(home, "operator_2")
    new_member(home, Role.OPERATOR, "operator_2", URL, rotate=True)
    listed = key_of(home, home.next_key("operator_2"))
    write(home, successor(OLD, None, rotate={"operator_2": secret("operator_2/next")}))
    home.keystore("operator_2/next").with_name("member.json").unlink()  # it was given away

    new_member(home, Role.OPERATOR, "operator_2", URL, rotate=True)

    assert key_of(home, "operator_2") == listed
    assert home.keystore(home.next_key("operator_2")).exists()
    [kept] = home.keystore("operator_2").parent.glob("former-*/keystore.json")
    assert Sheet.read(kept.read_text()).public_key == former


@pytest.mark.parametrize("name", ["sequencer", "zkp_api", "aggregator_2", "ca", "sources"])
def test_folders_of_services_are_no_ids(home: Home, name: str) -> None:
    with pytest.raises(SettingsError, match="folder"):
        new_member(home, Role.OPERATOR, name, URL)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(("operator_1", "operator"), ("acme", "operator"), ("zkp-ops", "operator")),
        *(("aggregator", "aggregator"), ("aggregator_3", "aggregator"), ("zkp_api", "zkp")),
        *(("stream_api", "stream"), ("explorer", "explorer"), ("sequencer", "sequencer")),
        ("aggregator_x", "operator"),
    ],
)
def test_the_service_in_a_folder_is_known_by_its_name(name: str, kind: str) -> None:
    assert service_kind(name) == kind
    assert Home(Path("f")).database(name) == Path("f/data") / name / f"{kind}.db"


def test_operators_are_started_if_their_keys_are_here(home: Home) -> None:
    add_keystore(home, "acme", secret("acme"))
    sheet = Member.sign(Role.OPERATOR, "acme", URL, secret("acme"))
    home.keystore("acme").with_name("member.json").write_text(json.dumps(sheet.to_json()))
    add_keystore(home, "expert_1", secret("expert_1"))
    expert = Member.sign(Role.EXPERT, "expert_1", None, secret("expert_1"))
    home.keystore("expert_1").with_name("member.json").write_text(json.dumps(expert.to_json()))
    home.keystore("operator_3").unlink()

    with Fleet(home) as fleet:
        started = [name for name in fleet.addresses if not name.startswith("aggregator")]

    assert started == ["operator_1", "operator_2", "operator_4", "acme"]
    ids = [operator.id for operator in own_operators.all_of(home)]
    assert ids == started


def test_a_home_without_keys_has_no_operators(home: Home) -> None:
    for name in OLD.secrets:
        home.keystore(name).unlink()

    with pytest.raises(NotAMember):
        own_operators.all_of(home)


def test_a_running_fleet_reads_the_committee_that_was_replaced(home: Home) -> None:
    following = successor(OLD, None, drop=["operator_4"])
    with Fleet(home) as fleet:
        fleet.refresh()
        assert fleet.committee == OLD.committee
        write(home, following)
        fleet.refresh()
        assert fleet.committee == following.committee


def test_a_changed_committee_is_no_other_fleet(tmp_path: Path) -> None:
    """Containers run `dragon init --once` before each start."""
    home = Home(tmp_path / "fleet")
    plan = Plan(name="test", operators=3, ports=Ports(operators=free_block(8), explorer=5400))
    changed = successor(make_members(4), None, add=["operator_5"])
    home.path.mkdir()
    write(home, changed)

    assert make_once(home, plan, genesis=1) == changed.committee
    with pytest.raises(SettingsError):
        make_once(home, replace(plan, name="else"), genesis=1)
