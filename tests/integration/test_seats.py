"""An operator takes its seat, rotates its key and loses its seat, without a restart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from committees import Members, make_members, secret
from dragon.errors import UnknownNode
from dragon.protocol.claims.downtime import DowntimeClaim
from dragon_operator.approvals import LAPSES_SECONDS
from epochs import propose
from simulation import World

NEW = "operator_5"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path, make_members(4, targets=1)) as world:
        world.run(3)
        yield world


def hand_over(world: World, following: Members) -> None:
    world.run(3)
    assert world.components("operator_1").log.committee == following.committee
    world.take_seats(following)


def join(world: World) -> None:
    world.join(NEW, secret(NEW), "http://operator-5:5000")


def reasons(world: World, name: str) -> list[str]:
    return [str(reason) for reason in world.get(name, "/readyz").json()["reasons"]]


def metric(world: World, name: str, metric: str) -> float:
    lines = world.get(name, "/metrics").text.splitlines()
    [value] = [line.split()[1] for line in lines if line.startswith(f"datadragon_{metric} ")]
    return float(value)


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_a_newcomer_follows_without_a_seat_and_takes_it(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    join(world)
    world.run(1)
    assert "seat: not in the committee of epoch 0" in reasons(world, NEW)
    assert metric(world, NEW, "seated") == metric(world, NEW, "committee_epoch") == 0
    following = propose(world, add=[NEW])
    assert metric(world, NEW, "approved") == 1

    hand_over(world, following)

    assert not [each for each in reasons(world, NEW) if each.startswith("seat")]
    assert metric(world, NEW, "seated") == metric(world, NEW, "committee_epoch") == 1
    assert metric(world, NEW, "approved") == 0  # it is no approval of a next committee any more
    assert metric(world, "aggregator_0", "committee_epoch") == 1
    assert any("seat_taken" in line for line in logged(caplog))
    assert any("handover_applied" in line for line in logged(caplog))


def test_an_operator_that_leaves_follows_on(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    join(world)
    following = propose(world, add=[NEW], drop=["operator_4"])
    world.run(3)

    log = world.components("operator_4").log
    assert log.committee == following.committee
    assert "seat: not in the committee of epoch 1" in reasons(world, "operator_4")
    assert not [each for each in reasons(world, "operator_4") if "not_certifying" in each]
    assert any("seat_lost" in line for line in logged(caplog))
    world.take_seats(following)
    world.run(2)
    assert world.statuses("operator_1")[NEW] == "up"


def test_removed_node_is_unknown_not_down(world: World) -> None:
    following = propose(world, targets=())
    world.run(2)
    world.take_seats(following)
    world.run(14)

    for name in world.with_a_log():
        state = world.components(name).log.state
        assert state.status("target_1") is None, name
    assert "target_1" not in world.get("operator_1", "/nodes").text
    assert all(
        "target_1" not in world.components(name).peers.probe_results for name in world.operators
    )


def test_the_downtime_of_a_removed_node_is_certified(world: World) -> None:
    world.run(14)
    following = propose(world, targets=())
    world.run(2)
    world.take_seats(following)
    log = world.components("operator_1").log
    left = log.state.seat
    while log.state.settling(left + 10) is None:
        world.run(1)

    certified = world.components("aggregator_0").downtime.certify("target_1", left - 20, left + 10)

    certified.verify(following.committee)
    assert isinstance(certified.claim, DowntimeClaim)
    assert (certified.claim.seconds_down, certified.claim.seconds_unknown) == (20, 10)
    path = f"/nodes/target_1/downtime?from={left - 20}&to={left + 10}"
    assert world.get("operator_1", path).json()["seconds_unknown"] == 10
    with pytest.raises(UnknownNode):
        world.components("aggregator_0").downtime.certify("target_9", left - 20, left + 10)


def test_an_approval_lapses(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.stop("operator_3")
    world.stop("operator_4")  # without them, no quorum hands over
    following = propose(world, rotate={"operator_2": secret("operator_2 again")})
    approvals = world.components("operator_1").approvals
    assert approvals.current() == following.committee

    world.clock.sleep(LAPSES_SECONDS + 1)

    assert metric(world, "operator_1", "approved") == 0
    assert approvals.current() is None
    assert sum("approval_lapsed" in line for line in logged(caplog)) == 1
