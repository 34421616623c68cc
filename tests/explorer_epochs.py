"""An explorer on a simulated fleet that has changed its committee three times.

python tests/explorer_epochs.py 26400      # serves it on a local port
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from committees import Members, make_members, secret
from dragon.protocol.committee import Committee, Target
from dragon.protocol.handover import Handover
from dragon.protocol.rounds import Rounds
from epochs import successor
from explorer_fleet import SmallExplorerWorld, _answer

SHORT, LONG = 5, 10  # round lengths in seconds
MAX_ROUNDS = 3  # from the last approval to the seat


class EpochsWorld(SmallExplorerWorld):
    """A simulated fleet with an explorer, which hands over."""

    def following(self, **changes: Any) -> Members:
        """The next committee; `changes` as for `epochs.successor`."""
        position = self.explorer.log.state.handover
        event = self.explorer.log.entry(position.position).event if position else None
        assert event is None or isinstance(event, Handover)
        return successor(self.members, event, **changes)

    def bring(self, name: str, following: Members) -> None:
        """Start an operator that has no seat yet."""
        [url] = [each.url for each in following.committee.operators if each.id == name]
        self.join(name, secret(name), url)

    def hand_over(self, following: Members, approving: Iterable[str] | None = None) -> None:
        """Let owners approve the next committee, and wait until it has its seat."""
        for name in self.watchers() if approving is None else approving:
            if self.is_answering(name):
                self.approve(name, following.committee)
        for _ in range(MAX_ROUNDS):
            if self.explorer.log.committee != following.committee:
                self.run(1)
        assert self.explorer.log.committee == following.committee
        self.take_seats(following)


def with_length(committee: Committee, seconds: int) -> Rounds:
    return replace(committee.rounds, seconds=seconds)


def three_handovers(folder: Path) -> EpochsWorld:
    """A fleet in epoch 3, with a fourth handover that two of four owners have approved.

    Epoch 1: operator_5 joins. Epoch 2: rounds take 10 s, target_3 joins. Epoch 3: target_2 leaves
    while it is down, and operator_4. Pending: operator_6 follows in step, without a seat.
    The caller ends the world.
    """
    world = EpochsWorld(folder, make_members(4, targets=2, experts=1), verify_at_end=False)
    for target in ("target_1", "target_2", "target_3"):
        host = f"{target.replace('_', '-')}:80"
        world.names[host] = target
        world.wires.mount(host, _answer)
    world.run(2)
    first = world.following(add=["operator_5"])
    world.bring("operator_5", first)
    world.run(1)
    world.hand_over(first)
    world.run(2)

    targets = (*world.committee.targets, Target("target_3", "http://target-3:80"))
    second = world.following(rounds=with_length(world.committee, LONG), targets=targets)
    world.hand_over(second, ["operator_1", "operator_2", "operator_3", "operator_5"])
    world.run(2)
    world.stop("target_2")
    world.run(2)

    left = tuple(each for each in world.committee.targets if each.id != "target_2")
    third = world.following(drop=["operator_4"], targets=left)
    world.hand_over(third)
    world.crash("operator_4")
    world.clock.now += 12 * LONG  # until the next checkpoint is due
    world.run(2)

    fourth = world.following(add=["operator_6"])
    world.bring("operator_6", fourth)
    other = world.following(rounds=with_length(world.committee, SHORT))
    world.approve("operator_1", fourth.committee)
    world.approve("operator_2", fourth.committee)
    world.approve("operator_3", other.committee)
    world.approve("operator_6", fourth.committee)
    world.run(2)
    return world


def main(port: int) -> None:
    """Serve the explorer of such a fleet on a local port."""
    with tempfile.TemporaryDirectory() as folder, three_handovers(Path(folder)) as world:
        app = world.app()
        app.config["TEMPLATES_AUTO_RELOAD"] = True
        app.run("127.0.0.1", port, threaded=False)


if __name__ == "__main__":
    main(int(sys.argv[1]))
