"""Create a fleet: committee file, keys, node list, and a folder for each service."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dragon.errors import SettingsError
from dragon.protocol.committee import (
    DEFAULT_MAINTENANCE_NOTICE,
    Aggregator,
    Committee,
    Sequencer,
    Target,
)
from dragon.protocol.founding import Terms, assemble
from dragon.protocol.member import Member, Role
from dragon.storage import keystore
from dragon.storage.permissions import PRIVATE_FOLDER, PUBLIC_FOLDER, make_folder
from dragon_cli.errors import AlreadyThere, CommitteeExists, UnusableFile
from dragon_cli.files import PUBLIC_MODE, write_whole
from dragon_cli.fleet import data_services
from dragon_cli.fleet.cleanup import leaving_nothing
from dragon_cli.fleet.layout import EXPLORER, PROVER, STREAMS, Home, numbered_name, port_of
from dragon_cli.fleet.members import new_member
from dragon_cli.hints import with_hint
from dragon_sequencer.nodes import NodeList

MAX_NAME_CHARACTERS: Final = 64
MAX_PORT: Final = 65535


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of the services of a local fleet."""

    operators: int = 5001  # of the first operator; the others follow
    aggregator: int = 5100
    sequencer: int = 6001
    prover: int | None = None  # of the first prover; None: the fleet has none
    streams: int | None = None  # of the first stream service; None: none; it needs a prover
    explorer: int | None = None  # None: no explorer


@dataclass(frozen=True, slots=True)
class Plan:
    """The properties of the fleet to create."""

    name: str = "local"
    operators: int = 4
    experts: int = 0
    provers: int = 1  # none without their port
    stream_services: int = 1  # none without their port
    round_seconds: int = 5
    sequencer_nodes: int = 4
    containers: bool = False  # each service has its own host, named after the service
    ports: Ports = Ports()
    app: str = "datadragon"
    threshold_percent: int = 67
    nodes_file: Path | None = None  # node list of an existing network
    tls: bool = False
    targets: tuple[Target, ...] = ()
    owners: tuple[Member, ...] = ()  # of targets; their keys are elsewhere
    maintenance_notice: int = DEFAULT_MAINTENANCE_NOTICE  # seconds

    def url(self, service: str, port: int) -> str:
        """Return the URL of a service. Host names contain no underscore."""
        host = service.replace("_", "-") if self.containers else "127.0.0.1"
        return f"{'https' if self.tls else 'http'}://{host}:{port}"


def make_fleet(home: Home, plan: Plan, *, genesis: int) -> Committee:
    """Create the fleet and return its committee.

    Args:
        home: the folder to create.
        plan: the properties of the fleet.
        genesis: the start of the first round, Unix seconds.

    Raises:
        CommitteeExists: the folder holds a committee already.
        SettingsError: the plan is invalid; nothing is created.
        UnusableFile: the folder cannot be written; nothing is left of what was created.
    """
    if home.committee_file.exists():
        message = f"{home.committee_file} already exists; a committee is never overwritten."
        raise CommitteeExists(message)
    check_plan(plan)
    with leaving_nothing(home.path):
        return _make(home, plan, genesis)


def _make(home: Home, plan: Plan, genesis: int) -> Committee:
    _begin(home)
    digest = _network(home, plan)
    _data_services(home, plan)
    members = [_operator(home, plan, number) for number in range(plan.operators)]
    members += [_expert(home, number) for number in range(plan.experts)]
    members += plan.owners
    terms = Terms(
        name=plan.name,
        genesis=genesis,
        sequencer=Sequencer(plan.app, plan.threshold_percent, (digest,)),
        round_seconds=plan.round_seconds,
        targets=plan.targets,
        aggregators=(Aggregator(plan.url("aggregator", plan.ports.aggregator), 0),),
        maintenance_notice=plan.maintenance_notice,
    )
    committee = assemble(members, terms)
    written = json.dumps(committee.to_json(), indent=2) + "\n"
    if plan.tls:
        # Imported here because no other command needs the library that it loads.
        from dragon_cli.fleet import certificates  # noqa: PLC0415

        certificates.make_authority(home, plan.name, _services(home, committee), now=genesis)
    # Written last: a folder without this file is one that `init` did not finish.
    write_whole(home.committee_file, written, mode=PUBLIC_MODE)
    home.unfinished.unlink()
    return committee


