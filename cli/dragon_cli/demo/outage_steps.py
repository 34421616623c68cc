"""The steps about nodes: an operator is killed, certified down, and restarted."""

from __future__ import annotations

import json
import time
from typing import Final

from dragon.encoding import Json
from dragon.errors import StepFailed
from dragon_cli.demo.commands import verify_by_command
from dragon_cli.fleet import queries
from dragon_cli.fleet.layout import EXPLORER
from dragon_cli.fleet.processes import COMPILING_NOTE, Fleet
from dragon_cli.render.output import console, plain
from dragon_cli.render.text import moment

VICTIM: Final = "operator_2"
CERTIFIED_SECONDS: Final = 25.0
RESTART_SECONDS: Final = 30.0
EQUAL_SECONDS: Final = 10.0
EXPLORER_SECONDS: Final = 15.0


def _say(line: str) -> None:
    console.print(f"     {plain(line)}")


class OutageSteps:
    """Each method is a step and returns its outcome in words. Raises StepFailed."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self._operators = list(fleet.committee.keys)
        self._others = [operator for operator in self._operators if operator != VICTIM]
        self._exported = fleet.home.path / "down-event.json"

    def start(self) -> str:
        """Start all services."""
        begun = time.monotonic()
        self.fleet.start_all()
        self.fleet.wait_ready(_say)
        took = time.monotonic() - begun
        if self.fleet.compiling():
            _say(COMPILING_NOTE)
        console.print(f"     Watch everything that follows at {self._explorer}/")
        return f"{len(self.fleet.addresses)} services, all ready after {took:.1f} s"

    def all_up(self) -> str:
        """Wait until all nodes are up in all logs."""
        wanted = dict.fromkeys(self._operators, "up")
        took = self._wait_logs(self._operators, wanted, "every node is certified up in every log")
        return f"certified in all {len(self._operators)} logs after {took:.1f} s"

    def kill(self) -> str:
        """Kill the victim."""
        self.fleet.kill(VICTIM)
        return f"sent SIGKILL to {VICTIM} at {moment(int(time.time()))}"

    def certified_down(self) -> str:
        """Wait until the other logs have the victim down."""
        what = f"{VICTIM} is certified down in the other logs"
        took = self._wait_logs(self._others, {VICTIM: "down"}, what)
        return f"the same event is in {len(self._others)} logs [bold]{took:.1f} s[/] after the kill"

    def explore(self) -> str:
        """Wait until the explorer shows the outage with the certificate of the operators' logs."""
        self.fleet.wait_until(
            lambda: self._incident() is not None, "the explorer shows the outage", EXPLORER_SECONDS
        )
        position = self._incident()
        shown = self.fleet.get(EXPLORER, f"/api/incidents/{position}")
        logged = self.fleet.get(self._others[0], f"/events/{position}")
        if shown["certificate"] != logged["event"]:
            raise StepFailed("The explorer shows another certificate than the operators' logs.")
        return f"{self._explorer}/incidents/{position} shows it, with the operators' certificate"

    def restart(self) -> str:
        """Restart the victim and wait until it has read the ledger."""
        size = self.fleet.view(self._others[0]).size
        self.fleet.start(VICTIM)
        took = self.fleet.wait_until(
            lambda: self.fleet.view(VICTIM).size >= size,
            f"{VICTIM} has read {size} events from the ledger",
            RESTART_SECONDS,
        )
        return f"{VICTIM} read {size} events from the ledger in {took:.1f} s"

    def certified_up(self) -> str:
        """Wait until all logs have the victim up."""
        what = f"{VICTIM} is certified up in every log"
        took = self._wait_logs(self._operators, {VICTIM: "up"}, what)
        return f"certified in all {len(self._operators)} logs after {took:.1f} s"

    def equal(self) -> str:
        """Wait until all logs are equal."""
        self.fleet.wait_until(self._are_equal, "all logs are equal", EQUAL_SECONDS)
        for view in self.fleet.views():
            console.print(f"     {view.operator}  {view.size} events  {view.root}")
        return f"all {len(self._operators)} logs have the same size and root"

    def verify(self) -> str:
        """Export the `down` event and verify it in a process that has only two files."""
        self._exported.write_text(json.dumps(self._find_down(), indent=2))
        console.print(f"     {verify_by_command(self.fleet, 'event', self._exported)}")
        return f"{self._exported.name} is verified offline"

    def tamper(self) -> str:
        """Change the certificate in two ways; each must be refused by name, with exit code 1."""
        event = json.loads(self._exported.read_text())["event"]
        path = self.fleet.home.path / "tampered.json"
        for changes in (
            {"node_id": "operator_3", "status": "up"},
            {"signers": event["signers"][:1]},
        ):
            path.write_text(json.dumps({**event, **changes}))
            console.print(f"     {verify_by_command(self.fleet, 'certificate', path, expect=1)}")
        return "both changed certificates are refused"

    def verify_logs(self) -> str:
        """Verify all logs."""
        for operator in self._operators:
            verify_by_command(self.fleet, "log", self.fleet.home.database(operator))
        return "all entries of every log are valid"

    @property
    def _explorer(self) -> str:
        """The address of the explorer for a browser."""
        return self.fleet.addresses[EXPLORER].replace("127.0.0.1", "localhost")

    def _incident(self) -> Json:
        """The position of the victim's outage in the explorer, or None."""
        listed = queries.rows(self.fleet.get(EXPLORER, "/api/incidents"), "incidents")
        return next((each["position"] for each in listed if each.get("node_id") == VICTIM), None)

    def _wait_logs(self, operators: list[str], wanted: dict[str, str], what: str) -> float:
        def true() -> bool:
            views = [self.fleet.view(operator) for operator in operators]
            return all(
                view.status(node_id) == status
                for view in views
                for node_id, status in wanted.items()
            )

        return self.fleet.wait_until(true, what, CERTIFIED_SECONDS)

    def _are_equal(self) -> bool:
        return len({(view.size, view.root, view.error) for view in self.fleet.views()}) == 1

    def _find_down(self) -> dict[str, object]:
        operator = self._others[0]
        for position in range(self.fleet.view(operator).size):
            logged = self.fleet.get(operator, f"/events/{position}")
            event = logged["event"]
            if isinstance(event, dict) and event.get("status") == "down":
                return dict(logged)
        raise StepFailed("The `down` event is not in the log.")
