"""A fleet in one process, on a simulated clock.

Every service is the real one, assembled as in production. Only network, clock and randomness are
simulated.

    with World(tmp_path) as world:
        world.run(2)                    # two rounds: all operators are certified up
        world.stop("operator_2")        # from now on, its port is closed
        world.run(2)
        assert world.statuses("operator_1")["operator_2"] == "down"

Time moves only when something waits. Concurrent work runs one after the other, each from the same
moment, so that concurrent waiting takes simulated time only once.
"""

from __future__ import annotations

import json
import random
import socket
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter

import dragon_aggregator.app
import dragon_aggregator.main
import dragon_aggregator.settings
import dragon_operator.app
import dragon_operator.main
import dragon_operator.settings
from committees import Members, make_members
from dragon.encoding import canonical
from dragon.errors import LedgerUnavailable
from dragon.log.audit import Audit, audit
from dragon.net.connecting import AddressRefused, Connector
from dragon.net.http_client import HttpClient, HttpResponse, unreachable
from dragon.net.runtime import Runtime
from dragon.net.session import make_session
from dragon.net.target_network import SocketNetwork
from dragon.protocol import bls
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.maintenance import MaintenanceClaim
from dragon.protocol.committee import Committee
from dragon.protocol.handover import Handover
from dragon.protocol.lineage import Lineage
from dragon.protocol.log_entry import LogEntry
from dragon.protocol.maintenance import Maintenance
from dragon.protocol.single_signer import SingleSigned
from dragon.protocol.state import Mark
from dragon.protocol.trust import Trust
from dragon.storage.database import Database
from dragon_aggregator.handover_collector import HandoverCollector
from dragon_operator.approvals import Approval, approval_path
from dragon_operator.databases import Databases
from dragon_operator.target_looks import BEGIN_SHARE
from dragon_sequencer.client import SequencerClient
from dragon_sequencer.devnet.app import create_app as create_sequencer
from dragon_sequencer.devnet.main import make_keys, nodes_document
from dragon_sequencer.devnet.network import Network, Rules, Signer
from dragon_sequencer.devnet.storage import Storage
from dragon_sequencer.nodes import NodeList, NodeLists
from wsgi import WsgiAdapter, WsgiApp

SEQUENCER = "sequencer:6001"
FINALITY = 0.4  # seconds from a submission to its finality

Made = tuple[list[Database], Any, WsgiApp]  # a service: its databases, components and app


@dataclass
class Clock:
    """The clock of a world. Each service may see it with an offset."""

    now: float

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class _SimulatedFuture(Future[Any]):
    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock, self.finished = clock, clock.now

    def done(self) -> bool:
        return self.finished <= self.clock.now

    def result(self, timeout: float | None = None) -> Any:
        """Move the clock to the time when the work was finished."""
        left = max(0.0, self.finished - self.clock.now)
        if timeout is not None and left > timeout:
            self.clock.now += timeout
            raise TimeoutError
        self.clock.now += left
        return super().result(0)


