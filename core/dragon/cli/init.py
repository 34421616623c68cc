"""`dragon init`: a committee, its keys, and the network that orders its events."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
from rich.table import Table

from dragon import bls, keystore
from dragon.cli import entrypoints
from dragon.cli.home import Home
from dragon.cli.options import json_option
from dragon.cli.output import console, print_json
from dragon.cli.trouble import CommitteeExists, UnusableFile
from dragon.committee import (
    DEFAULT_QUORUMS,
    Aggregator,
    Committee,
    Operator,
    Rounds,
    Sequencer,
    byzantine_faults,
    quorum_of,
)
from dragon.encoding import to_hex
from dragon.errors import SettingsError

LONGEST_NAME: Final = 64


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the services of a local fleet listen (design: 5001 …, 5100, 6001)."""

    operators: int = 5001  # the first operator's; the others follow
    aggregator: int = 5100
    sequencer: int = 6001


@dataclass(frozen=True, slots=True)
class Plan:
    """What to make."""

    name: str = "local"
    operators: int = 4
    round_seconds: int = 5
    sequencer_nodes: int = 4
    host: str = "127.0.0.1"
    ports: Ports = Ports()
    app: str = "datadragon"
    threshold_percent: int = 67
    nodes_file: Path | None = None  # of a network that is there already


def make_fleet(home: Home, plan: Plan, *, genesis: int) -> Committee:
    """Make keys and committee in `home`. Raises CommitteeExists: there is one already."""
    if home.committee_file.exists():
        message = f"{home.committee_file} is there already; a committee is never overwritten"
        raise CommitteeExists(message)
    _check(plan)
    digest = _network(home, plan)
    operators = [_operator(home, plan, number) for number in range(plan.operators)]
    committee = Committee(
        name=plan.name,
        rounds=Rounds(genesis, plan.round_seconds),
        quorum_rules=dict(DEFAULT_QUORUMS),
        operators=tuple(operators),
        experts=(),
        targets=(),
        aggregators=(Aggregator(f"http://{plan.host}:{plan.ports.aggregator}", 0),),
        sequencer=Sequencer(plan.app, plan.threshold_percent, digest),
    )
    written = json.dumps(committee.to_json(), indent=2) + "\n"
    Committee.load(written.encode())
    # Last: a folder without this file is one that `init` did not finish.
    home.committee_file.write_text(written)
    return committee


def _check(plan: Plan) -> None:
    """What the committee file could not hold, before any key is made. Raises SettingsError."""
    for option, text in (("--name", plan.name), ("--app", plan.app)):
        if not 0 < len(text) <= LONGEST_NAME:
            raise SettingsError(f"{option} has 1 to {LONGEST_NAME} characters")
    ports = plan.ports
    taken = [*range(ports.operators, ports.operators + plan.operators), ports.aggregator]
    taken += [] if plan.nodes_file else [ports.sequencer]
    if len(set(taken)) < len(taken) or max(taken) > 65535:
        raise SettingsError("two services would listen on one port, or on none that there is")


def _network(home: Home, plan: Plan) -> bytes:
    """The node list's digest; makes a development network unless one is named."""
    home.path.mkdir(parents=True, exist_ok=True)
    if plan.nodes_file is not None:
        listed = _read_text(plan.nodes_file)
        home.nodes_file.write_text(listed)
        return entrypoints.nodes_digest()(listed)
    socket = f"http://{plan.host}:{plan.ports.sequencer}"
    keys, listed, digest = entrypoints.make_network()(plan.sequencer_nodes, socket)
    keystore.write_private(home.sequencer_keys, keys)
    home.nodes_file.write_text(listed)
    return digest


def _read_text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError:
        raise UnusableFile(f"{file} is no text") from None


def _operator(home: Home, plan: Plan, number: int) -> Operator:
    operator = f"operator_{number + 1}"
    secret = bls.SecretKey.generate(secrets.token_bytes(32))
    password = secrets.token_urlsafe(24)
    keystore.write_private(home.keystore(operator), keystore.seal(secret, password))
    keystore.write_private(home.password(operator), password + "\n")
    return Operator(
        id=operator,
        url=f"http://{plan.host}:{plan.ports.operators + number}",
        public_key=secret.public_key(),
        proof_of_possession=secret.prove_possession(),
    )


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


@click.command("init")
@click.option("--home", type=click.Path(path_type=Path, file_okay=False), default="fleet")
@click.option("--name", default="local", help="What the committee is called.")
@click.option("--operators", type=click.IntRange(3, 64), default=4, show_default=True)
@click.option("--round-seconds", type=click.IntRange(2, 3600), default=5, show_default=True)
@click.option("--base-port", type=click.IntRange(1, 65000), default=5001, show_default=True)
@click.option("--aggregator-port", type=click.IntRange(1, 65535), default=5100, show_default=True)
@click.option("--sequencer-port", type=click.IntRange(1, 65535), default=6001, show_default=True)
@click.option("--sequencer-nodes", type=click.IntRange(1, 4), default=4, show_default=True)
@click.option("--app", default="datadragon", help="The app on the sequencer.", show_default=True)
@click.option("--threshold", type=click.IntRange(1, 100), default=67, show_default=True)
@click.option(
    "--nodes-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The node list of a Zellular network that is there already.",
)
@json_option
def init(
    home: Path,
    name: str,
    operators: int,
    round_seconds: int,
    base_port: int,
    aggregator_port: int,
    sequencer_port: int,
    sequencer_nodes: int,
    app: str,
    threshold: int,
    nodes_file: Path | None,
    as_json: bool,
) -> None:
    """Make a committee: keys, keystores, committee file and node list."""
    plan = Plan(
        name=name,
        operators=operators,
        round_seconds=round_seconds,
        sequencer_nodes=sequencer_nodes,
        ports=Ports(base_port, aggregator_port, sequencer_port),
        app=app,
        threshold_percent=threshold,
        nodes_file=nodes_file,
    )
    committee = make_fleet(Home(home), plan, genesis=int(time.time()))
    if as_json:
        print_json(_as_json(committee, home))
        return
    console.print(outage_table(operators))
    console.print(f"committee 0x{committee.id.hex()} of {operators} operators in {home}/")
    console.print(f"`dragon up --home {home}` starts it, `{home}/keys` is private")


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
        "quorum": quorum,
        "may_be_out": size - quorum,
        "may_lie": byzantine_faults(size),
    }
