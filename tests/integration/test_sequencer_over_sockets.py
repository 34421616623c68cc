"""The client and the development sequencer over real sockets, with real clocks."""

from __future__ import annotations

import json
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import pytest
import requests
from werkzeug.serving import make_server

from dragon.errors import LedgerContradiction, LedgerUnavailable
from dragon.log.ledger import Position
from dragon_sequencer.client import SequencerClient, Timeouts
from dragon_sequencer.devnet import main
from dragon_sequencer.devnet.faults import BOMBS
from dragon_sequencer.devnet.network import Network, Rules
from dragon_sequencer.devnet.storage import Storage
from dragon_sequencer.nodes import NodeList

APP = "dragon"


class Files:
    """The files that `dragon init` makes for a development sequencer."""

    def __init__(self, folder: Path, *, separate: bool = False, **environ: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        keys = main.make_keys(4, secrets.randbits)
        self.keys, self.nodes = folder / "keys.json", folder / "nodes.json"
        self.keys.write_text(json.dumps(main.keys_document(keys)))
        self.keys.chmod(0o600)
        url = f"http://127.0.0.1:{self.port}"
        self.nodes.write_text(json.dumps(main.nodes_document(keys, url, separate=separate)))
        self.settings = main.Settings.from_environ(
            {
                "SEQUENCER_KEYS_FILE": str(self.keys),
                "SEQUENCER_NODES_FILE": str(self.nodes),
                "SEQUENCER_APP": APP,
                "SEQUENCER_DATABASE": str(folder / "sequencer.db"),
                "SEQUENCER_MIN_AGE_MS": "50",
                **environ,
            }
        )


@contextmanager
def running(files: Files) -> Iterator[None]:
    """Run the sequencer's server and loops on threads."""
    app, loops = main.build(files.settings)
    server = make_server("127.0.0.1", files.port, app, threaded=True)
    stop = threading.Event()
    threads = [threading.Thread(target=server.serve_forever)]
    threads += [threading.Thread(target=loop, args=(stop,)) for loop in loops]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        server.shutdown()
        for thread in threads:
            thread.join(20)
        server.server_close()


def test_sent_events_are_read_back_with_proofs_also_after_a_restart(tmp_path):
    files = Files(tmp_path)
    zellular = SequencerClient.connect(APP, files.nodes)

    with running(files):
        zellular.send([{"number": number} for number in range(600)])
        first = list(islice(zellular.segments(), 2))
    with running(files):
        zellular.send([{"number": 600}])
        rest = next(zellular.segments(after=first[-1].position))
    zellular.close()

    read = [event["number"] for batch in [*first, rest] for event in json.loads(batch.body)]
    assert read == list(range(601))
    assert rest.index == 3


def test_a_waiting_read_is_answered_when_a_batch_is_final(tmp_path):
    files = Files(tmp_path)
    reader, writer = (SequencerClient.connect(APP, files.nodes) for _ in range(2))
    sender = threading.Timer(0.2, lambda: writer.send([{"number": 1}]))

    with running(files):
        sender.start()
        begun = time.monotonic()
        proven = reader.poll(Position())
        waited = time.monotonic() - begun
        sender.join()
    reader.close()
    writer.close()

    assert [batch.body for batch in proven] == ['[{"number":1}]']
    assert waited > 0.2


DRIPS = {
    "headers": b"HTTP/1.1 200 OK\r\nX-Slow: ",
    "body": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
}


@pytest.mark.parametrize("part", DRIPS)
def test_a_gateway_that_answers_byte_by_byte_is_abandoned_in_time(part, tmp_path):
    files, stop = Files(tmp_path), threading.Event()
    nodes = NodeList.load(files.nodes)
    timeouts = Timeouts(request_seconds=0.5)
    zellular = SequencerClient.connect(APP, nodes, timeouts=timeouts)

    with socket.create_server(("127.0.0.1", files.port)) as listener:
        gateway = threading.Thread(target=drip, args=(listener, DRIPS[part], stop), daemon=True)
        gateway.start()
        begun = time.monotonic()
        with pytest.raises(LedgerUnavailable):
            zellular.poll(Position())
        waited = time.monotonic() - begun
        stop.set()
        gateway.join(20)
    zellular.close()

    assert waited < 5


def drip(listener: socket.socket, beginning: bytes, stop: threading.Event) -> None:
    """Answer one request, one byte at a time, without end."""
    connection, _ = listener.accept()
    with connection:
        connection.sendall(beginning)
        while not stop.wait(0.05):
            try:
                connection.sendall(b"x")
            except OSError:
                break


# Large and expensive pages

LARGEST_PAGE = {"SEQUENCER_PAGE_BYTES": str(main.MAX_PAGE_BYTES)}
CONTROL = {"SEQUENCER_FAULTS": "1", "SEQUENCER_HOLD_MS": "0"}


def fill(files: Files, batches: list[str]) -> None:
    """Finalize these batches before the sequencer starts."""
    settings = files.settings
    network = Network(
        settings.apps,
        main.load_signers(settings.keys_file, settings.nodes_file),
        Storage(settings.database),
        monotonic=lambda: 0.0,
        wall=time.time,
        rules=Rules(min_age=0, max_queued_bytes=1 << 30),
    )
    for batch in batches:
        network.submit(APP, batch)
    while network.finalize_due():
        pass


def read_all(zellular: SequencerClient) -> list[str]:
    position, bodies = Position(), []
    while batches := zellular.poll(position):
        position = batches[-1].position
        bodies += [batch.body for batch in batches]
    return bodies


PAGES = {
    "ordinary": ['["' + "x" * 5116 + '"]'] * 490,
    "escaped": ["\x01" * 5120] * 48,
    "escaped, of a network with default settings": ["\x01" * 5120] * 500,
    "of wide characters": ["\U0001f600" + "x" * 5116] * 500,
}


@pytest.mark.parametrize("name", PAGES)
def test_the_largest_page_of_a_network_is_read(name, tmp_path):
    files = Files(tmp_path, **LARGEST_PAGE)
    fill(files, PAGES[name])
    zellular = SequencerClient.connect(APP, files.nodes)

    with running(files):
        bodies = read_all(zellular)
    zellular.close()

    assert bodies == PAGES[name]


def test_a_network_with_many_empty_batches_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("dragon_sequencer.ledger_reader.MAX_KEPT_BYTES", 5000 * 500)
    files = Files(tmp_path)
    batches = ["[1]", *[""] * 20_000, "[2]"]
    fill(files, batches)
    zellular = SequencerClient.connect(APP, files.nodes)

    with running(files):
        bodies = read_all(zellular)
    zellular.close()

    assert bodies == batches


READ_WITHIN = """
import json, sys, tracemalloc
import requests
from dragon.errors import LedgerContradiction, LedgerUnavailable
from dragon.log.ledger import Position
from dragon_sequencer.client import SequencerClient, Timeouts

url, nodes, kinds = sys.argv[1], sys.argv[2], sys.argv[3:]
zellular = SequencerClient.connect("dragon", nodes, timeouts=Timeouts(request_seconds=60))
for kind in kinds:
    requests.post(url + "/dev/faults", json={"bomb": kind, "bomb_bytes": 1 << 20})
    tracemalloc.start()
    try:
        read = len(zellular.poll(Position()))
    except LedgerUnavailable as error:
        read = 0
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(json.dumps({"kind": kind, "read": read, "peak": peak}), flush=True)
"""
MAX_MEMORY_BYTES = 64 << 20


def test_expensive_pages_cost_a_reader_bounded_memory(tmp_path):
    """In a process of its own, so that only the reader's memory counts."""
    files = Files(tmp_path, **LARGEST_PAGE, **CONTROL)
    fill(files, ["\x01" * 5120] * 2000)
    url = f"http://127.0.0.1:{files.port}"

    with running(files):
        child = subprocess.run(
            [sys.executable, "-W", "error", "-c", READ_WITHIN, url, str(files.nodes), *BOMBS],
            capture_output=True,
            timeout=300,
            check=False,
        )

    assert child.returncode == 0, child.stderr.decode()
    results = [line for line in child.stdout.splitlines() if line.startswith(b"{")]
    seen = {told["kind"]: told for told in map(json.loads, results)}
    assert set(seen) == set(BOMBS)
    assert seen[""]["read"] == 2000
    assert all(told["read"] == 0 for kind, told in seen.items() if kind)
    assert {
        kind: told["peak"] for kind, told in seen.items() if told["peak"] > MAX_MEMORY_BYTES
    } == {}


def test_two_readers_that_are_shown_other_proofs_read_the_same(tmp_path):
    files = Files(tmp_path, separate=True, **CONTROL)
    fill(files, [f"[{number}]" for number in range(30)])
    gateways = [f"http://127.0.0.1:{files.port}/gateway/{at}" for at in range(2)]
    readers = [SequencerClient.connect(APP, files.nodes, gateways=[url]) for url in gateways]
    change = {"batches": 20, "segment": 3, "seconds": -100}

    with running(files):
        answer = requests.post(
            f"http://127.0.0.1:{files.port}/dev/faults",
            json={"shown": "newest", "gateways": [1], "leader_change": change},
            timeout=10,
        )
        first, second = (reader.poll(Position()) for reader in readers)
    for reader in readers:
        reader.close()

    assert answer.status_code == 200
    assert [(batch.body, batch.position) for batch in first] == [
        (batch.body, batch.position) for batch in second
    ]
    assert first[-1].time - second[-1].time == 100
    assert first[-1].proof != second[-1].proof


@pytest.mark.parametrize("length", [1, 5])
def test_a_reset_over_sockets_is_noticed_whatever_the_new_length(length, tmp_path):
    files = Files(tmp_path, separate=True, **CONTROL)
    fill(files, ["[1]", "[2]", "[3]"])
    zellular = SequencerClient.connect(APP, files.nodes)
    sender = SequencerClient.connect(APP, files.nodes)

    with running(files):
        known = {batch.index: batch.position for batch in zellular.poll(Position())}
        url = f"http://127.0.0.1:{files.port}/dev/faults"
        requests.post(url, json={"reset": True, "min_age_ms": 0}, timeout=10).raise_for_status()
        for number in range(length):
            sender.send([{"number": number}])
            while sender.last_finalized_index() <= number:
                pass
        with pytest.raises(LedgerContradiction):
            zellular.poll(known[3], known.get)
    zellular.close()
    sender.close()