class SimulatedExecutor(Executor):
    """Runs work immediately, but sets the clock back, as if it ran in another thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        begun, future = self._clock.now, _SimulatedFuture(self._clock)
        try:
            result = fn(*args, **kwargs)
        except Exception as error:
            future.finished = self._clock.now
            future.set_exception(error)
        else:
            future.finished = self._clock.now
            future.set_result(result)
        self._clock.now = begun
        return future


@dataclass
class Outage:
    """A period in which a service does not answer.

    `refuse`: like a closed port. `hang`: like a frozen host, which answers when the period ends.
    """

    begin: float
    end: float
    manner: str = "refuse"


@dataclass
class Wire(BaseAdapter):
    """All requests of one service, subject to the world's outages and cuts."""

    world: World
    caller: str

    def __post_init__(self) -> None:
        super().__init__()

    def send(  # type: ignore[override]
        self, request: requests.PreparedRequest, timeout: object = None, **_: object
    ) -> requests.Response:
        world, host = self.world, urlsplit(request.url or "").netloc
        name = world.names.get(host, host)
        left = _total(timeout)
        if (self.caller, name) in world.cuts or (self.caller, "*") in world.cuts:
            world.clock.sleep(left)
            raise requests.ConnectTimeout("cut off", request=request)
        if (fault := world.lookup_faults.get((self.caller, name))) is not None:
            raise requests.ConnectionError(socket.gaierror(fault, "lookup failed"), request=request)
        for outage in world.outages.get(name, []):
            if outage.begin <= world.clock.now < outage.end:
                if outage.manner == "refuse":
                    raise requests.ConnectionError("refused", request=request)
                if outage.end - world.clock.now >= left:
                    world.clock.sleep(left)
                    raise requests.ReadTimeout("hangs", request=request)
                world.clock.now = outage.end
        world.sent.append((self.caller, request))
        return world.wires.send(request)

    def close(self) -> None:
        pass


class WiredNetwork(SocketNetwork):
    """How a service of a world reaches targets. Ports are open unless there is a fault."""

    def __init__(self, world: World, caller: str, *, may_be_private: bool) -> None:
        super().__init__(HttpClient(world.session(caller)), Connector())
        self._world = world
        self._caller = caller
        self._may_be_private = may_be_private

    def exchange(self, method: str, url: str, **options: Any) -> HttpResponse:
        self._check(urlsplit(url).hostname)
        return super().exchange(method, url, **options)

    def connect(self, host: str, port: int, *, deadline: float) -> None:
        self.handshake(host, port, deadline=deadline)

    def handshake(self, host: str, port: int, *, deadline: float) -> int | None:
        """Return when the certificate of `World.certificates` expires."""
        self._check(host)
        request = requests.Request("CONNECT", f"http://{host}:{port}").prepare()
        try:
            self._world.wire(self._caller).send(request, timeout=deadline)
        except (requests.RequestException, OSError) as error:
            raise unreachable(error) from None
        return self._world.certificates.get(f"{host}:{port}")

    def _check(self, host: str | None) -> None:
        if host in self._world.private_hosts and not self._may_be_private:
            raise unreachable(AddressRefused())


def _total(timeout: object) -> float:
    total = getattr(timeout, "total", None)
    if total is not None:
        return float(total)
    if isinstance(timeout, tuple):
        return float(max(part or 0 for part in timeout))
    return float(timeout) if isinstance(timeout, (int, float)) else 5.0


@dataclass
class Running:
    """One running service of a world."""

    name: str
    components: Any  # the Components of its package
    databases: Sequence[Database]
    client: SequencerClient


