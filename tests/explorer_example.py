"""The fleet that the pictures of the documentation show: simulated, with genuine certificates.

It has targets of four kinds, with an owner who has announced maintenance of them.

Its services find a ledger of 80 days when they start: a checkpoint every 20 rounds, and a few
outages, signed with the operators' keys. Then they work for four hours of simulated time.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import requests

from committees import Members, make_members, secret
from dragon.encoding import canonical, to_hex
from dragon.protocol import event, merkle
from dragon.protocol.claims.base import EventClaim
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.maintenance import MaintenanceClaim
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.committee import Owner, Target
from dragon.protocol.event import Event
from dragon.protocol.target_checks import HttpCheck, TargetCheck, TcpCheck, TlsCheck
from dragon_explorer.public_page import Note, PublicNode, PublicPage
from explorer_fleet import ExplorerWorld
from simulation import FINALITY, Wire
from stream_simulation import PROVER

GENESIS: Final = 1_789_084_800  # 2026-09-11 00:00:00 UTC
ROUND_SECONDS: Final = 120
DAYS: Final = 80
CHECKPOINT_MINUTES: Final = 40  # 20 rounds; after 24 the time would count as unknown
EVENTS_PER_BATCH: Final = 5  # a batch has at most 5120 bytes
TARGETS: Final = {"website": "Website", "api": "API", "login": "Login", "mail": "Mail"}
GROUPS: Final = {"website": "Shop", "api": "Shop", "login": "Accounts", "mail": "Accounts"}
# Node, day on which it went down, hour of that day, and minutes until it was up again.
OUTAGES: Final = (
    ("mail", 9, 3, 131),
    ("operator_2", 17, 22, 14),
    ("api", 31, 11, 7),
    ("website", 44, 5, 23),
    ("operator_4", 52, 1, 340),
    ("mail", 63, 14, 48),
    ("login", 71, 9, 5),
)
OWNER: Final = "shop_owner"
# Node, day of its announced maintenance, hour of that day, and minutes. It is announced on the day
# before.
MAINTENANCE: Final = (("website", 44, 5, 60), ("mail", 63, 14, 30))
BLIND: Final = (57, 2, 15)  # the day, the hour, and the hours in which no checkpoint was certified
BEFORE_MAIL: Final = 105  # rounds between the start of the services and the outage that lasts
MOST_NOISE_MS: Final = 24  # of a response


def members() -> Members:
    """Four operators that watch four services with telling names."""
    made = make_members(
        targets=len(TARGETS), name="example", round_seconds=ROUND_SECONDS, genesis=GENESIS
    )
    key = secret(OWNER)
    owner = Owner(OWNER, key.public_key(), key.prove_possession())
    committee = replace(made.committee, targets=tuple(targets()), owners=(owner,))
    return replace(made, committee=committee)


def targets() -> Iterator[Target]:
    """Yield the targets, of several kinds."""
    timeout = 5000
    checks: dict[str, tuple[str, TargetCheck]] = {
        "website": ("http://", HttpCheck(contains="ok", timeout_ms=timeout)),
        "api": ("http://", HttpCheck(status=((200, 204),), timeout_ms=timeout)),
        "login": ("tls://", TlsCheck(timeout)),
        "mail": ("tcp://", TcpCheck(timeout)),
    }
    for id_, (scheme, check) in checks.items():
        yield Target(id_, f"{scheme}{host(id_)}", check, OWNER)


def host(target: str) -> str:
    """The host of a target, with the port of a connection."""
    port = {"login": ":443", "mail": ":25"}.get(target, "")
    return f"{target}.example.org{port}"


def page(now: float) -> PublicPage:
    """The status page, with a note about the outage that lasts. `now`: when the services start."""
    nodes = tuple(PublicNode(id_, name, GROUPS[id_]) for id_, name in TARGETS.items())
    text = "Mail is delayed. Nothing is lost: it is delivered once the server is back."
    begin = int(now) + BEFORE_MAIL * ROUND_SECONDS
    note = Note("We replace a disk of the mail server", text, nodes=("mail",), begin=begin)
    return PublicPage("Example status", "The services of Example Ltd.", nodes, notes=(note,))


def announcement(node_id: str, day: int, hour: int, minutes: int) -> MaintenanceClaim:
    """Announce maintenance a day ahead."""
    begin = GENESIS + day * 86_400 + hour * 3600
    return MaintenanceClaim(node_id, begin, begin + 60 * minutes, begin - 86_400)


def history(made: Members, tree: merkle.Tree) -> Iterator[EventClaim]:
    """Yield the claims of the days before the services start. `tree` grows with them."""
    rounds = made.committee.rounds
    changes = [(0, node_id, Status.UP) for node_id in made.committee.urls]
    for node_id, day, hour, minutes in OUTAGES:
        begin = day * 1440 + hour * 60
        changes += [(begin, node_id, Status.DOWN), (begin + minutes, node_id, Status.UP)]
    changes.sort(key=lambda each: each[0])
    announcements = [announcement(*each) for each in MAINTENANCE]
    day, hour, hours = BLIND
    blind = range(day * 1440 + hour * 60, day * 1440 + (hour + hours) * 60)
    for minute in range(CHECKPOINT_MINUTES, DAYS * 1440, CHECKPOINT_MINUTES):
        while changes and changes[0][0] < minute:
            at, node_id, status = changes.pop(0)
            yield StatusClaim(node_id, status, rounds.start(max(1, at * 60 // ROUND_SECONDS)))
        now = GENESIS + minute * 60
        while announcements and announcements[0].timestamp < now:
            yield announcements.pop(0)
        if minute not in blind:
            yield CheckpointClaim(
                len(tree), tree.root(), rounds.start(minute * 60 // ROUND_SECONDS)
            )


def batches(made: Members) -> Iterator[list[Event]]:
    """Yield that history as batches of the ledger, each signed by three operators or the owner."""
    tree, batch = merkle.Tree(), list[Event]()
    turns = itertools.cycle(made.secrets)
    index = 0
    for claim in history(made, tree):
        if isinstance(claim, MaintenanceClaim):
            signed: Event = made.announce(claim)
        else:
            absent = claim.node_id if isinstance(claim, StatusClaim) else next(turns)
            others = [name for name in made.secrets if name != absent][:3]
            signed = made.certify(claim, others)
        text = canonical(signed.to_json())
        tree.append(merkle.leaf_hash(event.leaf_of(text, index + 1)))
        batch.append(signed)
        if len(batch) == EVENTS_PER_BATCH:
            yield batch
            batch, index = list[Event](), index + 1
    if batch:
        yield batch


class SlowWire(Wire):
    """A network in which an answer takes time, which differs between services."""

    def send(self, request: requests.PreparedRequest, *args: Any, **more: Any) -> requests.Response:  # type: ignore[override]
        world = self.world
        assert isinstance(world, ExampleWorld)
        answer = super().send(request, *args, **more)
        name = str(request.url).partition("//")[2].partition("/")[0]
        world.clock.sleep(world.delay(self.caller, name))
        return answer


@dataclass
class ExampleWorld(ExplorerWorld):
    """The services of that fleet."""

    def _make_network(self) -> None:
        super()._make_network()
        for batch in batches(self.members):
            body = canonical([each.to_json() for each in batch]).decode()
            self.network.submit(self.committee.sequencer.app, body)
        self.clock.now += FINALITY
        self.network.finalize_due()
        self.clock.now = float(GENESIS + DAYS * 86_400)
        self.public = page(self.clock.now)
        for target in TARGETS:
            self.names[host(target)] = target
            self.wires.mount(host(target), answered)
        self.certificates[host("login")] = int(self.clock.now) + 9 * 86_400

    def wire(self, name: str) -> SlowWire:
        return SlowWire(self, name)

    def delay(self, caller: str, name: str) -> float:
        """Seconds that an answer of `name` takes."""
        places = [*self.names.values()]
        place = places.index(self.names.get(name, name)) if name in self.names else 0
        noise = int(self.clock.now / ROUND_SECONDS * 37 + len(caller) * 11) ** 2 % MOST_NOISE_MS
        return (18 + 9 * (place % 8) + noise) / 1000

    def run_rounds(self, rounds: int, stream: Any = None) -> None:
        """Run rounds; with a stream, each brings new data."""
        for number in range(rounds):
            if stream:
                self.upload(stream, f"{19 + number % 7}.{number % 10}\n".encode() * 400)
            self.run(1)


def answered(_environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


def example(folder: Path) -> ExampleWorld:
    """The fleet after an outage that ended, with one that lasts, and with a stream.

    One window of the stream is closed and waits for the prover. The caller ends the world.
    """
    world = ExampleWorld(folder, members(), verify_at_end=False)
    world.run_rounds(BEFORE_MAIL - 45)
    stream = world.make("sensor-1", window_ms=60_000)
    world.run_rounds(20, stream)
    now = int(world.clock.now)
    world.announce("website", now + 86_400, 7200)
    world.announce("operator_3", now + 5 * 86_400, 3600)
    world.stop("api", "hang")
    world.run_rounds(9, stream)
    world.resume("api")
    world.run_rounds(16, stream)
    world.stop("mail")
    world.run_rounds(5, stream)
    world.stop(PROVER)
    world.run_rounds(1, stream)
    return world


def stream_id(world: ExampleWorld) -> str:
    [stream] = world.components("stream_api").streams.all()
    return to_hex(stream.id)


def positions(world: ExampleWorld, node_id: str) -> Sequence[int]:
    """The positions of a node's outages in the log, newest first."""
    return [each.position for each in world.explorer.sources.index.outages_of(node_id, 50)]
