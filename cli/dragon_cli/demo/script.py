"""The demonstration: its steps in order, and how they are run."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeAlias

from dragon.encoding import to_hex
from dragon.errors import DragonError, StepFailed
from dragon_cli.demo.data_steps import DataSteps
from dragon_cli.demo.outage_steps import VICTIM, OutageSteps
from dragon_cli.demo.reading_steps import ReadingSteps
from dragon_cli.fleet.create import Plan, make_fleet
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.processes import Fleet
from dragon_cli.hints import hint_for, with_hint
from dragon_cli.render.committee import outage_table
from dragon_cli.render.output import console

Step: TypeAlias = tuple[str, Callable[[], str]]  # title, and what returns the outcome in words


def run(home: Home, plan: Plan, *, keeps_home: bool) -> None:
    """Create a fleet and run all steps on it. All services are stopped at the end.

    Args:
        home: the folder to create.
        plan: the properties of the fleet, which needs a prover, a stream service and an explorer.
        keeps_home: False if the folder is temporary.

    Raises StepFailed: a step failed.
    """
    committee = make_fleet(home, plan, genesis=int(time.time()))
    console.print(outage_table(plan.operators))
    console.print(f"Committee {to_hex(committee.id)}\n")
    with Fleet(home) as fleet:
        for number, (title, step) in enumerate(_steps(fleet), start=1):
            _run_step(number, title, step, keeps_home=keeps_home)


def _steps(fleet: Fleet) -> list[Step]:
    outage, data, readings = OutageSteps(fleet), DataSteps(fleet), ReadingSteps(fleet)
    return [
        ("start ledger, operators, aggregator, prover, stream service, explorer", outage.start),
        ("wait until every node is certified up", outage.all_up),
        ("stream a file: cut into chunks, prove, vote, register", data.stream),
        ("verify a receipt offline", data.verify),
        ("tamper with data and receipt", data.tamper),
        ("search the nodes' disks for the data", data.search),
        ("stream three days of a cold chain: 2 to 8 °C, and one hour too warm", readings.stream),
        ("search the nodes' disks for the readings", readings.search),
        (f"kill {VICTIM}", outage.kill),
        (f"wait until {VICTIM} is certified down", outage.certified_down),
        ("find the outage in the explorer", outage.explore),
        (f"restart {VICTIM}", outage.restart),
        (f"wait until {VICTIM} is certified up again", outage.certified_up),
        ("compare the logs of all operators", outage.equal),
        ("verify the outage offline", outage.verify),
        ("tamper with the certificate of the outage", outage.tamper),
        ("complete the receipt", data.complete),
        ("report on the cold chain", readings.report),
        ("verify every log", outage.verify_logs),
    ]


def _run_step(number: int, title: str, step: Callable[[], str], *, keeps_home: bool) -> None:
    console.print(f"[bold]{number:2}[/]  {title} …")
    try:
        outcome = step()
    except DragonError as error:
        failed = StepFailed(f"Step {number} ({title}) failed: {error}")
        raise with_hint(failed, _hint(error, keeps_home=keeps_home)) from error
    console.print(f"     [green]✓[/] {outcome}")


def _hint(error: DragonError, *, keeps_home: bool) -> str:
    hint = hint_for(error)
    if type(error) is StepFailed and not keeps_home:  # its hint names the temporary folder
        return "`dragon demo --home FOLDER` keeps the output of the services."
    return hint or ""
