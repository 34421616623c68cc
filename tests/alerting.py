"""Alerts of a fleet on paper: a real log with certified events, reports, and a receiver in memory.

Nothing runs and nothing waits: the test says what happens, and moves the clock.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from committees import Members, make_members, with_target
from dragon import errors
from dragon.encoding import canonical, to_hex
from dragon.log.follower import Follower
from dragon.log.index_tables import StreamRecords
from dragon.log.ledger import FinalityRule, KeptPositions, Position, ProvenBatch
from dragon.log.schema import LOG_SCHEMA
from dragon.log.store import Log
from dragon.net.http_client import HttpClient
from dragon.net.runtime import Runtime
from dragon.node.certification import Certification
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.maintenance import MaintenanceClaim
from dragon.protocol.claims.status import Status
from dragon.protocol.committee import Committee, Target
from dragon.protocol.event import Event
from dragon.protocol.handover import Handover
from dragon.protocol.target_checks import TlsCheck
from dragon.storage.database import Database
from dragon.storage.disk import Disk
from dragon_explorer.alerts.alerting import Alerting, open_database
from dragon_explorer.alerts.channels import Attempt
from dragon_explorer.alerts.conditions import Condition
from dragon_explorer.alerts.config import AlertsConfig, Rule
from dragon_explorer.alerts.delivery import Worker
from dragon_explorer.alerts.outbox import Message
from dragon_explorer.alerts.routes import Route
from dragon_explorer.app import create_app
from dragon_explorer.components import Components
from dragon_explorer.epochs import Epochs
from dragon_explorer.history.recorder import Recorder
from dragon_explorer.history.schema import SCHEMA
from dragon_explorer.history.store import History
from dragon_explorer.history.window_votes import WindowVotes
from dragon_explorer.index import LogIndex
from dragon_explorer.live import answers
from dragon_explorer.live.approved_files import ApprovedFiles
from dragon_explorer.live.audience import Audience
from dragon_explorer.live.board import Board, OperatorReport, Part
from dragon_explorer.maintenance import Maintenance
from dragon_explorer.public_page import PublicFile, PublicPage
from dragon_explorer.rendering import Renderer
from dragon_explorer.sources import Sources
from epochs import hand_over, successor

WARN_DAYS = 14
MEMBERS = with_target(
    make_members(4, targets=3, owners=3, maintenance_notice=0),
    Target("target_4", "tls://target-4:443", TlsCheck(warn_days=WARN_DAYS)),
)
SECRET_PATH = "secret-path"


@dataclass
class Receiver:
    """A channel in memory. `answers` are given in turn; then everything is accepted."""

    answers: list[Attempt] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)  # every attempt

    def send(self, message: Message) -> Attempt:
        self.messages.append(message)
        return self.answers.pop(0) if self.answers else Attempt()

    @property
    def types(self) -> list[str]:
        return [message.type for message in self.messages]

    @property
    def titles(self) -> list[str]:
        return [message.title.partition("] ")[2] for message in self.messages]

    def incidents(self, number: int = -1) -> list[Mapping[str, Any]]:
        """The incidents in the body of a message."""
        found: list[Mapping[str, Any]] = json.loads(self.messages[number].body)["data"]["incidents"]
        return found


@dataclass
class PaperLedger:
    """A ledger in memory that can be unavailable."""

    batches: list[str] = field(default_factory=list)
    fault: str = ""

    def poll(
        self, after: Position, kept: KeptPositions | None = None, rule: FinalityRule | None = None
    ) -> Sequence[ProvenBatch]:
        if self.fault:
            raise errors.LedgerUnavailable(self.fault)
        numbered = list(enumerate(self.batches, start=1))[after.index : after.index + 8]
        return [ProvenBatch(n, body, 0, "{}", Position(n, str(n))) for n, body in numbered]


def config(*on: Condition, **settings: Any) -> AlertsConfig:
    """One rule about these conditions, with one route."""
    rule = Rule("rule", frozenset(on), ("team",), **settings)
    route = Route("team", "webhook", f"https://hooks.example.org/{SECRET_PATH}", (b"k" * 32,))
    return AlertsConfig((rule,), {"team": route})


class PaperFleet:
    """An explorer's log, its board and its alerts."""

    def __init__(
        self,
        folder: Path,
        alerts: AlertsConfig,
        members: Members = MEMBERS,
        disks: Sequence[Disk] = (),
    ) -> None:
        self.members, self.committee, self.config = members, members.committee, alerts
        self.founding = members
        self.folder, self.disks = folder, disks
        self.now = float(self.committee.rounds.start(100))
        self.ledger, self.board, self.receiver = PaperLedger(), Board(), Receiver()
        self.clock_error = 0.0  # seconds by which the explorer's clock is wrong
        self._open()
        self.silent: set[str] = set()
        self.reasons: dict[str, list[str]] = {}
        self.expires: dict[str, int] = {}  # ends of operators' TLS certificates, in Unix seconds
        self.seen_ends: dict[str, int] = {}  # by operator: end of the certificate of target_4
        self.approved: dict[str, Committee] = {}  # what owners have approved, as operators say
        self.start()

    def _open(self) -> None:
        """Open the files of log and history."""
        self.databases = [
            Database(self.folder / "explorer.db", LOG_SCHEMA),
            Database(self.folder / "explorer-history.db", SCHEMA),
        ]
        self.log = Log(self.databases[0], self.committee)
        self.follower = Follower(self.log, self.ledger, monotonic=lambda: self.now)
        self.sources = Sources(
            log=self.log,
            epochs=Epochs(self.log),
            records=StreamRecords(self.databases[0], self.log.note_damage),
            follower=self.follower,
            index=LogIndex(self.log),
            maintenance=Maintenance(self.log),
            board=self.board,
            approved_files=ApprovedFiles(self.log, HttpClient.create(), lambda: self.now),
            history=History(self.databases[1]),
            window_votes=WindowVotes(self.databases[1]),
            public_file=PublicFile(PublicPage.of_all(self.committee), self.log),
        )

    def restart(self, *lost: str) -> None:
        """Restart the explorer without reading the ledger. Args: `lost`, patterns of files."""
        for database in (*self.databases, self.database):
            database.close()
        for file in [file for pattern in lost for file in self.folder.glob(pattern)]:
            file.unlink()
        self._open()
        self.start()

    def lose_log(self) -> None:
        """Lose the file of the log, which the explorer then reads from the ledger again."""
        self.restart("explorer.db*")

    def wall(self) -> float:
        """What the clock of the explorer shows (Unix seconds)."""
        return self.now + self.clock_error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for database in (*self.databases, self.database):
            database.close()

    def start(self) -> None:
        """Assemble the alerts, as after the start of the explorer."""
        self.runtime = runtime = Runtime(
            http=HttpClient.create(),
            wall=self.wall,
            monotonic=lambda: self.now,
            sleep=lambda _: None,
            entropy=bytes,
            workers=lambda _: None,  # type: ignore[arg-type, return-value]
        )
        self.database = open_database(self.folder / "explorer.db")
        made = Alerting.assemble(
            self.config,
            self.sources,
            self.database,
            runtime,
            disks=self.disks,
            client=lambda _: runtime.http,
        )
        workers = [
            Worker(name, self.receiver, made.outbox, runtime.wall, runtime.entropy)
            for name in self.config.routes
        ]
        self.alerting = replace(made, workers=workers)

    def crash(self) -> None:
        """Lose everything that is not on disk."""
        self.database.close()
        self.start()

    def happen(self, *events: Event) -> None:
        """Put events onto the ledger as one batch."""
        self.ledger.batches.append(canonical([event.to_json() for event in events]).decode())

    def status(self, status: Status, *nodes: str) -> None:
        """Certify a status of nodes in the current round."""
        round_ = self.committee.rounds.number(self.now)
        signers = list(self.members.secrets)[: self.committee.quorum("status")]
        self.happen(*(self.members.status(node, status, round_, signers) for node in nodes))

    def down(self, *nodes: str) -> None:
        self.status(Status.DOWN, *nodes)

    def up(self, *nodes: str) -> None:
        self.status(Status.UP, *nodes)

    def announce(self, node_id: str, begin: float, end: float) -> None:
        """Announce maintenance. Args: `begin`, `end`, in seconds from now."""
        now = int(self.now)
        claim = MaintenanceClaim(node_id, now + int(begin), now + int(end), now)
        self.happen(self.members.announce(claim))

    def checkpoint(self) -> None:
        """Certify a checkpoint of the current log."""
        self.follower.catch_up()
        rounds, head = self.committee.rounds, self.log.head()
        claim = CheckpointClaim(head.size, head.root, rounds.start(rounds.number(self.now)))
        self.happen(self.members.certify(claim, self.members.secrets))

    def following(self, **changes: Any) -> Members:
        """Return the next committee; `changes` as for `epochs.successor`."""
        last = self.log.state.handover
        seated_by = self.log.entry(last.position).event if last else None
        assert seated_by is None or isinstance(seated_by, Handover)
        return successor(self.members, seated_by, **changes)

    def hand_over(self, **changes: Any) -> None:
        """Certify a handover to the next committee, whose operators then answer."""
        self.follower.catch_up()
        following, head = self.following(**changes), self.log.head()
        self.log.offer(following.committee)
        rounds = self.committee.rounds
        at = rounds.start(rounds.number(self.now))
        made = hand_over(self.members, following, size=head.size, root=head.root, timestamp=at)
        self.happen(made)
        self.follower.catch_up()
        self.members, self.committee = following, following.committee
        self.board.keep(following.secrets)

    def pass_time(self, seconds: float, step: float = 1.0) -> None:
        """Let the explorer work; services answer all the time."""
        ends = self.now + seconds
        self.work()
        while self.now < ends:
            self.now = min(ends, self.now + step)
            self.work()

    def work(self) -> None:
        """Let engine and workers do what is due now."""
        with suppress(errors.LedgerUnavailable):
            self.follower.catch_up()
        self._answer()
        while self.alerting.engine.step():
            pass
        for worker in self.alerting.workers:
            while worker.step():
                pass

    def _answer(self) -> None:
        """Put a report of every operator that answers onto the board."""
        head = self.log.head()
        for operator in self.committee.operators:
            if operator.id in self.silent:
                continue
            said = answers.Readiness(
                status="ready",
                reasons=list(self.reasons.get(operator.id, ())),
                certificate_expires=self.expires.get(operator.id),
            )
            own = answers.LogHead(size=head.size, root=to_hex(head.root), ledger_index=0)
            approved = self.approved.get(operator.id)
            state = answers.CommitteeState(
                network=to_hex(self.committee.network_id),
                epoch=self.committee.epoch,
                committee=to_hex(self.committee.id),
                approved={operator.id: to_hex(approved.id) if approved else None},
            )
            report = OperatorReport(
                operator.id,
                operator.url,
                Part(said, self.wall()),
                Part(own, self.wall()),
                Part(state, self.wall()),
                Part(self._seen(operator.id), self.wall()),
            )
            self.board.put(report)
            if approved:
                self.log.offer(approved)  # instead of a request for the file
                self.sources.approved_files.note(report)

    def _seen(self, operator: str) -> dict[str, answers.Node]:
        """The only target about which operators state anything: that with a certificate."""
        if (end := self.seen_ends.get(operator)) is None:
            return {}
        at = int(self.now)
        seen = answers.Seen(status="up", reason="answered", at=at, certificate_expires=end)
        return {"target_4": answers.Node(node_id="target_4", status="up", since=None, seen=seen)}

    def app(self) -> Any:
        """An app of the explorer with these alerts."""
        wall = self.wall
        components = Components(
            self.sources,
            [],
            Recorder(self.sources.history, self.committee, wall),
            Renderer(self.sources, wall, bytes(8)),
            wall,
            Certification(self.committee, self.sources.log, self.sources.follower, self.runtime),
            Audience(wall),
            [database.disk for database in self.databases],
            self.alerting,
        )
        return create_app(components)
