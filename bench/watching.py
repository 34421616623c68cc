"""One aggregator that monitors 204 nodes: duration of a round, and memory.

It uses the real prober, certifier, outbox and log, with real threads, sockets and files. Another
process runs four operators and 200 targets. These operators sign every claim at once, so that only
the aggregator is measured. First all nodes are up. Then 100 targets fail: they refuse connections,
or accept them and never answer. In that round each of them is probed twice, and its outage is
certified. In later rounds they are known to be down.

Goal: at most half a round (of five seconds).
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import multiprocessing
import os
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

from dragon.encoding import Json, canonical, from_hex, parse, to_hex
from dragon.log.follower import Follower
from dragon.log.ledger import FinalityRule, KeptPositions, Position, ProvenBatch
from dragon.log.schema import LOG_SCHEMA
from dragon.log.store import Log
from dragon.net.operator_keys import listed_keys
from dragon.net.runtime import Runtime
from dragon.probing.prober import Prober
from dragon.protocol import claims
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.committee import Committee
from dragon.protocol.messages import StatusAnswer
from dragon.storage.database import Database
from dragon_aggregator import outbox
from dragon_aggregator.certifier import Certifier
from dragon_aggregator.clock_check import ClockCheck
from dragon_aggregator.monitor import Monitor
from dragon_aggregator.outbox import Outbox
from dragon_aggregator.round_record import Round
from fixtures import Members, batch, make_members, quorum_certificate
from timing import show, verdict

Handler: TypeAlias = Callable[
    [asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]
]
Say: TypeAlias = Callable[[str, bytes], Json]  # from a request's path and body to the response body

LOOPBACK = "127.0.0.1"
OPERATORS = 4


# The nodes: one process with a port for each operator, one for live and one for hanging targets.


class Nodes:
    """All nodes. They receive their committee once their ports are known."""

    def __init__(self) -> None:
        members = make_members(OPERATORS)
        self._secrets, self.committee = members.secrets, members.committee

    def say(self, operator: str, target: str, body: bytes) -> Json:
        """A signed answer to /status, and a signature on any claim."""
        secret, committee_id = self._secrets[operator], self.committee.id
        if target.startswith("/status"):
            nonce = from_hex(parse_qs(urlsplit(target).query)["nonce"][0], member="nonce", size=16)
            answer = StatusAnswer(operator, Status.UP, round(1000 * time.time()), nonce)
            return {**answer.members(), "signature": to_hex(secret.sign(answer.root(committee_id)))}
        claim = claims.from_json(parse(body))
        signature = secret.sign(claim.root(committee_id))
        return {
            "operator": operator,
            "signature": to_hex(signature),
            "committee": to_hex(committee_id),
        }

    async def serve(self, connection: Connection) -> None:
        """Send the ports of operators, live and hanging targets; serve until told to stop."""
        living: Handler = partial(_answer, lambda *_: {"status": "up"})
        operators: list[Handler] = [
            partial(_answer, partial(self.say, name)) for name in self._secrets
        ]
        handlers = [*operators, living, _hang]
        servers = [await asyncio.start_server(h, LOOPBACK, 0, backlog=1024) for h in handlers]
        connection.send([server.sockets[0].getsockname()[1] for server in servers])
        self.committee = Committee.load(await asyncio.to_thread(connection.recv_bytes))
        with suppress(EOFError):
            await asyncio.to_thread(connection.recv)
        os._exit(0)  # a normal exit would wait for hanging connections


def serve(connection: Connection) -> None:
    asyncio.run(Nodes().serve(connection))


async def _answer(say: Say, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, asyncio.IncompleteReadError):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        target, length = head.split(" ")[1], 0
        for line in head.lower().split("\r\n"):
            if line.startswith("content-length:"):
                length = int(line.partition(":")[2])
        body = canonical(say(target, await reader.readexactly(length)))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
    writer.close()


async def _hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while await reader.read(4096):
            pass
    writer.close()


# The aggregator


class EmptyLedger:
    def poll(
        self, after: Position, kept: KeptPositions | None = None, rule: FinalityRule | None = None
    ) -> Sequence[ProvenBatch]:
        return ()


class Aggregator:
    """An aggregator with a log in which every node is certified up."""

    def __init__(self, members: Members, folder: Path) -> None:
        self.members, committee = members, members.committee
        self.runtime = Runtime.real()
        self.database = Database(folder / "aggregator.db", LOG_SCHEMA, outbox.SCHEMA)
        self.outbox = Outbox(self.database)
        log = Log(self.database, committee)
        quorum = list(members.secrets)[:3]
        claims = [StatusClaim(node, Status.UP, committee.rounds.genesis) for node in committee.urls]
        events = [quorum_certificate(members, claim, quorum) for claim in claims]
        log.take(*(batch(index, one) for index, one in enumerate(events, start=1)))
        follower = Follower(log, EmptyLedger(), monotonic=self.runtime.monotonic)
        follower.step()
        self.prober, self.certifier = (
            Prober(committee, self.runtime),
            Certifier(committee, self.runtime),
        )
        self.monitor = Monitor(
            committee,
            0,
            prober=self.prober,
            certifier=self.certifier,
            outbox=self.outbox,
            log=log,
            follower=follower,
            clock=ClockCheck(committee),
            keys_of=listed_keys(committee),
            runtime=self.runtime,
        )

    def run_round(self) -> Round:
        """Run one round now, with the current number or the next unused one."""
        number = self.members.committee.rounds.number(self.runtime.wall())
        if self.monitor.recent:
            number = max(number, self.monitor.recent[-1].number + 1)
        return self.monitor.run_round(number)

    def forget(self) -> None:
        """Empty the outbox, so that only the log counts again."""
        for entry in self.outbox.pending():
            self.outbox.remove([entry])

    def close(self) -> None:
        for part in (self.monitor, self.prober, self.certifier, self.database):
            part.close()


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def committee_at(members: Members, ports: list[int], targets: list[int]) -> Members:
    """The same members at these ports."""
    committee = members.committee
    operators = tuple(
        dataclasses.replace(operator, url=f"http://{LOOPBACK}:{port}")
        for operator, port in zip(committee.operators, ports, strict=True)
    )
    nodes = tuple(
        dataclasses.replace(
            target, url=f"http://{LOOPBACK}:{port}/{target.id}", private_addresses=True
        )
        for target, port in zip(committee.targets, targets, strict=True)
    )
    return Members(
        dataclasses.replace(committee, operators=operators, targets=nodes), members.secrets
    )


def measure(manner: str, targets: int, dead: int, repetitions: int) -> list[tuple[object, ...]]:
    genesis = int(time.time()) - 60
    members = make_members(OPERATORS, targets=targets, genesis=genesis)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    nodes = context.Process(target=serve, args=(theirs,), daemon=True)
    with socket.socket() as closed:
        closed.bind((LOOPBACK, 0))  # bound but not listening, so it refuses
        nodes.start()
        theirs.close()
        *operators, living, hanging = ours.recv()
        dying = {"none": living, "refuse": closed.getsockname()[1], "hang": hanging}[manner]
        where = [dying if number < dead else living for number in range(targets)]
        members = committee_at(members, operators, where)
        ours.send_bytes(canonical(members.committee.to_json()))
        with tempfile.TemporaryDirectory() as folder:
            rows = _rows(Aggregator(members, Path(folder)), manner, dead, repetitions)
        ours.close()
        nodes.join(10)
    return rows


def _rows(
    aggregator: Aggregator, manner: str, dead: int, repetitions: int
) -> list[tuple[object, ...]]:
    rows, nodes = [], len(aggregator.members.committee.urls)
    if manner == "none":
        aggregator.run_round()
        rows.append(_row("all are up", [aggregator.run_round() for _ in range(repetitions)]))
    else:
        first, certified = [], []
        for _ in range(repetitions):
            first.append(aggregator.run_round())
            certified.append(
                sum(each.certificate is not None for each in first[-1].attestation_rounds)
            )
            aggregator.forget()
        rows.append(_row(f"{dead} {manner}: round of the outage", first, certified))
        while aggregator.run_round().attestation_rounds:
            pass
        known = [aggregator.run_round() for _ in range(repetitions)]
        rows.append(_row(f"{dead} {manner}: known down", known))
    if any(len(record.probe_results) < nodes for record in aggregator.monitor.recent):
        raise SystemExit("a round did not probe every node")
    aggregator.close()
    return rows


def _row(title: str, records: list[Round], certified: Sequence[int] = ()) -> tuple[object, ...]:
    took = statistics.median(record.took or 0 for record in records)
    probes = round(statistics.median(len(record.probe_results) for record in records))
    ratio, made = took / 2.5, f"{statistics.median(certified):.0f}" if certified else ""
    judged = f"≤ 2.5: {verdict(ratio <= 1)}"
    return (title, probes, made, f"{took:.2f}", judged, f"{resident_mib():.0f}")


def main(
    *,
    targets: int = 200,
    dead: int = 100,
    repetitions: int = 3,
    manners: tuple[str, ...] = ("none", "refuse", "hang"),
) -> None:
    # Rounds that overran are in the table; warnings are not needed.
    logging.getLogger("dragon_aggregator").addHandler(logging.NullHandler())
    rows: list[tuple[object, ...]] = []
    for manner in manners:
        rows += measure(manner, targets, dead, repetitions)
    columns = ("nodes", "probes", "certified", "round, s", "goal, s", "memory, MiB")
    note = (
        f"Medians of {repetitions} rounds of 5 s; {OPERATORS} operators sign every claim. "
        "Memory: resident, of the aggregator's process."
    )
    show(f"One aggregator, {targets} targets and {OPERATORS} operators", columns, rows, note)


if __name__ == "__main__":
    main()