def make_once(home: Home, plan: Plan, *, genesis: int) -> Committee:
    """Return the existing committee if it matches the plan, else create the fleet.

    Raises CommitteeExists: the existing committee differs from the plan.
    """
    if not home.committee_file.exists():
        return make_fleet(home, plan, genesis=genesis)
    committee = home.committee()
    if wrong := _differences(committee, plan):
        message = f"The committee in {home.path} differs: {'; '.join(wrong)}."
        raise CommitteeExists(message)
    # Created before these services existed, or with fewer of them:
    if missing := _data_urls(plan).keys() - home.services().keys():
        _data_services(home, plan)
        _certify(home, sorted(missing), now=genesis)
    return committee


def services_without_keys(home: Home, committee: Committee) -> list[str]:
    """Return the services whose key folder is empty or missing, such as an empty volume.

    Such a service cannot start. Its keys cannot be made again: the committee file lists them.
    """
    # The explorer has no key, only a certificate if the fleet uses TLS.
    keyless = () if home.ca else (EXPLORER,)
    expected = [*committee.keys, *(each for each in home.services() if each not in keyless)]
    folders = [home.keys / service for service in expected]
    return [each.name for each in folders if not each.is_dir() or not any(each.iterdir())]


def check_plan(plan: Plan) -> None:
    """Raise SettingsError for a plan that the committee file could not hold."""
    for option, text in (("--name", plan.name), ("--app", plan.app)):
        if not 0 < len(text) <= MAX_NAME_CHARACTERS:
            message = (
                f"`{option}` must have 1 to {MAX_NAME_CHARACTERS} characters, not {len(text)}."
            )
            raise SettingsError(message)
        if not text.isprintable():
            raise SettingsError(f"`{option}` ({text!a}) must contain printable characters only.")
    ports = plan.ports
    used = [*range(ports.operators, ports.operators + plan.operators), ports.aggregator]
    used += [] if plan.nodes_file else [ports.sequencer]
    used += [port_of(url) for url in _data_urls(plan).values()]
    if shared := {port for port in used if used.count(port) > 1}:
        raise SettingsError(f"Two services would listen on port {min(shared)}; choose other ports.")
    if max(used) > MAX_PORT:
        raise SettingsError(f"Port {max(used)} is too high; the highest port is {MAX_PORT}.")


def _differences(committee: Committee, plan: Plan) -> list[str]:
    compared: list[tuple[str, object, object]] = [
        ("name", committee.name, plan.name),
        ("app", committee.sequencer.app, plan.app),
    ]
    if committee.epoch:  # the members have changed everything else on purpose
        return _unequal(compared)
    compared += [
        ("operators", len(committee.operators), plan.operators),
        ("experts", len(committee.experts), plan.experts),
        ("round-seconds", committee.rounds.seconds, plan.round_seconds),
        ("threshold", committee.sequencer.threshold_percent, plan.threshold_percent),
        ("maintenance-notice", committee.maintenance_notice, plan.maintenance_notice),
        ("targets", _ids(committee.targets), _ids(plan.targets)),
        ("url", committee.operators[0].url, plan.url("operator_1", plan.ports.operators)),
    ]
    if plan.nodes_file is not None:
        digest = _nodes_digest(_read_text(plan.nodes_file))
        listed = ", ".join(each.hex() for each in committee.sequencer.nodes_sha256)
        compared.append(("nodes-file", listed, digest.hex()))
    return _unequal(compared)


def _ids(targets: Iterable[Target]) -> str:
    return ", ".join(sorted(each.id for each in targets)) or "none"


