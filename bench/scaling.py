"""The constants of docs/scaling.md: what a window, a committee, a probe and an event cost.

All of them are measured alone, in processor time, without a fleet: real services add queues, locks,
metrics and their databases. Only the HTTP exchange uses a second process, a server with one route
that does nothing.

No goals: `dragon_docs` computes from these figures what larger networks need.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from flask import Flask

from dragon.encoding import canonical
from dragon.log.schema import LOG_SCHEMA
from dragon.log.store import Log
from dragon.net.http_client import HttpClient
from dragon.net.tls import Tls
from dragon.node.http_server import serve
from dragon.node.service import Service
from dragon.protocol import bls, certificate
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.claims.window import InvalidReason
from dragon.protocol.committee_rules import largest_batch
from dragon.protocol.messages import StatusAnswer
from dragon.protocol.streams.chunks import encode_chunks
from dragon.protocol.streams.finding import Finding, judge
from dragon.stark import compiled
from dragon.stark.prover.compiled_verifier import use_compiled_verifier
from dragon.storage.database import Database
from fixtures import batch, history, make_members
from sizes import with_long_names
from timing import medians, ms, show

from streams import Owner, Window, make_owner  # isort: skip  # helpers of the tests

COMMITTEES: Final = (4, 7, 16, 31)
WINDOWS: Final = (63, 255, 1023)
MESSAGE: Final = b"21.47 degrees at the north gate, all is well, over and out ......"
WINDOW_COLUMNS: Final = (
    *("chunks", "close ms", "prove ms", "verify ms", "plain verify ms"),
    *("proof B", "objects B"),
)
COMMITTEE_COLUMNS: Final = (
    *("operators", "quorum", "make ms", "verify ms", "status B", "checkpoint B"),
    *("window B", "largest B", "largest, long ids B"),
)
EXCHANGES: Final = 400
EVENTS: Final = 256
NONCE: Final = bytes(range(32))
TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")


def window_row(owner: Owner, chunks: int, repetitions: int) -> tuple[object, ...]:
    """Milliseconds to close, prove and judge a window, and the bytes of its objects."""
    data = [MESSAGE] * chunks
    window: Window = owner.window(data)
    proof = owner.prove(window)
    received = window.header.last_received_ms

    def verify() -> None:
        finding = judge(
            *(owner.descriptor, window.header, window.signature, window.chunks, proof),
            previous=None,
            now_ms=received,
            network_id=owner.descriptor.network_id,
        )
        if not finding.is_valid:
            raise SystemExit(f"a valid window is refused: {finding.detail}")

    def verify_plain() -> None:
        used = compiled.in_use()
        compiled.use(None)
        try:
            verify()
        finally:
            compiled.use(used)

    works = partial(owner.window, data), partial(owner.prove, window), verify
    closing, proving, judging = medians(*works, repetitions=repetitions)
    [plain] = medians(verify_plain, repetitions=1)
    objects = len(proof) + len(encode_chunks(window.chunks)) + len(window.header.encode())
    return chunks, *map(ms, (closing, proving, judging, plain)), len(proof), objects


def committee_row(size: int, owner: Owner, repetitions: int) -> tuple[object, ...]:
    """Milliseconds of a certificate, and the bytes of events on the ledger."""
    members = make_members(size)
    committee, names = members.committee, sorted(members.secrets)
    signers = names[: committee.quorum("status")]
    start = committee.rounds.start(7)
    status = StatusClaim(names[-1], Status.DOWN, start)
    signed = members.attest(status, signers)
    certified = certificate.assemble(status, signed, committee)

    making, verifying = medians(
        partial(certificate.assemble, status, signed, committee),
        partial(certified.verify, committee),
        repetitions=repetitions,
    )
    window = owner.window([MESSAGE])
    finding = Finding(InvalidReason.NONE)
    claim = finding.claim(owner.descriptor, window.header, bytes(32), start)
    checkpoint = CheckpointClaim(1000, bytes(32), start)
    events = [members.certify(each, signers) for each in (status, checkpoint, claim)]
    largest = largest_batch(committee), largest_batch(with_long_names(committee))
    return size, len(signers), ms(making), ms(verifying), *map(_size, events), *largest


def _size(event: Certificate) -> int:
    return len(canonical(event.to_json()))


def single_rows(repetitions: int) -> list[tuple[object, ...]]:
    """Milliseconds of what every service does once for each message, probe or event."""
    members = make_members(4, targets=20)
    secret, key = members.secrets["operator_1"], members.committee.keys["operator_1"]
    answer = StatusAnswer("operator_1", Status.UP, 1_732_522_000_000, NONCE)
    root = answer.root(members.committee.network_id)
    signature = secret.sign(root)

    signing, checking = medians(
        lambda: secret.sign(answer.root(members.committee.network_id)),
        lambda: bls.is_signed(key, answer.root(members.committee.network_id), signature),
        repetitions=repetitions,
    )
    client, server = exchange(EXCHANGES if repetitions > 1 else 4)
    figures = (signing, checking, client, server, applying(EVENTS if repetitions > 1 else 8))
    return [(name, ms(each)) for name, each in zip(SINGLE, figures, strict=True)]


SINGLE: Final = (
    *("sign a claim or an answer", "verify one signature"),
    *("HTTP exchange, client", "HTTP exchange, server"),
    "apply an event to the log",
)


def applying(events: int) -> float:
    """Processor seconds of one event that a log verifies and applies, of a long ledger."""
    members = make_members(4, targets=20)
    batches = [batch(at, one) for at, one in enumerate(history(members, events), start=1)]
    with tempfile.TemporaryDirectory() as folder:
        database = Database(Path(folder) / "operator.db", LOG_SCHEMA)
        log = Log(database, members.committee)
        begun = time.process_time()
        log.take(*batches)
        took = time.process_time() - begun
        database.close()
    return took / events


def exchange(times: int) -> tuple[float, float]:
    """Processor seconds of a small request and its answer: of the client, and of the server."""
    with _server() as (process, port):
        client, url = HttpClient.create(), f"http://127.0.0.1:{port}/"
        _ask(client, url, 4)
        used, begun = _used(process.pid), time.process_time()
        _ask(client, url, times)
        return (time.process_time() - begun) / times, (_used(process.pid) - used) / times


def _ask(client: HttpClient, url: str, times: int) -> None:
    for _ in range(times):
        if client.get(url, deadline=10).status != 200:
            raise SystemExit("the server of the benchmark refuses a request")


def _used(pid: int) -> float:
    """Processor seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


