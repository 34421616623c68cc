"""`dragon demo`: two stories. Data becomes receipts that anyone can check, while no node sees it.
And a node is killed, and within seconds everybody else can prove it.

Real processes, real signatures, a real ledger in between. Each step says what it saw; the first one
that fails says which and why.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import click

from dragon.errors import DragonError, StepFailed
from dragon_cli.commands.init import outage_table
from dragon_cli.demo.streams import DataStory, verify_by_command
from dragon_cli.fleet.create import Plan, Ports, make_fleet
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.processes import Fleet, interrupt_on_signals
from dragon_cli.render.output import console, moment

VICTIM: Final = "operator_2"
CERTIFIED_SECONDS: Final = 25.0


class Story:
    """The steps about nodes, in order, on one fleet."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.others = [operator for operator in fleet.committee.keys if operator != VICTIM]
        self._everybody = list(fleet.committee.keys)

    def start(self) -> str:
        begun = time.monotonic()
        self.fleet.start_all()
        self.fleet.wait_ready()
        took = time.monotonic() - begun
        return f"{len(self.fleet.addresses)} services, all ready after {took:.1f} s"

    def all_up(self) -> str:
        wanted = dict.fromkeys(self._everybody, "up")
        took = self._wait_logs(self._everybody, wanted, "every node is certified up in every log")
        return f"in all four logs after {took:.1f} s"

    def kill(self) -> str:
        self.fleet.kill(VICTIM)
        return f"{VICTIM} got SIGKILL at {moment(int(time.time()))}"

    def certified_down(self) -> str:
        what = f"{VICTIM} is certified down in the other logs"
        took = self._wait_logs(self.others, {VICTIM: "down"}, what)
        return f"the same event in {len(self.others)} logs [bold]{took:.1f} s[/] after the kill"

    def restart(self) -> str:
        size = self.fleet.view(self.others[0]).size
        self.fleet.start(VICTIM)
        took = self.fleet.wait_until(
            lambda: self.fleet.view(VICTIM).size >= size, f"{VICTIM} has caught up", 30.0
        )
        return f"{VICTIM} caught up from the ledger to {size} events in {took:.1f} s"

    def certified_up(self) -> str:
        what = f"{VICTIM} is certified up in every log"
        took = self._wait_logs(self._everybody, {VICTIM: "up"}, what)
        return f"in all four logs after {took:.1f} s"

    def equal(self) -> str:
        self.fleet.wait_until(self._are_equal, "all logs are equal", 10.0)
        for seen in self.fleet.views():
            console.print(f"     {seen.operator}  {seen.size} events  {seen.root}")
        return "size and root are the same in all four"

    def verify(self) -> str:
        """Export the `down` event and check it in a process that is given nothing but two files."""
        exported = self.fleet.home.path / "down-event.json"
        logged = self._find_down()
        exported.write_text(json.dumps(logged, indent=2))
        console.print(f"     {verify_by_command(self.fleet, 'event', exported)}")
        return f"{exported.name} is verified offline"

    def tamper(self) -> str:
        """One field changed: the named refusal, and exit code 1."""
        tampered = json.loads((self.fleet.home.path / "down-event.json").read_text())["event"]
        path = self.fleet.home.path / "tampered.json"
        path.write_text(json.dumps({**tampered, "node_id": "operator_3", "status": "up"}))
        said = verify_by_command(self.fleet, "certificate", path, expect=1)
        path.write_text(json.dumps({**tampered, "signers": tampered["signers"][:1]}))
        console.print(f"     {said}")
        console.print(f"     {verify_by_command(self.fleet, 'certificate', path, expect=1)}")
        return "both tampered copies are refused"

    def verify_logs(self) -> str:
        for operator in self._everybody:
            verify_by_command(self.fleet, "log", self.fleet.home.database(operator))
        return "every log is right from its first entry"

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
        views = self.fleet.views()
        return len({(seen.size, seen.root, seen.trouble) for seen in views}) == 1

    def _find_down(self) -> dict[str, object]:
        operator = self.others[0]
        for position in range(self.fleet.view(operator).size):
            logged = self.fleet.get(operator, f"/events/{position}")
            event = logged["event"]
            if isinstance(event, dict) and event.get("status") == "down":
                return dict(logged)
        raise StepFailed("the down event is not in the log")


def tell(home: Home, plan: Plan) -> None:
    """The whole story. Raises StepFailed: a step went wrong; nothing is left running."""
    committee = make_fleet(home, plan, genesis=int(time.time()))
    console.print(outage_table(plan.operators))
    console.print(f"committee 0x{committee.id.hex()}\n")
    with Fleet(home) as fleet:
        story, data = Story(fleet), DataStory(fleet)
        steps: list[tuple[str, Callable[[], str]]] = [
            ("start sequencer, operators, aggregator, prover, stream service", story.start),
            ("every node is certified up", story.all_up),
            ("stream a file: chunk, prove, vote, register", data.stream),
            ("verify a receipt, offline", data.verify),
            ("tamper with it", data.tamper),
            ("look for the data where no data should be", data.search),
            (f"kill {VICTIM}", story.kill),
            (f"{VICTIM} is certified down", story.certified_down),
            (f"restart {VICTIM}", story.restart),
            (f"{VICTIM} is certified up again", story.certified_up),
            ("compare the logs", story.equal),
            ("verify the outage, offline", story.verify),
            ("tamper with it", story.tamper),
            ("complete the receipt", data.complete),
            ("verify every log", story.verify_logs),
        ]
        for number, (title, step) in enumerate(steps, start=1):
            _take(number, title, step)


def _take(number: int, title: str, step: Callable[[], str]) -> None:
    console.print(f"[bold]{number:2}[/]  {title} …")
    try:
        outcome = step()
    except DragonError as error:
        raise StepFailed(f"step {number} ({title}) failed: {error}") from error
    console.print(f"     [green]✓[/] {outcome}")


@click.command()
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep the fleet's folder here; a temporary one by default.",
)
@click.option("--base-port", type=click.IntRange(1, 65000), default=5001, show_default=True)
@click.option("--aggregator-port", type=click.IntRange(1, 65535), default=5100, show_default=True)
@click.option("--sequencer-port", type=click.IntRange(1, 65535), default=6001, show_default=True)
@click.option("--prover-port", type=click.IntRange(1, 65535), default=5200, show_default=True)
@click.option("--stream-port", type=click.IntRange(1, 65535), default=5300, show_default=True)
@click.option("--round-seconds", type=click.IntRange(2, 60), default=5, show_default=True)
def demo(
    home: Path | None,
    base_port: int,
    aggregator_port: int,
    sequencer_port: int,
    prover_port: int,
    stream_port: int,
    round_seconds: int,
) -> None:
    """Show it: data is certified while no node sees it; a node is killed and certified down."""
    interrupt_on_signals()
    ports = Ports(base_port, aggregator_port, sequencer_port, prover_port, stream_port)
    plan = Plan(name="demo", ports=ports, round_seconds=round_seconds)
    begun = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="datadragon-") as temporary:
            tell(Home(home or Path(temporary)), plan)
    except KeyboardInterrupt:
        console.print("\ninterrupted; everything is stopped")
        raise SystemExit(130) from None
    console.print(f"\nall of it took {time.monotonic() - begun:.0f} s, and nothing is left running")