def _unequal(compared: Iterable[tuple[str, object, object]]) -> list[str]:
    return [f"{name} {has}, not {wanted}" for name, has, wanted in compared if has != wanted]


def _begin(home: Home) -> None:
    """Create the folder. Delete keys of an interrupted `init`, which no committee lists.

    Raises AlreadyThere: the folder holds other keys; no key is ever overwritten.
    """
    make_folder(home.path, PUBLIC_FOLDER)
    make_folder(home.keys, PRIVATE_FOLDER)
    found = sorted(home.keys.glob("*/*"))
    if found and not home.unfinished.exists():
        message = f"{found[0]} already exists; a key is never overwritten."
        raise with_hint(AlreadyThere(message), "Choose another folder with `--home`.")
    for file in found:
        file.unlink()
    home.unfinished.touch()


def _network(home: Home, plan: Plan) -> bytes:
    """Return the digest of the node list; without `nodes_file`, create a development network."""
    if plan.nodes_file is not None:
        listed = _read_text(plan.nodes_file)
        write_whole(home.nodes_file, listed, mode=PUBLIC_MODE)
        return _nodes_digest(listed)
    socket = plan.url("sequencer", plan.ports.sequencer)
    # Loaded here: most commands import this module and need no development sequencer, nor Flask.
    from dragon_sequencer.devnet.setup import make_network  # noqa: PLC0415

    keys, listed, digest = make_network(plan.sequencer_nodes, socket)
    keystore.write_private(home.sequencer_keys, keys)
    write_whole(home.nodes_file, listed, mode=PUBLIC_MODE)
    return digest


def _nodes_digest(listed: str) -> bytes:
    return NodeList.decode(listed).sha256


def _data_services(home: Home, plan: Plan) -> None:
    data_services.make(home, _data_urls(plan))


def _data_urls(plan: Plan) -> dict[str, str]:
    """Return the URL of each prover, stream service and explorer of a plan."""
    ports, urls = plan.ports, dict[str, str]()
    if ports.prover is not None:
        urls |= _numbered_urls(plan, PROVER, ports.prover, plan.provers)
        if ports.streams is not None:
            urls |= _numbered_urls(plan, STREAMS, ports.streams, plan.stream_services)
    if ports.explorer is not None:
        urls[EXPLORER] = plan.url(EXPLORER, ports.explorer)
    return urls


def _numbered_urls(plan: Plan, first: str, port: int, count: int) -> dict[str, str]:
    names = [numbered_name(first, number) for number in range(1, count + 1)]
    return {name: plan.url(name, port + index) for index, name in enumerate(names)}


def _certify(home: Home, names: Iterable[str], *, now: int) -> None:
    """Create the TLS certificates of services that join a fleet with an authority.

    Args: `now`, Unix seconds.

    Raises as `certificates.certify`.
    """
    if not home.authority_key.exists():
        return
    # Imported here because no other command needs the library that it loads.
    from dragon_cli.fleet import certificates  # noqa: PLC0415

    for name in names:
        if not home.tls_key(name).exists():
            certificates.certify(home, name, home.services()[name], now=now)


def _services(home: Home, committee: Committee) -> dict[str, str]:
    """Return the URL of every service of this fleet by the name of its folder."""
    found = {operator.id: operator.url for operator in committee.operators}
    found["aggregator"] = committee.aggregators[0].url
    if home.sequencer_keys.exists():
        found["sequencer"] = home.sequencer_url()
    return found | home.services()


def _read_text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError:
        raise UnusableFile(f"{file} is not a text file in UTF-8.") from None


def _operator(home: Home, plan: Plan, number: int) -> Member:
    operator = f"operator_{number + 1}"
    url = plan.url(operator, plan.ports.operators + number)
    return new_member(home, Role.OPERATOR, operator, url).member


def _expert(home: Home, number: int) -> Member:
    return new_member(home, Role.EXPERT, f"expert_{number + 1}", None).member