@contextmanager
def _server() -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen([sys.executable, __file__, str(port)]) as process:
        try:
            _await(port)
            yield process, port
        finally:
            process.terminate()


def _await(port: int) -> None:
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit("the server of the benchmark does not start")


def run_server(port: int) -> None:
    """Serve one route that does nothing, as every service serves its routes."""
    app = Flask("scaling")
    app.add_url_rule("/", "nothing", lambda: {"nothing": True})
    serve(lambda: Service(app), name="scaling", host="127.0.0.1", port=port, threads=4, tls=Tls())


def main(
    *,
    windows: Sequence[int] = WINDOWS,
    committees: Sequence[int] = COMMITTEES,
    repetitions: int = 11,
) -> None:
    use_compiled_verifier()
    owner = make_owner(make_members())
    note = f"Medians of {repetitions} runs, processor time, one thread."
    rows = [window_row(owner, chunks, repetitions) for chunks in windows]
    said = f"{note} Messages of 65 bytes; plain: without kernels, once."
    show("A window", WINDOW_COLUMNS, rows, said)
    rows = [committee_row(size, owner, repetitions) for size in committees]
    said = f"{note} Bytes of events on the ledger."
    show("A certificate, by committee", COMMITTEE_COLUMNS, rows, said)
    show("One of each", ("what", "ms"), single_rows(repetitions), note)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run_server(int(sys.argv[1]))
    else:
        main()
