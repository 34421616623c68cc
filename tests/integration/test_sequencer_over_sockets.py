"""The client and the development sequencer over real sockets, with real clocks."""

from __future__ import annotations

import json
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import pytest
from werkzeug.serving import make_server

from dragon.errors import LedgerUnavailable
from dragon.log.ledger import Position
from dragon_sequencer.client import SequencerClient, Timeouts
from dragon_sequencer.devnet import main
from dragon_sequencer.nodes import NodeList

APP = "dragon"


class Files:
    """The files that `dragon init` makes for a development sequencer."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        keys = main.make_keys(4, secrets.randbits)
        self.keys, self.nodes = folder / "keys.json", folder / "nodes.json"
        self.keys.write_text(json.dumps(main.keys_document(keys)))
        self.keys.chmod(0o600)
        self.nodes.write_text(
            json.dumps(main.nodes_document(keys, f"http://127.0.0.1:{self.port}"))
        )
        self.settings = main.Settings.from_environ(
            {
                "SEQUENCER_KEYS_FILE": str(self.keys),
                "SEQUENCER_NODES_FILE": str(self.nodes),
                "SEQUENCER_APP": APP,
                "SEQUENCER_DATABASE": str(folder / "sequencer.db"),
                "SEQUENCER_MIN_AGE_MS": "50",
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
    """Answer two requests, one byte at a time, without end."""
    for _ in range(2):
        connection, _ = listener.accept()
        with connection:
            connection.sendall(beginning)
            while not stop.wait(0.05):
                try:
                    connection.sendall(b"x")
                except OSError:
                    break
