"""`dragon init`: create a fleet."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import click
from click.core import ParameterSource

from dragon.encoding import to_hex
from dragon.protocol.committee import (
    DEFAULT_MAINTENANCE_NOTICE,
    Committee,
    Target,
    byzantine_faults,
)
from dragon.protocol.member import Member, Role
from dragon_cli import target_files
from dragon_cli.command_line import command_of
from dragon_cli.committee_files import read_members
from dragon_cli.fleet.compose import OVERRIDE, override, write_override
from dragon_cli.fleet.create import (
    Plan,
    Ports,
    check_plan,
    make_fleet,
    make_once,
    services_without_keys,
)
from dragon_cli.fleet.layout import MAX_NUMBERED, Home
from dragon_cli.fleet.refound import refound as refound_fleet
from dragon_cli.options import (
    EXISTING_FILE,
    aggregator_port_option,
    base_port_option,
    explorer_port_option,
    home_option,
    json_option,
    notice_option,
    prover_port_option,
    sequencer_port_option,
    stream_port_option,
    targets_option,
)
from dragon_cli.render.committee import outage_table
from dragon_cli.render.output import console, plain
from dragon_cli.render.text import print_json

MAX_EXPERTS: Final = 8


@click.command(
    short_help="Create a committee with its keys and files.",
    # For containers: `DRAGON_INIT_OPERATORS=7` is the same as `--operators 7`.
    context_settings={"auto_envvar_prefix": "DRAGON_INIT"},
)
@home_option
@click.option("--name", default="local", show_default=True, help="Name of the committee.")
@click.option(
    "--operators",
    type=click.IntRange(3, 64),
    default=4,
    show_default=True,
    help="Number of operators.",
)
@click.option(
    "--experts",
    type=click.IntRange(0, MAX_EXPERTS),
    default=0,
    show_default=True,
    help="Number of experts, who endorse windows of streams.",
)
@click.option(
    "--provers",
    type=click.IntRange(1, MAX_NUMBERED),
    default=1,
    show_default=True,
    help="Number of provers; they share the proofs of all stream services.",
)
@click.option(
    "--stream-services",
    type=click.IntRange(1, MAX_NUMBERED),
    default=1,
    show_default=True,
    help="Number of stream services; each has its own streams and keys.",
)
@click.option(
    "--round-seconds",
    type=click.IntRange(2, 3600),
    default=5,
    show_default=True,
    help="Length of a round in seconds.",
)
@base_port_option
@aggregator_port_option
@sequencer_port_option
@prover_port_option
@stream_port_option
@explorer_port_option
@click.option(
    "--sequencer-nodes",
    type=click.IntRange(1, 4),
    default=4,
    show_default=True,
    help="Number of nodes of the development sequencer.",
)
@click.option(
    "--app", default="datadragon", show_default=True, help="Name of the app on the sequencer."
)
@click.option(
    "--threshold",
    type=click.IntRange(1, 100),
    default=67,
    show_default=True,
    help="Percentage of the sequencer's stake that must sign a finality proof.",
)
@click.option(
    "--nodes-file", type=EXISTING_FILE, help="Node list of an existing Zellular network to use."
)
@click.option(
    "--containers", is_flag=True, help="Give each service its own host, named after the service."
)
@targets_option
@click.option(
    "--owner-member",
    "owner_files",
    type=EXISTING_FILE,
    multiple=True,
    help="Member file of an owner of targets, by `dragon key new --owner`; repeat for several.",
)
@notice_option
@click.option(
    "--once", is_flag=True, help="Succeed without changes if the same committee already exists."
)
@click.option(
    "--compose", is_flag=True, help=f"Write only {OVERRIDE}; the containers create the keys."
)
@click.option(
    "--refound",
    is_flag=True,
    help="Give the existing committee a new genesis and id, after its ledger was reset.",
)
@click.option(
    "--tls", is_flag=True, help="Use TLS: create a CA and a certificate for each service."
)
@json_option
def init(
    home: Path,
    name: str,
    operators: int,
    experts: int,
    provers: int,
    stream_services: int,
    round_seconds: int,
    base_port: int,
    aggregator_port: int,
    sequencer_port: int,
    prover_port: int,
    stream_port: int,
    explorer_port: int,
    sequencer_nodes: int,
    app: str,
    threshold: int,
    nodes_file: Path | None,
    containers: bool,
    targets: tuple[Path, ...],
    owner_files: tuple[Path, ...],
    maintenance_notice: int | None,
    once: bool,
    compose: bool,
    refound: bool,
    tls: bool,
    as_json: bool,
) -> None:
    """Create a committee: keys, keystores, committee file and node list.

    Every option can be set by an environment variable, such as DRAGON_INIT_OPERATORS for
    `--operators`.
    """
    plan = Plan(
        name=name,
        operators=operators,
        experts=experts,
        provers=provers,
        stream_services=stream_services,
        round_seconds=round_seconds,
        sequencer_nodes=sequencer_nodes,
        ports=Ports(
            operators=base_port,
            aggregator=aggregator_port,
            sequencer=sequencer_port,
            prover=prover_port,
            streams=stream_port,
            explorer=explorer_port,
        ),
        app=app,
        threshold_percent=threshold,
        nodes_file=nodes_file,
        containers=containers,
        tls=tls,
        targets=_targets(targets, round_seconds),
        owners=_owners(owner_files),
        maintenance_notice=(
            DEFAULT_MAINTENANCE_NOTICE if maintenance_notice is None else maintenance_notice
        ),
    )
    if refound:
        _refound(home, app, as_json=as_json)
        return
    if compose:
        _compose(plan, as_json=as_json)
        return
    make = make_once if once else make_fleet
    committee = make(Home(home), plan, genesis=int(time.time()))
    for service in services_without_keys(Home(home), committee):
        click.echo(
            f"dragon: warning: the key folder {home / 'keys' / service} is empty, so {service} "
            "cannot start; restore its keys from a backup. With containers they are in the volume "
            f"{service.replace('_', '-')}-keys.",
            err=True,
        )
    if as_json:
        print_json(_as_json(committee, home))
        return
    _show(committee, plan, home)


def _targets(files: tuple[Path, ...], round_seconds: int) -> tuple[Target, ...]:
    return target_files.decode_all(target_files.read_all(files), round_seconds)


def _owners(files: tuple[Path, ...]) -> tuple[Member, ...]:
    members = read_members(files)
    for file, member in zip(files, members, strict=True):
        if member.role is not Role.OWNER:
            raise click.UsageError(f"{file} is the member file of {member.id}, no owner.")
    return tuple(members)


def _show(committee: Committee, plan: Plan, folder: Path) -> None:
    home = plain(str(folder))
    console.print(outage_table(plan.operators))
    console.print(f"Committee {to_hex(committee.id)} with {plan.operators} operators in {home}/.")
    if committee.experts:
        named = ", ".join(committee.expert_keys)
        console.print(f"Experts: {named}. Give each expert its own folder in {home}/keys.")
    if not plan.containers:
        command = plain(command_of("up", "--home", folder))
        console.print(f"`{command}` starts the fleet. Keep {home}/keys private.")


def _refound(home: Path, app: str, *, as_json: bool) -> None:
    context = click.get_current_context()
    given = {
        name
        for name in context.params
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    if others := sorted(given - {"home", "refound", "app", "as_json"}):
        option = others[0].replace("_", "-")
        raise click.UsageError(f"`--refound` changes only genesis and `--app`; omit `--{option}`.")
    other_app = app if "app" in given else None
    done = refound_fleet(Home(home), genesis=int(time.time()), app=other_app)
    if as_json:
        told = _as_json(done.committee, home)
        print_json({**told, "old": to_hex(done.old.id), "old_file": str(done.old_file)})
        return
    console.print(f"Committee {to_hex(done.committee.id)} replaces {to_hex(done.old.id)}.")
    console.print(f"The old committee file is {plain(str(done.old_file))}.")
    option = f" --refounded {plain(str(Home(home).committee_file))}" if done.old.epoch else ""
    console.print(
        f"Archive the old log of every service with `dragon log archive{option}`, then start the "
        "fleet."
    )


def _compose(plan: Plan, *, as_json: bool) -> None:
    ports = plan.ports
    default = Plan(ports=Ports(prover=ports.prover, streams=ports.streams, explorer=ports.explorer))
    _check_compose(plan, default)
    check_plan(plan)
    text = override(
        plan.operators,
        _container_settings(plan, default),
        plan.ports.operators,
        provers=plan.provers,
        stream_services=plan.stream_services,
    )
    write_override(Path(OVERRIDE), text)
    if as_json:
        print_json({"file": OVERRIDE, "operators": plan.operators})
        return
    console.print(outage_table(plan.operators))
    console.print(f"Wrote {OVERRIDE}. `docker-compose up` starts {plan.operators} operators.")


def _check_compose(plan: Plan, default: Plan) -> None:
    """Raises click.UsageError: the containers cannot create such a fleet."""
    if (plan.ports, plan.nodes_file) != (default.ports, None):
        raise click.UsageError("`--compose` does not support ports or `--nodes-file`.")
    if plan.experts:
        raise click.UsageError(
            "`--compose` does not support `--experts`: their keys do not belong in containers."
        )
    if plan.targets or plan.owners:
        raise click.UsageError(
            "`--compose` does not support `--targets` and `--owner-member`: add targets to the "
            "running fleet."
        )


def _container_settings(plan: Plan, default: Plan) -> dict[str, object]:
    """Return the options of `dragon init` in the container, some only if they are no defaults."""
    settings: dict[str, object] = {
        "operators": plan.operators,
        "name": plan.name,
        "round_seconds": plan.round_seconds,
        "app": plan.app,
        "threshold": plan.threshold_percent,
        "sequencer_nodes": plan.sequencer_nodes,
        "tls": plan.tls,
        "provers": plan.provers,
        "stream_services": plan.stream_services,
        "maintenance_notice": f"{plan.maintenance_notice}s",
    }
    optional = ("name", "app", "tls", "provers", "stream_services", "maintenance_notice")
    for name in optional:
        if getattr(plan, name) == getattr(default, name):
            del settings[name]
    return settings


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
