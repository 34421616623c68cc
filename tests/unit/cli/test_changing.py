"""Changes of a running fleet whose keys are all in one home, on a simulated clock."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from committees import make_members, secret
from dragon import errors
from dragon.net.http_client import HttpClient
from dragon.protocol.claims.status import Status
from dragon.protocol.committee import Target
from dragon.protocol.founding import Change
from dragon.protocol.member import Member, Role
from dragon_cli.commands.target import add
from dragon_cli.errors import ApprovedAnother, KeysElsewhere, LogNotCurrent
from dragon_cli.fleet.changing import Changer, Clock
from dragon_cli.fleet.layout import Home
from dragon_cli.hints import hint_for
from dragon_cli.main import main
from dragon_cli.trust import held
from dragon_operator.approvals import Approval, approval_path
from epochs import successor
from homes import add_keystore, make_home
from simulation import World

SITE = Target("site", "http://site:80")
MEMBERS = make_members(4)


@dataclass
class HomeWorld(World):
    """A world whose services have their files in a home."""

    home: Home = field(default_factory=lambda: Home(Path()))

    def database_file(self, name: str) -> Path:
        path = self.home.database(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


@pytest.fixture
def world(tmp_path: Path) -> Iterator[HomeWorld]:
    home = make_home(tmp_path / "fleet", MEMBERS)
    with HomeWorld(tmp_path, MEMBERS, home=home) as made:
        # `World` names a node list of its own in the committee file.
        home.committee_file.write_bytes(made.committee.encode())
        made.wires.mount("site:80", up)
        made.run(3)
        yield made


def up(_environ: object, start: Callable[..., object]) -> list[bytes]:
    start("200 OK", [("Content-Type", "text/plain")])
    return [b"up"]


def changer(world: HomeWorld, lines: list[str] | None = None) -> Changer:
    """One that lets the world run while it waits."""
    clock = Clock(lambda: world.clock.now, lambda: world.clock.now, lambda _: world.run(1))
    say = [] if lines is None else lines
    return Changer(world.home, HttpClient(world.session("owner")), say.append, clock)


def test_a_target_is_added_and_removed_without_a_restart(world: HomeWorld) -> None:
    lines: list[str] = []
    before = world.clock.now

    added = changer(world, lines).change(Change(targets=(SITE,)))

    assert world.clock.now - before <= 20 * 5
    assert added.newest.targets == (SITE,)
    assert added.newest.epoch == 1
    assert lines[0] == "waiting until epoch 1 begins"
    assert lines[-1] == "epoch 1 has begun; its first checkpoint proves it"
    added.verify()
    assert world.home.committee() == added.newest
    assert held(world.home) == added
    world.run(2)
    assert world.components("operator_1").log.state.status("site") is Status.UP

    removed = changer(world).change(Change(drop=frozenset({"site"})))

    assert removed.newest.targets == ()
    assert world.home.committee().epoch == 2
    names = [*MEMBERS.secrets, "aggregator_0"]
    assert all(world.components(name).log.committee == removed.newest for name in names)


def test_an_operator_that_is_down_does_not_hold_it_up(world: HomeWorld) -> None:
    world.stop("operator_4")

    assert changer(world).change(Change(targets=(SITE,))).newest.epoch == 1

    world.resume("operator_4")
    world.run(2)
    assert world.components("operator_4").log.committee.epoch == 1


def test_a_fleet_that_is_not_running_is_named(world: HomeWorld) -> None:
    for name in ("operator_2", "operator_3"):
        world.stop(name)

    with pytest.raises(errors.Unreachable) as refused:
        changer(world).change(Change(targets=(SITE,)))

    assert str(refused.value) == "2 of 4 operators of this home answer; 3 must."
    assert "dragon up" in (hint_for(refused.value) or "")
    assert not approval_path(world.home.database("operator_1")).exists()


def test_with_keys_on_other_hosts_each_owner_approves(world: HomeWorld) -> None:
    for name in ("operator_1", "operator_2"):
        world.home.keystore(name).unlink()

    with pytest.raises(KeysElsewhere) as refused:
        changer(world).change(Change(targets=(SITE,)))

    assert "has the keys of 2 operators of the committee, and 3 must approve" in str(refused.value)
    assert "assemble --after" in (hint_for(refused.value) or "")


def test_an_old_log_changes_nothing(world: HomeWorld) -> None:
    world.clock.now += 10_000

    with pytest.raises(LogNotCurrent):
        changer(world).change(Change(targets=(SITE,)))


def test_a_change_that_is_not_acceptable_approves_nothing(world: HomeWorld) -> None:
    with pytest.raises(errors.ListedTwice):
        changer(world).change(Change(targets=(Target("operator_1", "http://site:80"),)))
    with pytest.raises(errors.UnknownMember):
        changer(world).change(Change(drop=frozenset({"nobody"})))

    assert not approval_path(world.home.database("operator_1")).exists()


def test_another_change_under_way_is_finished_first(world: HomeWorld) -> None:
    other = successor(world.members, None, add=["operator_5"])
    path = approval_path(world.home.database("operator_3"))
    path.write_text(Approval(int(world.clock.now), other.committee).encode())

    with pytest.raises(ApprovedAnother):
        changer(world).change(Change(targets=(SITE,)))

    assert not approval_path(world.home.database("operator_1")).exists()


def test_the_wait_ends_and_the_approval_stays(world: HomeWorld) -> None:
    """Without an aggregator nobody collects the handover."""
    world.stop("aggregator_0")
    before = world.clock.now

    with pytest.raises(errors.StepFailed) as failed:
        changer(world).change(Change(targets=(SITE,)))

    assert 100 <= world.clock.now - before <= 110  # twenty rounds, and what is under way
    assert "The committee of epoch 1 is not in force after 100 s" in str(failed.value)
    assert "withdraw --all" in (hint_for(failed.value) or "")
    assert approval_path(world.home.database("operator_1")).exists()
    world.resume("aggregator_0")
    world.run(3)
    assert world.components("operator_1").log.committee.epoch == 1


def test_target_add_replaces_a_known_target_and_prints_what_changes(
    world: HomeWorld, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(add, "Changer", lambda *_: changer(world))

    def run(*options: str) -> tuple[int, str, str]:
        command = ["target", "add", "site", "http://site:80", *options]
        with pytest.raises(SystemExit) as done:
            main([*command, "--home", str(world.home.path)])
        out, err = capsys.readouterr()
        return int(done.value.code or 0), out, err

    first = run("--contains", "up", "--private")
    again = run("--contains", "up", "--private")
    second = run("--status", "200-399", "--private", "--owner", "operator_2")

    assert (first[0], again[0], second[0]) == (0, 1, 0)
    assert 'target site joins: http://site:80, http GET, status 200-299, contains "up"' in first[1]
    assert "PRIVATE ADDRESSES ALLOWED" in first[1]
    assert "holds_already: The committee lists the target site at http://site:80" in again[2]
    assert second[1].splitlines()[:3] == [
        "target site, status: 200-299 → 200-399",
        'target site, contains: "up" → none',
        "target site, owner: none → operator_2",
    ]
    assert world.home.committee().speaker("site") == "operator_2"


def test_an_operator_without_a_seat_takes_part_in_nothing(world: HomeWorld) -> None:
    """Its keystore and a current log are in the home, and no committee lists it any more."""
    add_keystore(world.home, "operator_9", secret("operator_9"))
    sheet = Member.sign(Role.OPERATOR, "operator_9", "http://operator-9:1", secret("operator_9"))
    file = world.home.keystore("operator_9").with_name("member.json")
    file.write_text(json.dumps(sheet.to_json()))
    world.join("operator_9", secret("operator_9"), "http://operator-9:1")
    world.run(2)

    assert changer(world).change(Change(targets=(SITE,))).newest.epoch == 1
