"""`dragon committee approve` and `withdraw`: the owner's yes, on the operator's own host."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from commands import run_dragon
from committees import Members, secret
from dragon.encoding import to_hex
from dragon.log.cursor import Alarm, store_alarm
from dragon.log.schema import LOG_SCHEMA
from dragon.protocol.committee import Sequencer, Target, short_id
from dragon.protocol.member import Member, Role
from dragon.protocol.target_checks import HttpCheck
from dragon.storage.database import Database
from dragon_cli.fleet.layout import Home
from dragon_operator.approvals import LAPSES_SECONDS, Approval, approval_path
from dragon_sequencer.devnet.setup import make_network
from dragon_sequencer.nodes import NodeList
from epochs import successor
from homes import add_keystore, committee_id, make_home, make_logs, recent_members

OLD = recent_members()
NEW = successor(OLD, None, add=["operator_5"])
OTHER = successor(OLD, None, drop=["operator_4"])

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `dragon committee …`."""
    for name in ("OPERATOR_ID", "OPERATOR_DATABASE", "OPERATOR_KEYSTORE"):
        monkeypatch.delenv(name, raising=False)

    def command(*arguments: object) -> tuple[int, str, str]:
        return run_dragon(capsys, "committee", *arguments)

    return command


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """All operators of the committee that holds, with their logs."""
    made = make_home(tmp_path / "fleet", OLD)
    make_logs(made, [OLD], OLD.secrets)
    return made


