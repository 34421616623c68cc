"""Time to a certificate of an honest stream while strangers submit large windows with false proofs.

A fleet of real processes on this machine. The honest stream has windows of one second and was
certified before. The strangers create a new stream for each window of 4,095 chunks, store its
objects at the aggregator, and submit it there and to every operator.

    python bench/strangers.py [SECONDS]        default: 20, for each row of the table

Goal: under the attack, half of the messages are certified within 3 s.
"""

from __future__ import annotations

import contextlib
import hashlib
import multiprocessing
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from dragon.encoding import to_hex
from dragon.errors import DragonError, PeerError
from dragon.net import session
from dragon.net.http_client import HttpClient
from dragon.protocol.committee import Committee
from dragon.protocol.streams.chunks import ChunkHeader, encode_chunks
from dragon.protocol.streams.submission import Submission, WindowObjects
from dragon.protocol.streams.window import close
from dragon.stark.blocks import MAX_CHUNKS
from dragon_cli.fleet.create import Plan, Ports, make_fleet
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.processes import Fleet, interrupt_on_signals
from dragon_cli.fleet.streams import connect, find
from fixtures import Members
from pipeline import Latencies, processor_seconds
from timing import percentile, show, verdict

MESSAGES_PER_SECOND: Final = 10.0
LEAD_SECONDS: Final = 5.0
GOAL_SECONDS: Final = 3.0
FALSE_PROOF: Final = bytes(100_000)  # refused by the out-of-domain check
DEADLINE_SECONDS: Final = 5.0


STRANGER: Final = "127.0.0.9"


def _from_elsewhere(connect: Callable[..., socket.socket], *args: Any, **kwargs: Any) -> Any:
    return connect(*args, **{**kwargs, "source_address": (STRANGER, 0)})


def attack(committee_file: Path, per_second: int) -> None:
    """Submit windows of new streams until this process is terminated."""
    from streams import make_owner  # noqa: PLC0415 - a helper of the tests

    committee = Committee.load(committee_file.read_bytes())
    members = Members(committee, {})
    # Services limit clients by address, so the strangers have one that no member has.
    session.create_connection = partial(_from_elsewhere, session.create_connection)
    http, aggregator = HttpClient.create(), committee.aggregators[0].url
    commitment = make_owner(members).descriptor.identity
    now_ms = int(1000 * time.time()) - 1000
    chunks = [ChunkHeader(i, now_ms, 1, commitment) for i in range(MAX_CHUNKS)]
    encoded, number, following = encode_chunks(chunks), 0, time.monotonic()
    template = close(make_owner(members).descriptor, None, chunks)
    while True:
        number += 1
        following += 1 / per_second
        time.sleep(max(0.0, following - time.monotonic()))
        owner = make_owner(members, f"stranger-{per_second}-{number}")
        stream = owner.descriptor.id
        header = replace(template, stream=stream, previous=stream)
        announced = Submission(owner.descriptor, header, owner.sign(header))
        objects = WindowObjects.of(header, encoded, FALSE_PROOF)
        signature = owner.header_secret.sign(objects.root(committee.id))
        submission = replace(announced, objects=objects, objects_signature=signature).to_json()
        with contextlib.suppress(PeerError, DragonError):
            http.post(f"{aggregator}/windows", submission, deadline=DEADLINE_SECONDS)
            for body in (encoded, FALSE_PROOF):
                address = f"{aggregator}/objects/{to_hex(hashlib.sha256(body).digest())}"
                http.send("PUT", address, deadline=DEADLINE_SECONDS, body=body)
        for operator in committee.operators:
            with contextlib.suppress(PeerError, DragonError):
                http.post(f"{operator.url}/windows", submission, deadline=0.05)


def measure(fleet: Fleet, per_second: int, seconds: float) -> tuple[list[float], float]:
    """Seconds from sending each message to its certificate, and the cores that the fleet used.

    The stream is certified before the attack begins, and counts from `LEAD_SECONDS` after.
    """
    client, made = find(
        *(connect(fleet.home, None, None), fleet.home, f"honest-{per_second}", None),
        window_ms=1000,
        mode="message",
    )
    first = Latencies(client, str(made["stream"]), MESSAGES_PER_SECOND)
    first.run(1.0)  # until it is certified; a new stream is a stranger itself
    if not first.certified:
        raise RuntimeError("the honest stream was not certified before the attack")
    done = int(str(client.get(f"/streams/{made['stream']}")["chunks"]))
    latencies = Latencies(client, str(made["stream"]), MESSAGES_PER_SECOND, done)
    whole = 2 * LEAD_SECONDS + seconds
    sender = threading.Thread(target=latencies.run, args=(whole,))
    sender.start()
    time.sleep(LEAD_SECONDS)
    attacker = multiprocessing.get_context("spawn").Process(
        target=attack, args=(fleet.home.committee_file, per_second), daemon=True
    )
    if per_second:
        attacker.start()
    time.sleep(LEAD_SECONDS)
    cpu = sum(processor_seconds(fleet).values())
    time.sleep(seconds)
    cpu = sum(processor_seconds(fleet).values()) - cpu
    if per_second:
        attacker.terminate()
        attacker.join()
    sender.join()
    expected, skipped = (int(MESSAGES_PER_SECOND * each) for each in (whole, 2 * LEAD_SECONDS))
    missing = [float("inf")] * (expected - len(latencies.certified))
    return (latencies.certified + missing)[skipped:], cpu / seconds


def under_attack(fleet: Fleet, seconds: float) -> None:
    """Measure without strangers, then with more and more of them."""
    rows = []
    for per_second in (0, 4, 16, 48):
        values, cores = measure(fleet, per_second, seconds)
        p50, p95 = (percentile(values, percent) for percent in (50, 95))
        row = (per_second, len(values), f"{p50:.1f}", f"{p95:.1f}", f"{cores:.2f}")
        rows.append((*row, verdict(p50 <= GOAL_SECONDS)))
    columns = ("strangers' windows/s", "messages", "p50 s", "p95 s", "cores", "goal")
    note = f"Windows of {MAX_CHUNKS} chunks with false proofs; inf: not certified 15 s after."
    show("Time to a certificate", columns, rows, note)


def main(seconds: float = 20.0) -> None:
    interrupt_on_signals()
    with tempfile.TemporaryDirectory(prefix="strangers-", dir=Path(__file__).parent) as name:
        home = Home(Path(name) / "fleet")
        ports = Ports(28_001, 28_100, 28_601, prover=28_200, streams=28_300)
        make_fleet(home, Plan(ports=ports), genesis=int(time.time()))
        with Fleet(home, {}) as fleet:
            fleet.start_all()
            fleet.wait_ready()
            under_attack(fleet, seconds)


if __name__ == "__main__":
    main(float(sys.argv[1]) if sys.argv[1:] else 20.0)