@dataclass
class World:
    """Committee, sequencer, operators and aggregators.

    A context manager. At the end it verifies all logs with `audit`.
    """

    folder: Path
    members: Members = field(default_factory=make_members)
    verify_at_end: bool = True
    now: float | None = None  # Unix seconds; the genesis of the committee by default

    def __post_init__(self) -> None:
        genesis = float(self.members.committee.rounds.genesis)
        self.clock = Clock(genesis if self.now is None else self.now)
        self.offsets: dict[str, float] = {}  # how far a service's clock is ahead, in seconds
        self.outages: dict[str, list[Outage]] = {}
        self.cuts: set[tuple[str, str]] = set()  # (from, to) or (from, "*")
        # (from, to) → number of the error of the caller's resolver, such as `socket.EAI_AGAIN`
        self.lookup_faults: dict[tuple[str, str], int] = {}
        self.certificates: dict[str, int] = {}  # host:port of a target → Unix seconds of its end
        self.private_hosts: set[str] = set()  # hosts of targets that have a private address
        self.sent: list[tuple[str, requests.PreparedRequest]] = []
        self.names: dict[str, str] = {SEQUENCER: "sequencer"}
        self.newcomers: dict[str, bls.SecretKey] = {}  # operators and next keys without a seat
        self.former: dict[str, bls.SecretKey] = {}  # keys of operators that have left
        self.founding = self.members.committee
        # By service: the committees that its owner has given, oldest first; else the founding one.
        self.pins: dict[str, Sequence[Committee]] = {}
        self.wires = WsgiAdapter()
        self.services: dict[str, Running] = {}
        self._random = random.Random(1)
        self._make_network()
        for operator in self.members.committee.operators:
            self.names[urlsplit(operator.url).netloc] = operator.id
        for aggregator in self.members.committee.aggregators:
            self.names[urlsplit(aggregator.url).netloc] = f"aggregator_{aggregator.rank}"
        for name in (*self.operators, *self.aggregators):
            self._start(name, reads=True)
        self.confirm_clocks()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        names = list(self.services)
        for name in names:
            self.crash(name)
        self.storage.close()
        if kind is None and self.verify_at_end:
            self.verify_logs()

    @property
    def committee(self) -> Any:
        return self.members.committee

    @property
    def operators(self) -> list[str]:
        return list(self.members.secrets)

    @property
    def aggregators(self) -> list[str]:
        return [f"aggregator_{a.rank}" for a in self.members.committee.aggregators]

    def with_a_log(self) -> list[str]:
        return [*self.watchers(), *self.aggregators]

    def watchers(self) -> list[str]:
        """All operators that run, with a seat or without."""
        return list(dict.fromkeys([*self.operators, *self.newcomers]))

    # Handovers

    def join(self, name: str, secret: bls.SecretKey, url: str) -> None:
        """Start an operator that no committee lists yet: it follows the log without a seat."""
        self.newcomers[name] = secret
        self.names[urlsplit(url).netloc] = name
        self._start(name, reads=True)
        self.confirm_clocks()

    def approve(self, name: str, committee: Committee) -> None:
        """Let the owner of an operator approve the next committee."""
        path = approval_path(self.database_file(name))
        path.write_text(Approval(int(self.clock.now), committee).encode())

    def withdraw(self, name: str) -> None:
        approval_path(self.database_file(name)).unlink()

    def take_seats(self, following: Members) -> None:
        """After a handover: the world's members are those of the next committee."""
        self.former |= {
            name: secret
            for name, secret in self.members.secrets.items()
            if name not in following.secrets
        }
        self.members = following
        for name in following.secrets:
            self.newcomers.pop(name, None)

    def secrets_of(self, name: str) -> list[bls.SecretKey]:
        """The keys of an operator: the present one, and the next one while it is rotated."""
        known = [self.members.secrets.get(name), self.newcomers.get(name), self.former.get(name)]
        return [each for each in known if each is not None]

    # Set-up

    def _make_network(self) -> None:
        committee = self.members.committee
        self.nodes, signer = self._make_node(7)
        self.further_nodes: list[NodeList] = []  # lists that services have beside `nodes`
        signers = [signer]
        self.storage = Storage(self.folder / "sequencer.db")
        self.network = Network(
            [committee.sequencer.app],
            signers,
            self.storage,
            monotonic=lambda: self.clock.now,
            wall=lambda: self.clock.now + self.offsets.get("sequencer", 0.0),
            rules=Rules(min_age=0.25),
        )
        self.wires.mount(SEQUENCER, create_sequencer(self.network, hold=0, control=True))

    def _make_node(self, seed: int) -> tuple[NodeList, Signer]:
        """Return the list of a network with one node, and its signer."""
        keys = make_keys(1, random.Random(seed).getrandbits)
        listed = nodes_document(keys, f"http://{SEQUENCER}")
        nodes = NodeList.decode(
            json.dumps(listed),
            threshold_percent=self.members.committee.sequencer.threshold_percent,
        )
        [node] = nodes.nodes.values()
        return nodes, Signer(node, keys[0])

    def new_node(self, seed: int) -> tuple[NodeList, Signer]:
        """Make another node of the ledger's network, and give its list to every service."""
        nodes, signer = self._make_node(seed)
        self.further_nodes.append(nodes)
        for name in list(self.services):
            self.restart(name)
        return nodes, signer

    def runtime(self, name: str) -> Runtime:
        return Runtime(
            http=HttpClient(self.session(name)),
            wall=lambda: self.clock.now + self.offsets.get(name, 0.0),
            monotonic=lambda: self.clock.now,
            sleep=self.clock.sleep,
            entropy=self._random.randbytes,
            workers=lambda _: SimulatedExecutor(self.clock),
            processor=lambda: self.clock.now,
            networks=lambda private: WiredNetwork(self, name, may_be_private=private),
        )

    def wire(self, name: str) -> Wire:
        """Return the connection of a service to all others."""
        return Wire(self, name)

    def session(self, name: str) -> requests.Session:
        session = make_session()
        session.mount("http://", self.wire(name))
        return session

    def database_file(self, name: str) -> Path:
        return self.folder / f"{name}.db"

    def start(self, name: str, *, reads: bool = True) -> Any:
        """Start a service on its existing files. Return its components.

        An operator probes its peers and reads the ledger at the start, as if it had been started
        two seconds ago. `reads`: false if it has not read the ledger yet.
        """
        components = self._start(name, reads=reads)
        self.confirm_clocks()
        return components

    def confirm_clocks(self, *, again: bool = False) -> None:
        """Let services whose clock is not confirmed probe the operators, as they do every second.

        Operators that have just started look for another service with their key.

        They did it two seconds ago, so that no result is shared with a probe of now. `again`: also
        operators whose clock is confirmed, as they do once a round.
        """
        now = self.clock.now
        for name in self.watchers():
            if not self.is_answering(name):
                continue
            if self.components(name).key_check.why_wait():
                self.components(name).key_check.look()
            if again or not self.components(name).peers.clock_is_confirmed():
                self.clock.now = now - 2.0
                self.components(name).peers.probe(max_age=float("-inf"))
        for name in self.aggregators:
            if self.is_answering(name):
                self.clock.now = now - 2.0
                self.components(name).monitor.check_clock()
        self.clock.now = now

    def _start(self, name: str, *, reads: bool) -> Any:
        client = SequencerClient(
            self.committee.sequencer.app,
            NodeLists([self.nodes, *self.further_nodes]),
            session=self.session(name),
            monotonic=lambda: self.clock.now,
            sleep=self.clock.sleep,
            rng=random.Random(3),
        )
        databases, components, app = self._make(name, client)
        self.services[name] = Running(name, components, databases, client)
        host = next(host for host, known in self.names.items() if known == name)
        self.wires.mount(host, app)
        self.outages.pop(name, None)
        if reads and name in self.watchers():
            self._try(components.follower.catch_up)
        return components

    def _make(self, name: str, client: SequencerClient) -> Made:
        if self.secrets_of(name):
            return self._make_operator(name, client)
        return self._make_aggregator(name, client)

    def _make_operator(self, name: str, client: SequencerClient) -> Made:
        settings = dragon_operator.settings.Settings(
            operator=name,
            committee=self.pins.get(name, [self.founding])[-1],
            earlier=self.pins.get(name, [self.founding])[:-1],
            secret=self.secrets_of(name)[0],
            next_secret=next(iter(self.secrets_of(name)[1:]), None),
            database=self.database_file(name),
            nodes_files=(),
            host="",
            port=0,
            threads=1,
        )
        runtime = self.runtime(name)
        files = Databases.open(settings, runtime)
        components = dragon_operator.main.assemble(settings, files, client, runtime)
        databases = [files.log, files.journal, files.objects, files.evidence]
        return databases, components, dragon_operator.app.create_app(components)

    def _make_aggregator(self, name: str, client: SequencerClient) -> Made:
        settings = dragon_aggregator.settings.Settings(
            committee=self.pins.get(name, [self.founding])[-1],
            earlier=self.pins.get(name, [self.founding])[:-1],
            rank=int(name.rpartition("_")[2]),
            database=self.database_file(name),
            nodes_files=(),
            host="",
            port=0,
            threads=1,
        )
        database = dragon_aggregator.main.open_database(settings)
        objects = dragon_aggregator.main.open_objects(settings, database.disk)
        components = dragon_aggregator.main.assemble(
            settings,
            database,
            objects,
            ledger=client,
            sender=client,
            runtime=self.runtime(name),
        )
        return [database, objects], components, dragon_aggregator.app.create_app(components)

    # Faults

    def stop(self, name: str, manner: str = "refuse") -> None:
        """From now on `name` does not answer. It keeps its memory, unlike after `crash`."""
        self.outages.setdefault(name, []).append(Outage(self.clock.now, float("inf"), manner))

    def resume(self, name: str) -> None:
        self.outages.pop(name, None)

    def crash(self, name: str) -> None:
        """Like `kill -9`: state outside its files is lost, and the port is closed."""
        running = self.services.pop(name)
        for database in running.databases:
            database.close()
        running.client.close()
        self.stop(name)

    def restart(self, name: str, *, reads: bool = True) -> Any:
        if name in self.services:
            self.crash(name)
        return self.start(name, reads=reads)

    def impersonate(self, name: str, app: WsgiApp) -> None:
        """Let another app answer at the address of `name`."""
        host = next(host for host, known in self.names.items() if known == name)
        self.wires.mount(host, app)
        self.outages.pop(name, None)

    # Time

    def is_answering(self, name: str) -> bool:
        now = self.clock.now
        return name in self.services and not any(
            outage.begin <= now < outage.end for outage in self.outages.get(name, [])
        )

    def run(self, rounds: int = 1, *, settle: bool = True, peers: bool = True) -> None:
        """Run whole rounds: monitor, submit, finalize and follow; then the operators' own probes.

        `peers`: whether they probe the targets and their peers.

        Operators whose clock is not confirmed also probe before each round.
        """
        clock, numbering = self.clock, self.committee.rounds
        for _ in range(rounds):
            number = numbering.number(clock.now - 1e-6) + 1
            clock.now = max(clock.now, float(numbering.start(number)))
            self.confirm_clocks()
            for name in self.aggregators:
                if self.is_answering(name):
                    self.services[name].components.monitor.run_round(number)
                    self._beside(self.services[name].components.handovers, number)
            if settle:
                self.settle()
            if peers:
                self._look_at_targets(number)
            self._middle(number, peers=peers)

    def _beside(self, handovers: HandoverCollector, number: int) -> None:
        """Collect a handover, which takes none of the time of the rounds."""
        begun = self.clock.now
        handovers.step(self.committee.rounds.start(number))
        self.clock.now = begun

    def _look_at_targets(self, number: int) -> None:
        numbering = self.committee.rounds
        at = numbering.start(number) + BEGIN_SHARE * numbering.seconds
        self.clock.now = max(self.clock.now, at)
        for name in self.watchers():
            if self.is_answering(name):
                begun = self.clock.now
                self.services[name].components.target_looks.step()
                self.clock.now = begun

    def _middle(self, number: int, *, peers: bool) -> None:
        numbering = self.committee.rounds
        self.clock.now = max(self.clock.now, numbering.start(number) + numbering.seconds / 2)
        for name in self.watchers() if peers else ():
            if self.is_answering(name):
                begun = self.clock.now
                self.services[name].components.peers.probe()
                self.services[name].components.peer_reports.step()
                self.services[name].components.evidence.step()
                self.clock.now = begun
        self.settle()

    def settle(self) -> None:
        """Let windows, outboxes, ledger and logs finish what is pending."""
        for name in self.aggregators:
            if self.is_answering(name):
                self.services[name].components.window_queue.step()
                self._try(self.services[name].components.submitter.step)
        self.clock.now += FINALITY
        self.network.finalize_due()
        for name in self.with_a_log():
            if self.is_answering(name):
                self._try(self.services[name].components.follower.catch_up)
        for name in self.aggregators:
            if self.is_answering(name):
                self._try(self.services[name].components.submitter.step)

    @staticmethod
    def _try(step: Callable[[], object]) -> None:
        with suppress(LedgerUnavailable):
            step()

    # Queries

    def components(self, name: str) -> Any:
        return self.services[name].components

    def statuses(self, name: str) -> dict[str, str]:
        """Each node's status in the log of `name`."""
        state = self.components(name).log.state
        return {node_id: str(state.status(node_id) or "unknown") for node_id in self.committee.urls}

    def entries(self, name: str) -> list[LogEntry]:
        """The status events in the log of `name`."""
        return [e for e in self.components(name).log.entries() if e.event.claim.KIND == "status"]

    def checkpoints(self, name: str) -> list[Mark]:
        """The certified checkpoints that the log of `name` has applied."""
        return list(self.components(name).log.state.marks)

    def story(self, name: str, node_id: str) -> list[tuple[str, int]]:
        """(status, round) of each event on a node in the log of `name`."""
        rounds = self.committee.rounds
        moves = self.components(name).log.state.nodes.get(node_id, ())
        return [(str(move.status), rounds.number(move.timestamp)) for move in moves]

    def submit(self, *events: Any) -> None:
        """Put events onto the ledger, as anyone can, and let every log read them."""
        signed = Certificate | Handover | SingleSigned
        values = [e.to_json() if isinstance(e, signed) else e for e in events]
        self.network.submit(self.committee.sequencer.app, canonical(values).decode())
        self.settle()

    def announce(
        self, node_id: str, begin: int, seconds: int, aggregator: str = "aggregator_0"
    ) -> Maintenance:
        """Announce a window of maintenance, as the node's speaker does, through an aggregator.

        `begin`: Unix seconds. Every log that answers has it afterwards.
        """
        claim = MaintenanceClaim(node_id, begin, begin + seconds, int(self.clock.now))
        announcement = self.members.announce(claim)
        answer = self.post(aggregator, "/maintenance", announcement.to_json())
        assert answer.status_code == 202, answer.text
        self.settle()
        return announcement

    def journaled(self, event: Certificate | Handover) -> Any:
        """Record what was signed with the operators' keys in their journals, as if they did it."""
        accepted = event.acceptance.signers if isinstance(event, Handover) else ()
        for name in sorted({*event.signers, *accepted}):
            parts = self.components(name)
            log, journal = parts.log, parts.journal
            if isinstance(event, Handover):
                journal.use_log(log.state.size, lambda size, log=log: log.head(size).root)
                journal.decide_handover(event.claim, log.committee, log.state.log_time)
            else:
                journal.decide(event.claim, log.state.log_time)
        return event

    def get(self, name: str, path: str) -> requests.Response:
        host = next(host for host, known in self.names.items() if known == name)
        return self.session("client").get(f"http://{host}{path}")

    def post(self, name: str, path: str, body: object = None, raw: bytes | None = None) -> Any:
        host = next(host for host, known in self.names.items() if known == name)
        data = canonical(body) if raw is None else raw  # type: ignore[arg-type]
        return self.session("client").post(f"http://{host}{path}", data=data)

    def verify_logs(self) -> dict[str, Audit]:
        """Verify every log from its first entry, and check that any two have a common prefix."""
        # A log may end before the newest committee has certified a part of it.
        trust = Trust(Lineage.of(self.committee), trust_from=0)
        audits = {name: audit(self.database_file(name), trust) for name in self.with_a_log()}
        leaves = {name: _leaves(self.database_file(name)) for name in audits}
        longest = max(leaves.values(), key=len)
        for name, log in leaves.items():
            assert log == longest[: len(log)], f"the log of {name} differs"
        return audits


def _leaves(path: Path) -> Sequence[bytes]:
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT leaf_hash FROM entries ORDER BY position")
        return [bytes(row[0]) for row in rows]