def written(folder: Path, members: Members, name: str = "next.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(members.committee.to_json()))
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return written(tmp_path, NEW)


def approval(home: Home, name: str) -> Approval | None:
    path = approval_path(home.database(name))
    return Approval.load(path.read_bytes()) if path.exists() else None


def approve(
    run: Run, home: Home, file: Path, *options: object, members: Members = NEW
) -> tuple[int, str, str]:
    chosen = options or ("--operator", "operator_1")
    return run("approve", file, "--home", home.path, "--yes", committee_id(members), *chosen)


def test_the_approval_is_written_beside_the_log(run: Run, home: Home, file: Path) -> None:
    code, out, err = approve(run, home, file)

    assert (code, err) == (0, "")
    found = approval(home, "operator_1")
    assert found is not None
    assert found.committee == NEW.committee
    assert approval(home, "operator_2") is None
    assert "operator operator_5 joins: http://operator-5:5000" in out
    assert "http://operator-5:5000  (new)\n" in out
    assert "http://operator-1:5001\n" in out
    assert "handover     3 of 4 (byzantine) → 4 of 5 (byzantine)" in out
    assert short_id(NEW.committee.id) in out
    assert "when 3 of 4 operators have approved it" in out


def test_the_owner_sees_private_networks_and_hosts_of_redirects(
    run: Run, home: Home, tmp_path: Path
) -> None:
    targets = (
        Target("inside", "http://10.0.0.5:80", private_addresses=True),
        Target("site", "http://site.example", HttpCheck(redirect_hosts=("www.site.example",))),
    )
    members = successor(OLD, None, targets=targets)
    file = written(tmp_path, members)

    told = approve(run, home, file, "--operator", "operator_1", "--json", members=members)
    shown = approve(run, home, file, "--operator", "operator_2", members=members)

    found = json.loads(told[1])
    assert found["private"] == ["inside at http://10.0.0.5:80"]
    assert found["redirect_hosts"] == ["www.site.example"]
    assert (
        "own private networks for these targets:\n  inside at http://10.0.0.5:80  (new)" in shown[1]
    )
    assert "redirects to these hosts:\n  www.site.example  (new)\n" in shown[1]
    assert "target inside joins: http://10.0.0.5:80, http GET, status 200-299" in shown[1]


def test_all_operators_of_a_home_approve(run: Run, home: Home, file: Path) -> None:
    code, out, _ = approve(run, home, file, "--all", "--json")

    assert code == 0
    told = json.loads(out)
    assert told["operators"] == list(OLD.secrets)
    assert told["id"] == committee_id(NEW)
    assert told["quorums"]["handover"] == ["3 of 4 (byzantine)", "4 of 5 (byzantine)"]
    assert told["lapses_at"] == told["approved_at"] + LAPSES_SECONDS
    assert all(approval(home, name) is not None for name in OLD.secrets)


def test_the_only_operator_of_a_home_is_found(run: Run, tmp_path: Path, file: Path) -> None:
    home = make_home(tmp_path / "own", OLD)
    for name in ("operator_1", "operator_2", "operator_4"):
        home.keystore(name).unlink()
    make_logs(home, [OLD], ["operator_3"])

    assert run("approve", file, "--home", home.path, "--yes", committee_id(NEW))[0] == 0
    assert approval(home, "operator_3") is not None


def test_with_several_operators_one_is_named(run: Run, home: Home, file: Path) -> None:
    code, _, err = run("approve", file, "--home", home.path, "--yes", committee_id(NEW))

    assert code == 2
    assert "name one with `--operator`, or give `--all`" in err


def test_a_container_names_the_operator_and_its_files(
    run: Run, home: Home, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settings of the service are in the environment, and the file comes through a pipe."""
    elsewhere = tmp_path / "volume" / "log.db"
    elsewhere.parent.mkdir()
    home.database("operator_2").rename(elsewhere)
    monkeypatch.setenv("OPERATOR_ID", "operator_2")
    monkeypatch.setenv("OPERATOR_DATABASE", str(elsewhere))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(file.read_bytes())))

    code, _, err = run("approve", "-", "--home", home.path, "--yes", committee_id(NEW))

    assert (code, err) == (0, "")
    assert Approval.load(approval_path(elsewhere).read_bytes()).committee == NEW.committee


def test_a_wrong_id_approves_nothing(run: Run, home: Home, file: Path) -> None:
    code, out, err = approve(run, home, file, members=OTHER)

    assert (code, out) == (1, "")
    assert "refused: other_committee: The file holds the committee 0x" in err
    assert approval(home, "operator_1") is None


@pytest.mark.parametrize("given", ["0x12", "yes", "0X" + "g" * 64])
def test_what_is_no_id_is_wrong_usage(run: Run, home: Home, file: Path, given: str) -> None:
    assert run("approve", file, "--home", home.path, "--all", "--yes", given)[0] == 2


def test_without_a_terminal_nobody_can_be_asked(run: Run, home: Home, file: Path) -> None:
    code, _, err = run("approve", file, "--home", home.path, "--all")

    assert code == 2
    assert "confirm with `--yes 0x<id>`" in err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 130), ("\n", 130), ("", 130)])
def test_the_owner_is_asked(
    run: Run, home: Home, file: Path, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))

    ended, out, _ = run("approve", file, "--home", home.path, "--operator", "operator_1")

    assert ended == code
    assert "Approve this committee for operator_1? [y/N]" in out
    assert (approval(home, "operator_1") is not None) is (code == 0)


def test_what_another_terminal_approves_meanwhile_is_not_replaced(
    run: Run, home: Home, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An owner reads for minutes before the answer, and has another terminal."""
    path = approval_path(home.database("operator_1"))
    other = Approval(int(time.time()), OTHER.committee).encode()

    class Slow(Terminal):
        def readline(self, *limit: int) -> str:
            path.write_text(other)
            return super().readline(*limit)

    monkeypatch.setattr(sys, "stdin", Slow("y\n"))

    code, _, err = run("approve", file, "--home", home.path, "--operator", "operator_1")

    assert code == 1
    assert f"approved another committee, {short_id(OTHER.committee.id)}" in err
    assert path.read_text() == other


def test_only_one_committee_is_approved_at_a_time(
    run: Run, home: Home, file: Path, tmp_path: Path
) -> None:
    other = written(tmp_path, OTHER, "other.json")
    approve(run, home, file)

    code, _, err = approve(run, home, other, members=OTHER)
    assert code == 1
    assert f"approved another committee, {short_id(NEW.committee.id)}" in err
    assert "`dragon committee withdraw` takes that approval back" in err

    again, _, _ = approve(run, home, file)
    assert again == 0  # the same one: it lapses later

    assert run("withdraw", "--home", home.path, "--operator", "operator_1")[0] == 0
    assert approve(run, home, other, members=OTHER)[0] == 0
    found = approval(home, "operator_1")
    assert found is not None
    assert found.committee == OTHER.committee


@pytest.mark.parametrize("approved_at", [0, "broken"])
def test_an_approval_that_counts_no_more_is_replaced(
    run: Run, home: Home, file: Path, approved_at: object
) -> None:
    old = {"approved_at": approved_at, "committee": OTHER.committee.to_json()}
    approval_path(home.database("operator_1")).write_text(json.dumps(old))

    assert approve(run, home, file)[0] == 0


def test_the_approval_of_the_committee_that_holds_is_replaced(
    run: Run, tmp_path: Path, file: Path
) -> None:
    home = make_home(tmp_path / "later", NEW)
    [handover] = make_logs(home, [OLD, NEW], ["operator_1"])
    approval_path(home.database("operator_1")).write_text(
        Approval(OLD.committee.rounds.start(198), NEW.committee).encode()
    )
    third = successor(NEW, handover, drop=["operator_2"])

    code, _, err = approve(run, home, written(tmp_path, third), members=third)

    assert (code, err) == (0, "")


def test_an_unfit_committee_is_refused(run: Run, home: Home, tmp_path: Path) -> None:
    skipped = replace(NEW, committee=replace(NEW.committee, epoch=2))
    renamed = replace(NEW, committee=replace(NEW.committee, name="else"))
    for members in (skipped, renamed):
        code, _, err = approve(run, home, written(tmp_path, members), members=members)
        assert code == 1
        assert "refused: broken_succession: " in err
        assert "hint: Have it assembled again" in err


def test_the_committee_that_holds_is_no_next_one(run: Run, home: Home) -> None:
    code, _, err = approve(run, home, home.committee_file, members=OLD)

    assert code == 1
    assert "holds_already" in err


@pytest.mark.parametrize("content", ["", "{}", "nonsense", "[]", '{"a": "http://x"}'])
def test_a_file_that_is_no_committee_is_refused(
    run: Run, home: Home, tmp_path: Path, content: str
) -> None:
    (tmp_path / "next.json").write_text(content)

    code, out, err = approve(run, home, tmp_path / "next.json")

    assert code in (1, 2)
    assert out == ""
    assert err.startswith("dragon: ")


def test_without_a_log_the_operator_is_started_first(run: Run, home: Home, file: Path) -> None:
    home.database("operator_1").unlink()

    code, _, err = approve(run, home, file)

    assert code == 1
    assert "failed: log_not_current: operator_1 has no log yet" in err
    assert "hint: Start the operator" in err


def test_an_old_log_may_know_an_old_committee(run: Run, tmp_path: Path) -> None:
    old = recent_members(4, name="old")
    rounds = replace(old.committee.rounds, genesis=1_732_522_000)
    old = replace(old, committee=replace(old.committee, rounds=rounds))
    home = make_home(tmp_path / "fleet", old)
    make_logs(home, [old], ["operator_1"], now=rounds.start(200))
    following = successor(old, None, drop=["operator_4"])

    code, _, err = approve(run, home, written(tmp_path, following), members=following)

    assert code == 1
    assert "The newest checkpoint in the log of operator_1 is" in err


def test_a_stopped_log_is_named_with_its_alarm(run: Run, home: Home, file: Path) -> None:
    database = Database(home.database("operator_1"), LOG_SCHEMA)
    with database.write() as connection:
        store_alarm(connection, Alarm("diverged", "another root"))
    database.close()

    code, _, err = approve(run, home, file)

    assert code == 1
    assert "The log of operator_1 has stopped: diverged." in err


def test_an_operator_without_a_part_in_it_approves_nothing(
    run: Run, home: Home, file: Path
) -> None:
    add_keystore(home, "operator_9", secret("operator_9"))
    make_logs(home, [OLD], ["operator_9"])

    code, _, err = approve(run, home, file, "--operator", "operator_9")

    assert code == 1
    assert "lists operator_9" in err
    assert approve(run, home, file, "--operator", "operator_7")[0] == 1  # no keystore at all


def test_a_newcomer_approves_too(run: Run, home: Home, file: Path) -> None:
    add_keystore(home, "operator_5", secret("operator_5"))
    make_logs(home, [OLD], ["operator_5"])

    assert approve(run, home, file, "--operator", "operator_5")[0] == 0


def test_a_key_of_somebody_else_in_the_own_name_is_refused(
    run: Run, home: Home, tmp_path: Path
) -> None:
    taken = successor(OLD, None, rotate={"operator_1": secret("somebody else")})
    file = written(tmp_path, taken)

    code, _, err = approve(run, home, file, members=taken)
    assert code == 1
    assert "lists a key for operator_1 that is in none of its keystores" in err

    add_keystore(home, home.next_key("operator_1"), secret("somebody else"))
    assert approve(run, home, file, members=taken)[0] == 0


def test_a_new_node_list_is_asked_for(run: Run, home: Home, tmp_path: Path) -> None:
    _, listed, digest = make_network(2, "http://sequencer:6001")
    sequencer = OLD.committee.sequencer
    lists = tuple(sorted((*sequencer.nodes_sha256, digest)))
    following = successor(
        OLD, None, sequencer=Sequencer(sequencer.app, sequencer.threshold_percent, lists)
    )
    file = written(tmp_path, following)
    nodes, other = tmp_path / "nodes.json", tmp_path / "other.json"
    nodes.write_text(listed)
    other.write_text(make_network(1, "http://sequencer:6001")[1])
    assert NodeList.decode(listed).sha256 == digest

    code, _, err = approve(run, home, file, members=following)
    assert code == 2
    assert f"names a node list for the first time, {to_hex(digest)}" in err
    assert "`--nodes FILE`" in err

    options = ("--operator", "operator_1", "--nodes")
    code, _, err = approve(run, home, file, *options, other, members=following)
    assert code == 2
    assert "does not name the node list" in err

    code, out, _ = approve(run, home, file, *options, nodes, members=following)
    assert code == 0
    assert "http://sequencer:6001  (new)" in out


def test_nothing_is_approved_if_one_of_all_cannot(run: Run, home: Home, file: Path) -> None:
    home.database("operator_4").unlink()

    assert approve(run, home, file, "--all")[0] == 1
    assert all(approval(home, name) is None for name in OLD.secrets)


def test_former_operators_of_a_home_are_left_out(run: Run, home: Home, file: Path) -> None:
    add_keystore(home, "operator_9", secret("operator_9"))
    sheet = Member.sign(Role.OPERATOR, "operator_9", "http://operator-9:1", secret("operator_9"))
    home.keystore("operator_9").with_name("member.json").write_text(json.dumps(sheet.to_json()))
    make_logs(home, [OLD], ["operator_9"])

    assert approve(run, home, file, "--all")[0] == 0
    assert approval(home, "operator_1") is not None
    assert approval(home, "operator_9") is None


def test_a_dead_operator_is_dropped_without_its_approval(
    run: Run, home: Home, tmp_path: Path
) -> None:
    home.database("operator_4").unlink()

    assert approve(run, home, written(tmp_path, OTHER), "--all", members=OTHER)[0] == 0
    assert approval(home, "operator_3") is not None
    assert approval(home, "operator_4") is None


def test_withdrawing_says_what_was_there(run: Run, home: Home, file: Path) -> None:
    approve(run, home, file, "--operator", "operator_2")

    code, out, _ = run("withdraw", "--home", home.path, "--all")
    assert code == 0
    assert "operator_2: approval withdrawn." in out
    assert "operator_1: nothing was approved." in out

    code, out, _ = run("withdraw", "--home", home.path, "--all", "--json")
    assert (code, json.loads(out)) == (0, {"withdrawn": []})
