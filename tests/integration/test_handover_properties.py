"""Random schedules of faults, approvals and withdrawals, while a fleet changes its committee.

After every step and at the end the same holds, whatever happened:

* All logs agree, entry by entry and epoch by epoch.
* Every operator that signed an applied handover had its owner's approval of exactly that committee.
* No key signs under the id of a committee that the log beside it has left.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from committees import Members, make_members, secret
from dragon.log.downtime import totals
from dragon.protocol.claims import Claim
from dragon.protocol.claims.handover import AcceptanceClaim
from dragon.protocol.committee import byzantine_faults
from dragon.protocol.handover import Handover
from dragon.protocol.succession import check_successor
from dragon_operator.approvals import approval_path
from dragon_operator.attester import Attester
from epochs import new_operator, successor
from examples import examples
from simulation import World

STEPS = 10  # of one random schedule
MAX_ROUNDS = 40  # until a healed fleet has done what all owners have approved


@dataclass
class Approved:
    """One approval of an owner, with the time for which it was in force."""

    name: str
    committee: bytes
    begin: float
    end: float = float("inf")


@dataclass
class Schedule:
    """A fleet that is broken, healed and changed at random."""

    world: World
    rng: random.Random
    approvals: list[Approved] = field(default_factory=list)
    names: int = 4  # ids of operators that were given so far
    proposed: list[Members] = field(default_factory=list)  # which may follow the present committee

    # What people do

    def propose(self) -> Members:
        """Return a committee that may follow: someone joins, leaves or rotates a key."""
        members = self.world.members
        seated_by = self.newest_handover()
        kind = self.rng.choice(["join", "leave", "rotate", "same"])
        if kind == "leave" and len(members.secrets) <= 4:
            kind = "join"
        if kind == "join" and len(members.secrets) >= 6:
            kind = "leave"
        if kind == "join":
            made = successor(members, seated_by, add=[self.newcomer()])
        elif kind == "leave":
            made = successor(members, seated_by, drop=[self.rng.choice(list(members.secrets))])
        elif kind == "rotate":
            name = self.rng.choice(list(members.secrets))
            key = secret(f"{name} in {members.committee.epoch + 1}")
            made = successor(members, seated_by, rotate={name: key})
        else:
            made = successor(members, seated_by)
        self.proposed.append(made)
        return made

    def newcomer(self) -> str:
        """Return an operator that follows and was never listed; start one if there is none."""
        world = self.world
        waiting = [name for name in world.newcomers if name not in world.members.secrets]
        if waiting:
            return waiting[0]
        self.names += 1
        name = f"operator_{self.names}"
        world.join(name, secret(name), new_operator(name, secret(name)).url)
        return name

    def hold_next_keys(self, following: Members) -> None:
        """Give operators whose key changes the next one, as `dragon key new --rotate` does."""
        for name, key in following.secrets.items():
            present = self.world.members.secrets.get(name)
            if present is not None and present is not key:
                self.world.newcomers[name] = key
                self.world.restart(name)

    def approve(self, name: str, following: Members) -> None:
        self.withdraw(name)
        self.world.approve(name, following.committee)
        self.approvals.append(Approved(name, following.committee.id, self.world.clock.now))

    def withdraw(self, name: str) -> None:
        approval_path(self.world.database_file(name)).unlink(missing_ok=True)
        for each in self.approvals:
            if each.name == name and each.end == float("inf"):
                each.end = self.world.clock.now

    # What happens

    def step(self) -> None:
        """One event, and then one to three rounds."""
        world, rng = self.world, self.rng
        watchers = world.watchers()
        name = rng.choice(watchers)
        event = rng.choice(
            ["approve"] * 6 + ["withdraw", "stop", "hang", "cut", "clock", "crash", "heal", "heal"]
        )
        if event == "approve":
            fresh = not self.proposed or rng.random() < 0.2
            following = self.propose() if fresh else rng.choice(self.proposed)
            self.hold_next_keys(following)
            for each in rng.sample(watchers, rng.randint(1, len(watchers))):
                self.approve(each, following)
        elif event == "withdraw":
            self.withdraw(name)
        elif event in ("stop", "hang") and name not in world.outages:
            world.stop(name, "refuse" if event == "stop" else "hang")
        elif event == "cut":
            world.cuts.add((name, rng.choice([*watchers, "aggregator_0", "sequencer", "*"])))
        elif event == "clock":
            world.offsets[name] = rng.choice([-3.0, -1.0, 1.0, 3.0])
        elif event == "crash":
            self.restart(rng.choice([name, "aggregator_0"]))
        else:
            self.heal()
        world.run(rng.randint(1, 3))
        self.follow()

    def restart(self, name: str) -> None:
        stopped = self.world.outages.get(name)
        self.world.restart(name)
        if stopped is not None:
            self.world.outages[name] = stopped

    def heal(self) -> None:
        self.world.outages.clear()
        self.world.cuts.clear()
        self.world.offsets.clear()
        self.world.confirm_clocks(again=True)

    def follow(self) -> None:
        """Take the seats that a handover has given; what was proposed before cannot follow."""
        log = self.longest()
        while log.committee.epoch > self.world.members.committee.epoch:
            seated = {each.committee.epoch: each.committee for each in log.committees()}
            wanted = seated[self.world.members.committee.epoch + 1]
            following = next(each for each in self.proposed if each.committee == wanted)
            self.world.take_seats(following)
            self.proposed.clear()

    def run_until(self, holds: Callable[[], bool]) -> None:
        """Run rounds until a condition holds; fail if that takes too long."""
        for _ in range(MAX_ROUNDS):
            self.world.run(1)
            self.follow()
            if holds():
                return
        raise AssertionError(f"not within {MAX_ROUNDS} rounds")

    def longest(self) -> Any:
        """The log with the most entries."""
        logs = [self.world.components(name).log for name in self.world.with_a_log()]
        return max(logs, key=lambda log: log.state.size)

    def handovers(self) -> list[Handover]:
        entries = self.longest().entries(limit=100_000)
        return [entry.event for entry in entries if isinstance(entry.event, Handover)]

    def newest_handover(self) -> Handover | None:
        return next(reversed(self.handovers()), None)

    # What always holds

    def check(self) -> None:
        """Compare logs, and handovers with approvals."""
        longest = self.longest()
        known = [entry.leaf_hash for entry in longest.entries(limit=100_000)]
        seats = [(each.committee.id, each.position) for each in longest.committees()]
        for name in self.world.with_a_log():
            log = self.world.components(name).log
            assert log.alarm() is None, name
            mine = [entry.leaf_hash for entry in log.entries(limit=100_000)]
            assert mine == known[: len(mine)], name
            mine_seats = [(each.committee.id, each.position) for each in log.committees()]
            assert mine_seats == seats[: len(mine_seats)], name
        for handover in self.handovers():
            self.check_approved(handover)

    def check_approved(self, handover: Handover) -> None:
        claim = handover.claim
        rounds = self.world.committee.rounds
        begin, end = claim.timestamp - rounds.max_age, claim.timestamp + rounds.max_age
        for name in {*handover.signers, *handover.acceptance.signers}:
            assert any(
                each.name == name
                and each.committee == claim.next
                and each.begin <= end
                and each.end >= begin
                for each in self.approvals
            ), f"{name} has signed what its owner did not approve"
        seatings = self.longest().committees()
        holding = next(
            each.committee for each in seatings if each.committee.id == handover.committee_id
        )
        faults = byzantine_faults(len(holding.operators))
        assert len(handover.signers) >= holding.quorum("handover") - faults


@contextmanager
def watching_signatures() -> Iterator[list[tuple[str, int]]]:
    """Check each signature of each operator when it is made; yield (kind, epoch) of all."""
    genuine, seen = Attester.attest, []

    def attest(self: Any, claim: Claim, **given: Any) -> Any:
        made = genuine(self, claim, **given)
        log, seat = self._log, self._seat
        holding = log.committee
        following = holding if not isinstance(claim, AcceptanceClaim) else None
        if following is None:
            following = self._handover_checks.approved(claim)
            check_successor(log.state.known, log.state.sealed, following)
        assert made.committee_id == following.id
        assert made.signature == seat.secret(following).sign(claim.root(following.id))
        seen.append((claim.KIND, following.epoch))
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Attester, "attest", attest)
        yield seen


@settings(
    max_examples=examples(20, usual=1),
    deadline=None,
    phases=[Phase.generate],  # an example takes seconds, so a smaller one is not looked for
    suppress_health_check=list(HealthCheck),
)
@given(st.integers(0, 2**32))
@pytest.mark.timeout(600)
def test_random_schedules_of_faults_and_approvals(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    with (
        watching_signatures() as signatures,
        World(tmp_path_factory.mktemp("world"), make_members(4)) as world,
    ):
        world.run(2)
        schedule = Schedule(world, random.Random(seed))
        for _ in range(STEPS):
            schedule.step()
            schedule.check()
        schedule.heal()
        before = schedule.longest().state.log_time
        # Until whatever was signed for another committee can no longer be applied.
        schedule.run_until(lambda: schedule.longest().state.log_time > before + 40)
        following, epoch = schedule.propose(), world.members.committee.epoch
        schedule.hold_next_keys(following)
        for name in world.watchers():
            schedule.approve(name, following)
        schedule.run_until(
            lambda: {log.committee.id for log in all_logs(world)} == {following.committee.id}
        )
        schedule.check()
    assert ("handover", epoch) in signatures
    assert ("acceptance", epoch + 1) in signatures


def all_logs(world: World) -> list[Any]:
    return [world.components(name).log for name in world.with_a_log()]


# Outages across a handover


@settings(
    max_examples=examples(30, usual=1),
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(st.integers(-4, 3), st.integers(2, 8), st.sampled_from(["refuse", "hang"]))
@example(-2, 5, "hang")
@pytest.mark.timeout(300)
def test_an_outage_across_a_handover_is_certified(
    tmp_path_factory: pytest.TempPathFactory, begin: int, length: int, manner: str
) -> None:
    """In the log and in the totals, wherever the handover lies in it.

    Args:
        begin: rounds from the last approval to the outage.
        length: rounds.
    """
    with World(tmp_path_factory.mktemp("world"), make_members(4, targets=1)) as world:
        following, rounds = successor(world.members, None), world.committee.rounds
        world.run(7)
        for round_ in range(-4, 10):
            if round_ == 0:
                for name in world.operators:
                    world.approve(name, following.committee)
            if round_ == begin:
                world.stop("operator_2", manner)
                begun = world.clock.now
            if round_ == begin + length:
                world.resume("operator_2")
                ended = world.clock.now
            world.run(1)
        world.take_seats(following)
        world.run(16)

        state = world.components("operator_1").log.state
        _, down, up = state.nodes["operator_2"]
        assert state.committee == following.committee
        assert (str(down.status), str(up.status)) == ("down", "up")
        assert 0 <= down.timestamp - begun <= 2 * rounds.seconds
        assert 0 <= up.timestamp - ended <= 2 * rounds.seconds
        found = totals(state, state.size, "operator_2", (int(begun), up.timestamp))
        assert (found.seconds_down, found.seconds_unknown) == (up.timestamp - down.timestamp, 0)
