"""`dragon serve`: one service in the foreground."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import click

from dragon.errors import SettingsError
from dragon_cli import services
from dragon_cli.fleet.layout import PROVER, STREAMS, Home, merged, port_of
from dragon_cli.options import home_option

NAMES: Final = {
    "stream": STREAMS,
    "zkp": PROVER,
}  # of the folders of those that are named otherwise


@click.command()
@click.argument("service", type=click.Choice(services.SERVICES))
@click.option("--id", "operator", help="Which operator, e.g. operator_1.")
@click.option("--port", type=click.IntRange(1, 65535), help="Where it listens.")
@click.option("--host", help="The address it listens on; only this machine's by default.")
@click.option("--rank", type=click.IntRange(0, 63), default=0, help="An aggregator's rank.")
@click.option("--from-checkpoint", is_flag=True, help="An operator whose log is empty starts late.")
@home_option
def serve(
    service: str,
    operator: str | None,
    port: int | None,
    host: str | None,
    rank: int,
    from_checkpoint: bool,
    home: Path,
) -> None:
    """Run SERVICE until it is told to stop. The environment overrides the fleet's own settings."""
    if (service == "operator") != (operator is not None):
        raise click.UsageError("`--id` goes with the operator, and only with it")
    if from_checkpoint and service != "operator":
        raise click.UsageError("`--from-checkpoint` goes with the operator")
    fleet, name = Home(home), operator or NAMES.get(service, service)
    if service == "aggregator" and rank:
        name = f"aggregator_{rank}"
    chosen = port or default_port(fleet, name, rank)
    defaults = fleet.environment(name, host=host or "127.0.0.1", port=chosen, rank=rank)
    environ = merged(os.environ, defaults)
    if port is not None:
        environ["DRAGON_PORT"] = str(port)
    if host is not None:
        environ["DRAGON_HOST"] = host
    if from_checkpoint:
        environ["OPERATOR_FROM_CHECKPOINT"] = "1"
    services.service(service)(environ)


_PORTS: Final = {PROVER: 5200, STREAMS: 5300}


def default_port(home: Home, name: str, rank: int = 0) -> int:
    """The port that the fleet's own files give a service."""
    if name == "sequencer":
        return port_of(home.sequencer_url())
    if name in _PORTS:
        return port_of(home.services().get(name, f"http://127.0.0.1:{_PORTS[name]}"))
    committee = home.committee()
    if name.startswith("aggregator"):
        urls = [aggregator.url for aggregator in committee.aggregators if aggregator.rank == rank]
        return port_of(urls[0]) if urls else 5100 + rank
    if name not in committee.keys:
        raise SettingsError(f"the committee lists no operator {name}")
    return port_of(committee.urls[name])
