"""`dragon serve`: run one service in the foreground."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

import click
from click.core import ParameterSource

from dragon.errors import DragonError, SettingsError
from dragon_cli import lifeline, services
from dragon_cli.completions import complete_operators, complete_ranks
from dragon_cli.errors import NotListed
from dragon_cli.fleet import home_operators
from dragon_cli.fleet.layout import (
    EXPLORER,
    PROVER,
    STREAMS,
    Home,
    port_of,
    service_kind,
    service_number,
)
from dragon_cli.fleet.settings import environment, merged
from dragon_cli.hints import with_hint
from dragon_cli.options import home_option

# Services whose folder has another name.
FOLDERS: Final = {"stream": STREAMS, "zkp": PROVER}
DEFAULT_PORTS: Final = {"zkp": 5200, "stream": 5300, EXPLORER: 5400}  # of the first of a kind
FIRST_AGGREGATOR_PORT: Final = 5100


@click.command()
@click.argument("service", type=click.Choice(services.SERVICES))
@click.option(
    "--id",
    "operator",
    shell_complete=complete_operators,
    help="Id of the operator, such as operator_1.",
)
@click.option(
    "--name",
    "folder",
    help="Folder of a prover or stream service, such as stream_api_2 (default: that of the first).",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help="Port to listen on (default: the port in the fleet's files).",
)
@click.option("--host", help="Address to listen on (default: 127.0.0.1).")
@click.option(
    "--rank",
    shell_complete=complete_ranks,
    type=click.IntRange(0, 63),
    default=0,
    show_default=True,
    help="Rank of the aggregator.",
)
@click.option(
    "--from-checkpoint",
    is_flag=True,
    help="Start an operator with an empty log from the newest certified checkpoint.",
)
@home_option
def serve(
    service: str,
    operator: str | None,
    folder: str | None,
    port: int | None,
    host: str | None,
    rank: int,
    from_checkpoint: bool,
    home: Path,
) -> None:
    """Run one service until it is stopped.

    Settings come from the folder of the fleet. Environment variables override them, and options
    override both.
    """
    if service == "operator" and operator is None:
        raise click.UsageError(f"`dragon serve operator` requires `--id`{_ids(Home(home))}.")
    if service != "operator" and operator is not None:
        raise click.UsageError(f"`--id` is for operators only, not for {service}.")
    if folder is not None and service not in FOLDERS:
        raise click.UsageError(f"`--name` is for provers and stream services, not for {service}.")
    if folder is not None and service_kind(folder) != service:
        first = FOLDERS[service]
        expected = f"expected {first} or {first}_2, {first}_3 …"
        raise click.UsageError(f"`--name` {folder} is no {service} service; {expected}")
    if service != "operator" and from_checkpoint:
        raise click.UsageError(f"`--from-checkpoint` is for operators only, not for {service}.")
    source = click.get_current_context().get_parameter_source("home")
    if source is ParameterSource.COMMANDLINE:  # without it, variables may name every file
        Home(home).check_exists()
    fleet, name = Home(home), operator or folder or FOLDERS.get(service, service)
    if folder is not None:
        _check_listed(fleet, service, folder)
    if service == "aggregator" and rank:
        name = f"aggregator_{rank}"
    is_set = bool(os.environ.get("DRAGON_PORT"))
    chosen = port or (0 if is_set else _default_port(fleet, name, rank))
    defaults = environment(fleet, name, host=host or "127.0.0.1", port=chosen, rank=rank)
    environ = merged(os.environ, defaults)
    if port is not None:
        environ["DRAGON_PORT"] = str(port)
    if host is not None:
        environ["DRAGON_HOST"] = host
    if from_checkpoint:
        environ["OPERATOR_FROM_CHECKPOINT"] = "1"
    lifeline.hold(os.environ)
    services.service(service)(environ)


def _check_listed(home: Home, service: str, name: str) -> None:
    """Raise NotListed if the fleet has other services of the kind, and none of this name."""
    listed = home.provers() if service == "zkp" else home.stream_services()
    if listed and name not in listed:
        what = "prover" if service == "zkp" else "stream service"
        message = f"The fleet has no {what} {name}; it has {', '.join(listed)}."
        raise with_hint(NotListed(message), f"They are listed in {home.services_file}.")


def _ids(home: Home) -> str:
    """Return the operators to choose from, if the folder has a committee."""
    with suppress(DragonError):
        return f", one of {', '.join(home.committee().keys)}"
    return ", such as `--id operator_1`"


def _default_port(home: Home, name: str, rank: int = 0) -> int:
    """Return the port of a service according to the files of the fleet."""
    if name == "sequencer":
        return port_of(home.sequencer_url())
    if (first := DEFAULT_PORTS.get(service_kind(name))) is not None:
        default = f"http://127.0.0.1:{first + service_number(name) - 1}"
        return port_of(home.services().get(name, default))
    committee = home.committee()
    if name.startswith("aggregator"):
        urls = [aggregator.url for aggregator in committee.aggregators if aggregator.rank == rank]
        return port_of(urls[0]) if urls else FIRST_AGGREGATOR_PORT + rank
    own = home_operators.urls(home, committee)  # also those that no committee lists yet
    known = {**own, **{each.id: each.url for each in committee.operators}}
    if name not in known:
        listed = ", ".join(known)
        message = f"The committee lists no operator {name}; expected one of {listed}."
        raise with_hint(SettingsError(message), "Choose one with `--id`.")
    return port_of(known[name])
