"""Founding a committee: keys, keystores, committee file, node list, each service's own folder."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dragon.protocol import bls
from dragon.storage import keystore
from dragon_sequencer.devnet import setup
from dragon_cli.files import write_whole
from dragon_cli.fleet.layout import Home, PROVER, SOURCES, STREAMS
from dragon_cli.errors import CommitteeExists, UnusableFile
from dragon.protocol.committee import (
    Aggregator,
    Committee,
    DEFAULT_QUORUMS,
    Expert,
    Operator,
    Sequencer,
)
from dragon.protocol.rounds import Rounds
from dragon.errors import KeystoreError, SettingsError

LONGEST_NAME: Final = 64


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the services of a local fleet listen (design: 5001 …, 5100, 6001)."""

    operators: int = 5001  # the first operator's; the others follow
    aggregator: int = 5100
    sequencer: int = 6001
    prover: int | None = None  # None: the fleet has none
    streams: int | None = None  # so for the stream service, which needs a prover


@dataclass(frozen=True, slots=True)
class Plan:
    """What to make."""

    name: str = "local"
    operators: int = 4
    experts: int = 0
    round_seconds: int = 5
    sequencer_nodes: int = 4
    containers: bool = False  # every service at a host of its own, by the service's name
    ports: Ports = Ports()
    app: str = "datadragon"
    threshold_percent: int = 67
    nodes_file: Path | None = None  # of a network that is there already
    tls: bool = False

    def url(self, service: str, port: int) -> str:
        """Where a service is reached. A name on a network has no underscore."""
        host = service.replace("_", "-") if self.containers else "127.0.0.1"
        return f"{'https' if self.tls else 'http'}://{host}:{port}"


def make_fleet(home: Home, plan: Plan, *, genesis: int) -> Committee:
    """Make keys and committee in `home`. Raises CommitteeExists: there is one already."""
    if home.committee_file.exists():
        message = f"{home.committee_file} is there already; a committee is never overwritten"
        raise CommitteeExists(message)
    check_plan(plan)
    _begin(home)
    digest = _network(home, plan)
    _data_services(home, plan)
    operators = [_operator(home, plan, number) for number in range(plan.operators)]
    committee = Committee(
        name=plan.name,
        rounds=Rounds(genesis, plan.round_seconds),
        quorum_rules=dict(DEFAULT_QUORUMS),
        operators=tuple(operators),
        experts=tuple(_expert(home, number) for number in range(plan.experts)),
        targets=(),
        aggregators=(Aggregator(plan.url("aggregator", plan.ports.aggregator), 0),),
        sequencer=Sequencer(plan.app, plan.threshold_percent, digest),
    )
    written = json.dumps(committee.to_json(), indent=2) + "\n"
    Committee.load(written.encode())
    if plan.tls:
        # Here, because every other command does without the library behind it.
        from dragon_cli.fleet import authority  # noqa: PLC0415

        authority.make_authority(home, plan.name, _services(home, committee), now=genesis)
    # Last: a folder without this file is one that `init` did not finish.
    write_whole(home.committee_file, written)
    home.unfinished.unlink()
    return committee


def _begin(home: Home) -> None:
    """Make the folder. Keys that an interrupted `init` left in it have never been anybody's.

    Raises KeystoreError: other keys are in it, and no key is ever overwritten.
    """
    home.keys.mkdir(parents=True, exist_ok=True, mode=0o700)
    kept = sorted(home.keys.glob("*/*"))
    if kept and not home.unfinished.exists():
        raise KeystoreError(f"{kept[0]} is there already and is not overwritten")
    for left in kept:
        left.unlink()
    home.unfinished.touch()


def differences(there: Committee, plan: Plan) -> list[str]:
    """What a plan asks for that the committee which is there already has not."""
    asked: list[tuple[str, object, object]] = [
        ("operators", len(there.operators), plan.operators),
        ("experts", len(there.experts), plan.experts),
        ("name", there.name, plan.name),
        ("round-seconds", there.rounds.seconds, plan.round_seconds),
        ("app", there.sequencer.app, plan.app),
        ("threshold", there.sequencer.threshold_percent, plan.threshold_percent),
        ("url", there.operators[0].url, plan.url("operator_1", plan.ports.operators)),
    ]
    if plan.nodes_file is not None:
        digest = setup.digest(_read_text(plan.nodes_file))
        asked.append(("nodes-file", there.sequencer.nodes_sha256.hex(), digest.hex()))
    return [f"{name} {has}, not {wanted}" for name, has, wanted in asked if has != wanted]


