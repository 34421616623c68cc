"""`dragon init`: a committee, its keys, and the network that orders its events."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import click
from rich.table import Table

from dragon.encoding import to_hex
from dragon.protocol.committee import Committee, byzantine_faults, quorum_of
from dragon_cli.fleet.compose import OVERRIDE, override, write_override
from dragon_cli.fleet.create import Plan, Ports, check_plan, make_fleet, make_once
from dragon_cli.fleet.layout import Home
from dragon_cli.options import home_option, json_option
from dragon_cli.render.output import console, print_json

MOST_EXPERTS: Final = 8  # that keys are made for here


def outage_table(operators: int) -> Table:
    """What a committee of each size withstands; the chosen size is marked."""
    table = Table(title="What a committee withstands", title_justify="left")
    for column in ("operators", "quorum", "may be out at once", "may lie", "two quorums share"):
        table.add_column(column, justify="right")
    for size in sorted({3, 4, 5, 6, 7, 10, operators}):
        quorum = quorum_of("byzantine", size)
        faults = byzantine_faults(size)
        shared = 2 * quorum - size
        honest = f"{shared}, at least {shared - faults} honest" if faults else "1, perhaps the liar"
        row = (str(size), str(quorum), str(size - quorum), str(faults), honest)
        table.add_row(*row, style="bold green" if size == operators else None)
    return table


@click.command(
    "init",
    # For containers: `DRAGON_INIT_OPERATORS=7` does what `--operators 7` does.
    context_settings={"auto_envvar_prefix": "DRAGON_INIT"},
)
@home_option
@click.option("--name", default="local", help="What the committee is called.")
@click.option("--operators", type=click.IntRange(3, 64), default=4, show_default=True)
@click.option("--experts", type=click.IntRange(0, MOST_EXPERTS), default=0, show_default=True)
@click.option("--round-seconds", type=click.IntRange(2, 3600), default=5, show_default=True)
@click.option("--base-port", type=click.IntRange(1, 65000), default=5001, show_default=True)
@click.option("--aggregator-port", type=click.IntRange(1, 65535), default=5100, show_default=True)
@click.option("--sequencer-port", type=click.IntRange(1, 65535), default=6001, show_default=True)
@click.option("--prover-port", type=click.IntRange(1, 65535), default=5200, show_default=True)
@click.option("--stream-port", type=click.IntRange(1, 65535), default=5300, show_default=True)
@click.option("--sequencer-nodes", type=click.IntRange(1, 4), default=4, show_default=True)
@click.option("--app", default="datadragon", help="The app on the sequencer.", show_default=True)
@click.option("--threshold", type=click.IntRange(1, 100), default=67, show_default=True)
@click.option(
    "--nodes-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The node list of a Zellular network that is there already.",
)
@click.option("--containers", is_flag=True, help="Each service is a host with its own name.")
@click.option("--once", is_flag=True, help="Be content if this very committee is there already.")
@click.option("--compose", is_flag=True, help=f"Make no keys: write {OVERRIDE} for containers.")
@click.option("--tls", is_flag=True, help="Services talk over TLS, with an authority made here.")
@json_option
def init(
    home: Path,
    name: str,
    operators: int,
    experts: int,
    round_seconds: int,
    base_port: int,
    aggregator_port: int,
    sequencer_port: int,
    prover_port: int,
    stream_port: int,
    sequencer_nodes: int,
    app: str,
    threshold: int,
    nodes_file: Path | None,
    containers: bool,
    once: bool,
    compose: bool,
    tls: bool,
    as_json: bool,
) -> None:
    """Make a committee: keys, keystores, committee file and node list.

    Every option can come from the environment too: DRAGON_INIT_OPERATORS for --operators.
    """
    plan = Plan(
        name=name,
        operators=operators,
        experts=experts,
        round_seconds=round_seconds,
        sequencer_nodes=sequencer_nodes,
        ports=Ports(base_port, aggregator_port, sequencer_port, prover_port, stream_port),
        app=app,
        threshold_percent=threshold,
        nodes_file=nodes_file,
        containers=containers,
        tls=tls,
    )
    if compose:
        _compose(plan, as_json=as_json)
        return
    make = make_once if once else make_fleet
    committee = make(Home(home), plan, genesis=int(time.time()))
    if as_json:
        print_json(_as_json(committee, home))
        return
    console.print(outage_table(operators))
    console.print(f"committee 0x{committee.id.hex()} of {operators} operators in {home}/")
    if committee.experts:
        named = ", ".join(committee.expert_keys)
        console.print(f"its experts: {named}; give each its own folder in `{home}/keys`")
    if not containers:
        console.print(f"`dragon up --home {home}` starts it, `{home}/keys` is private")


def _compose(plan: Plan, *, as_json: bool) -> None:
    usual = Plan(ports=Ports(prover=plan.ports.prover, streams=plan.ports.streams))
    if (plan.ports, plan.nodes_file) != (usual.ports, None):
        raise click.UsageError("ports and node list are not set in the override")
    if plan.experts:
        raise click.UsageError("experts' keys do not belong into the fleet's containers")
    settings = {
        "operators": plan.operators,
        **({"name": plan.name} if plan.name != usual.name else {}),
        "round_seconds": plan.round_seconds,
        **({"app": plan.app} if plan.app != usual.app else {}),
        "threshold": plan.threshold_percent,
        "sequencer_nodes": plan.sequencer_nodes,
        **({"tls": plan.tls} if plan.tls else {}),
    }
    check_plan(plan)
    write_override(Path(OVERRIDE), override(plan.operators, settings, plan.ports.operators))
    if as_json:
        print_json({"file": OVERRIDE, "operators": plan.operators})
        return
    console.print(outage_table(plan.operators))
    console.print(f"{OVERRIDE} is written: `docker-compose up` starts {plan.operators} operators")


def _as_json(committee: Committee, home: Path) -> dict[str, object]:
    size, quorum = len(committee.operators), committee.quorum("status")
    return {
        "committee": to_hex(committee.id),
        "name": committee.name,
        "home": str(home),
        "operators": [
            {"id": one.id, "url": one.url, "public_key": to_hex(one.public_key.raw)}
            for one in committee.operators
        ],
        "experts": [
            {"id": one.id, "public_key": to_hex(one.public_key.raw)} for one in committee.experts
        ],
        "quorum": quorum,
        "may_be_out": size - quorum,
        "may_lie": byzantine_faults(size),
    }
