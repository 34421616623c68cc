"""What an operator signs by log time, and never by the ledger's time."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from committees import make_members
from dragon.log.downtime import claim_at
from dragon.protocol.claims import Claim
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.downtime import DowntimeClaim
from dragon.protocol.claims.status import Status, StatusClaim
from simulation import World

FOUR = make_members(4)
ROUNDS = 15  # until the log has a checkpoint and events before it


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grown")
    with World(folder, FOUR) as made:
        made.run(ROUNDS)
    return folder


@pytest.fixture
def world(grown: Path, tmp_path: Path) -> Iterator[World]:
    """All operators are certified up, and the log has one checkpoint."""
    shutil.copytree(grown, tmp_path, dirs_exist_ok=True)
    with World(tmp_path, FOUR) as made:
        made.clock.sleep((ROUNDS - 0.5) * made.committee.rounds.seconds)
        made.settle()
        yield made


def ask(world: World, claim: Claim, operator: str = "operator_1") -> str:
    answer = world.post(operator, "/attestations", claim.to_json())
    return "signed" if answer.status_code == 200 else str(answer.json()["reason"])


def status_now(world: World, node_id: str, status: Status) -> StatusClaim:
    rounds = world.committee.rounds
    return StatusClaim(node_id, status, rounds.start(rounds.number(world.clock.now)))


def checkpoint_now(world: World, size: int) -> CheckpointClaim:
    log, rounds = world.components("operator_1").log, world.committee.rounds
    return CheckpointClaim(size, log.head(size).root, rounds.start(rounds.number(world.clock.now)))


def lose_files(world: World, operator: str, *, reads: bool = True) -> None:
    """Restart an operator without its files, as after a disk was replaced."""
    world.crash(operator)
    for file in world.database_file(operator).parent.glob(f"{operator}*"):
        file.unlink()
    world.start(operator, reads=reads)
    world.confirm_clocks(again=True)


def test_an_operator_that_lost_its_journal_signs_nothing_for_max_age(world: World) -> None:
    lost, rounds = "operator_2", world.committee.rounds
    lose_files(world, lost)
    world.run(2)
    world.stop("operator_4")
    assert ask(world, status_now(world, "operator_4", Status.DOWN), lost) == "behind"
    reasons = world.get(lost, "/readyz").json()["reasons"]
    assert any(reason.startswith("journal: new, although") for reason in reasons)
    world.resume("operator_4")

    world.run(rounds.max_age // rounds.seconds + 1)
    world.stop("operator_4")
    assert ask(world, status_now(world, "operator_4", Status.DOWN), lost) == "signed"
    assert world.get(lost, "/readyz").json()["status"] == "ready"


def test_an_operator_that_lost_all_files_signs_nothing_before_it_has_read_the_ledger(
    world: World,
) -> None:
    """Its log is empty, too. Only the ledger shows that its journal replaces a lost one."""
    lost = "operator_2"
    world.stop("operator_4")
    lose_files(world, lost, reads=False)

    assert ask(world, status_now(world, "operator_4", Status.DOWN), lost) == "behind"
    reasons = world.get(lost, "/readyz").json()["reasons"]
    assert any(each.startswith("journal: new, and the ledger is not read") for each in reasons)
    world.components(lost).follower.catch_up()
    assert ask(world, status_now(world, "operator_4", Status.DOWN), lost) == "behind"
    reasons = world.get(lost, "/readyz").json()["reasons"]
    assert any(each.startswith("journal: new, although") for each in reasons)


def test_an_operator_whose_journal_is_not_new_signs_before_it_has_read_the_ledger(
    world: World,
) -> None:
    world.clock.sleep(world.committee.rounds.max_age)
    world.stop("operator_4")
    world.restart("operator_2", reads=False)

    assert ask(world, status_now(world, "operator_4", Status.DOWN), "operator_2") == "signed"


def test_an_operator_that_cannot_read_the_ledger_signs_again_after_max_age(world: World) -> None:
    """None of the lost signatures can be applied by then."""
    lost = "operator_2"
    world.stop("sequencer")
    lose_files(world, lost, reads=False)
    world.stop("operator_4")
    assert ask(world, status_now(world, "operator_3", Status.UP), lost) == "behind"

    world.clock.sleep(world.committee.rounds.max_age + 1)
    world.confirm_clocks(again=True)

    assert ask(world, status_now(world, "operator_3", Status.UP), lost) == "signed"


def test_an_operator_that_starts_for_the_first_time_abstains_from_nothing(tmp_path: Path) -> None:
    with World(tmp_path, FOUR) as world:
        world.run(2)
        assert all(world.get(name, "/readyz").ok for name in world.operators)
        world.clock.sleep(world.committee.rounds.seconds)
        world.settle()
        world.stop("operator_4")
        assert ask(world, status_now(world, "operator_4", Status.DOWN), "operator_2") == "signed"


def test_an_operator_says_that_the_committee_certified_it_down(world: World) -> None:
    """Nobody reaches it, although it runs and reads the ledger."""
    lost = "operator_3"
    world.cuts |= {(name, lost) for name in [*world.operators, *world.aggregators] if name != lost}
    world.run(2)

    [reason] = world.get(lost, "/readyz").json()["reasons"]
    assert reason.startswith("unreachable: certified down since ")
    assert world.committee.urls[lost] in reason
    world.cuts.clear()
    world.run(2)
    assert world.get(lost, "/readyz").json()["reasons"] == []


def test_an_operator_signs_no_checkpoint_that_leaves_out_the_last(world: World) -> None:
    """Else checkpoints of growing sizes could be collected while the ledger stands still."""
    last = world.checkpoints("operator_1")[-1]
    world.clock.sleep(13 * world.committee.rounds.seconds)

    assert ask(world, checkpoint_now(world, last.position)) == "no_change"
    assert ask(world, checkpoint_now(world, last.position + 1)) == "signed"


def test_pending_change_is_signed_while_log_time_stands(world: World) -> None:
    """The ledger stands still for longer than `max_age`; the outage is still to be applied."""
    world.stop("operator_2")
    assert ask(world, status_now(world, "operator_2", Status.DOWN)) == "signed"
    world.resume("operator_2")

    world.clock.sleep(2 * world.committee.rounds.max_age)

    assert ask(world, status_now(world, "operator_2", Status.UP)) == "signed"
    world.clock.sleep(world.committee.rounds.seconds)
    assert ask(world, status_now(world, "operator_2", Status.UP)) != "signed"


def test_a_change_is_pending_until_log_time_is_max_age_later(world: World) -> None:
    """The outage was signed and is never sent; checkpoints go on."""
    world.stop("operator_2")
    outage = status_now(world, "operator_2", Status.DOWN)
    assert ask(world, outage) == "signed"
    world.resume("operator_2")
    log = world.components("operator_1").log

    world.run(12)
    assert log.state.log_time <= outage.timestamp + world.committee.rounds.max_age
    assert ask(world, status_now(world, "operator_2", Status.UP)) == "signed"
    world.run(15)

    assert log.state.log_time > outage.timestamp + world.committee.rounds.max_age
    assert ask(world, status_now(world, "operator_2", Status.UP)) == "no_change"


def test_a_restarted_operator_still_signs_a_pending_change(world: World) -> None:
    world.stop("operator_2")
    assert ask(world, status_now(world, "operator_2", Status.DOWN)) == "signed"
    world.resume("operator_2")
    world.clock.sleep(2 * world.committee.rounds.max_age)

    world.restart("operator_1")

    assert ask(world, status_now(world, "operator_2", Status.UP)) == "signed"


def settled_totals(world: World, node_id: str = "operator_2") -> DowntimeClaim:
    """The claim about the last seconds that the log has settled."""
    log, committee = world.components("operator_1").log, world.committee
    last = log.state.checkpoint
    end = last.timestamp - committee.rounds.settled_after
    settling = log.state.settling(end)
    size = settling.position + 1
    return claim_at(log, node_id, (end - 10, end), size=size)


def test_totals_of_the_future_are_not_signed(world: World) -> None:
    """A quorum with clocks ahead has certified a checkpoint of the future; ours is right."""
    world.run(15)
    claim = settled_totals(world)
    assert ask(world, claim) == "signed"
    behind = world.clock.now - (claim.end + world.committee.rounds.settled_after)

    world.clock.now -= behind + 1
    assert ask(world, claim) == "behind"
    world.clock.now += 2
    assert ask(world, claim) == "signed"


def test_totals_are_not_signed_by_a_clock_that_nobody_has_confirmed(world: World) -> None:
    world.run(15)
    claim = settled_totals(world)
    world.cuts.add(("operator_1", "*"))
    world.restart("operator_1")

    assert ask(world, claim) == "clock"


def test_the_journal_does_not_wait_for_the_log(world: World) -> None:
    """A flood of events keeps the log in its transaction; an outage is signed nevertheless."""
    held, done = threading.Event(), threading.Event()
    answers: list[str] = []

    def hold() -> None:
        with world.services["operator_1"].databases[0].write() as connection:
            connection.exec_driver_sql("DELETE FROM refused")
            held.set()
            done.wait(timeout=60)

    world.stop("operator_2")
    claim = status_now(world, "operator_2", Status.DOWN)
    log = threading.Thread(target=hold)
    request = threading.Thread(target=lambda: answers.append(ask(world, claim)))
    log.start()
    try:
        assert held.wait(timeout=60)
        request.start()
        request.join(timeout=30)  # SQLite alone would wait for five seconds, then fail

        assert answers == ["signed"]
    finally:
        done.set()
        log.join()
        request.join()