def make_once(home: Home, plan: Plan, *, genesis: int) -> Committee:
    """The committee that is there, if it is as planned; else make it.

    Raises CommitteeExists: there is another one.
    """
    if not home.committee_file.exists():
        return make_fleet(home, plan, genesis=genesis)
    there = home.committee()
    if wrong := differences(there, plan):
        raise CommitteeExists(f"the committee in {home.path} has {'; '.join(wrong)}")
    if not {PROVER, STREAMS} <= home.services().keys():  # it was made before there were these
        _data_services(home, plan)
    return there


def check_plan(plan: Plan) -> None:
    """What the committee file could not hold, before any key is made. Raises SettingsError."""
    for option, text in (("--name", plan.name), ("--app", plan.app)):
        if not 0 < len(text) <= LONGEST_NAME:
            raise SettingsError(f"{option} has 1 to {LONGEST_NAME} characters")
        if not text.isprintable():
            raise SettingsError(f"{option} has a character that cannot be printed")
    ports = plan.ports
    taken = [*range(ports.operators, ports.operators + plan.operators), ports.aggregator]
    taken += [] if plan.nodes_file else [ports.sequencer]
    taken += [port for port in (ports.prover, ports.streams) if port is not None]
    if len(set(taken)) < len(taken) or max(taken) > 65535:
        raise SettingsError("two services would listen on one port, or on none that there is")


def _network(home: Home, plan: Plan) -> bytes:
    """The node list's digest; makes a development network unless one is named."""
    if plan.nodes_file is not None:
        listed = _read_text(plan.nodes_file)
        home.nodes_file.write_text(listed)
        return setup.digest(listed)
    socket = plan.url("sequencer", plan.ports.sequencer)
    keys, listed, digest = setup.make_network(plan.sequencer_nodes, socket)
    keystore.write_private(home.sequencer_keys, keys)
    home.nodes_file.write_text(listed)
    return digest


def _services(home: Home, committee: Committee) -> dict[str, str]:
    """Every service that runs here, by the name of its folder, and where it is reached."""
    found = {operator.id: operator.url for operator in committee.operators}
    found["aggregator"] = committee.aggregators[0].url
    if home.sequencer_keys.exists():
        found["sequencer"] = home.sequencer_url()
    return found | home.services()


def _data_services(home: Home, plan: Plan) -> None:
    """What a prover and a stream service need. Called again, it makes what is missing."""
    services: dict[str, str] = {}
    if plan.ports.prover is not None:
        services[PROVER] = plan.url(PROVER, plan.ports.prover)
        _token(home.token(PROVER))
        if plan.ports.streams is not None:
            services[STREAMS] = plan.url(STREAMS, plan.ports.streams)
            _stream_service(home)
    if services:
        home.services_file.write_text(json.dumps(services | home.services(), indent=2) + "\n")


def _stream_service(home: Home) -> None:
    """Its key, from which those of all its streams come; and who may ask it for a stream."""
    _token(home.token(STREAMS))
    _token(home.token(SOURCES), home.token(STREAMS).read_text())
    _token(home.prover_token, home.token(PROVER).read_text())
    if not home.password(STREAMS).exists():
        home.keystore(STREAMS).unlink(missing_ok=True)  # nobody can open it
        _sealed(home, STREAMS)


def _token(file: Path, token: str | None = None) -> None:
    if not file.exists():
        keystore.write_private(file, token or secrets.token_urlsafe(32) + "\n")


def _sealed(home: Home, name: str) -> bls.SecretKey:
    """A new key, in a keystore of its own with its password beside it."""
    secret = bls.SecretKey.generate(secrets.token_bytes(32))
    password = secrets.token_urlsafe(24)
    keystore.write_private(home.keystore(name), keystore.seal(secret, password))
    keystore.write_private(home.password(name), password + "\n")
    return secret


def _read_text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError:
        raise UnusableFile(f"{file} is no text") from None


def _operator(home: Home, plan: Plan, number: int) -> Operator:
    operator = f"operator_{number + 1}"
    secret = _sealed(home, operator)
    return Operator(
        id=operator,
        url=plan.url(operator, plan.ports.operators + number),
        public_key=secret.public_key(),
        proof_of_possession=secret.prove_possession(),
    )


def _expert(home: Home, number: int) -> Expert:
    """Whoever it is gets its folder of keys, and nobody else does."""
    expert = f"expert_{number + 1}"
    secret = _sealed(home, expert)
    return Expert(expert, secret.public_key(), secret.prove_possession())
