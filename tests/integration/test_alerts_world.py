"""Alerts of an explorer on a simulated fleet: an operator that sees no peers, and its return."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from alerting import Receiver, config
from dragon_explorer.alerts.alerting import Alerting, open_database
from dragon_explorer.alerts.conditions import Condition
from dragon_explorer.alerts.delivery import Worker
from dragon_explorer.alerts.live_conditions import CLEAR_SECONDS, GRACE_SECONDS
from explorer_fleet import EXPLORER, SmallExplorerWorld

MAX_ROUNDS: Final = 8  # until something is told


class AlertingWorld(SmallExplorerWorld):
    """A simulated fleet with an explorer and its alerts."""

    def attach_alerts(self, *on: Condition) -> None:
        runtime = self.runtime(EXPLORER)
        database = open_database(self.database_file(EXPLORER))
        running = self.services[EXPLORER]
        running.databases = [*running.databases, database]
        made = Alerting.assemble(
            config(*on, after_seconds=0),
            self.explorer.sources,
            database,
            runtime,
            client=lambda _: runtime.http,
        )
        self.receiver = Receiver()
        worker = Worker("team", self.receiver, made.outbox, runtime.wall, runtime.entropy)
        self.alerting = replace(made, workers=[worker])

    def run_until(self, *types: str) -> None:
        """Run rounds until messages of these types have come, and no others."""
        for _ in range(MAX_ROUNDS):
            self.run()
            while self.alerting.engine.step():
                pass
            while self.alerting.workers[0].step():
                pass
            if len(self.receiver.types) >= len(types):
                break
        assert sorted(self.receiver.types) == sorted(types)


def test_an_operator_that_sees_no_peers_is_told_as_blind_and_so_is_its_return(
    tmp_path: Path,
) -> None:
    with AlertingWorld(tmp_path) as world:
        world.attach_alerts(Condition.OPERATOR, Condition.QUORUM)
        world.clock.now += GRACE_SECONDS
        world.run(2)

        world.cuts |= {("operator_3", name) for name in world.operators if name != "operator_3"}
        world.run_until("operator.begun", "quorum.begun")
        texts = {each.type: each.text for each in world.receiver.messages}
        assert "operator_3 states: blind: too few peers answer" in texts["operator.begun"]
        assert "3 of 4 operators agree. One more fault" in texts["quorum.begun"]
        assert set(world.statuses("operator_1").values()) == {"up"}  # nobody else is in trouble

        world.receiver.messages.clear()
        world.cuts.clear()
        world.run()
        world.clock.now += CLEAR_SECONDS
        world.run_until("operator.resolved", "quorum.resolved")
