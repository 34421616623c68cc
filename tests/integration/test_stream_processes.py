"""Streams with real processes, sockets and kills, and the commands that use them."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import forked
from dragon.encoding import canonical
from dragon.errors import PeerError
from dragon.log.audit import audit
from dragon.net.stream_client import StreamClient
from dragon.net.stream_upload import StreamUpload
from dragon.protocol.streams.receipt import Receipt
from dragon.protocol.streams.receipt_verification import refused, verify
from dragon_cli.fleet.create import Plan, Ports, make_fleet
from dragon_cli.fleet.layout import EXPLORER, PROVER, STREAMS, Home
from dragon_cli.fleet.processes import Fleet
from dragon_cli.fleet.streams import connect, find
from forked import ForkedFleet
from ports import free_block

pytestmark = [pytest.mark.processes, pytest.mark.timeout(400)]

PATIENCE = 60.0  # seconds: two cores may be busy with other tests
MEGABYTE = 1_000_000


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the progress of uploads out of this user's folder."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """All services, with rounds of two seconds."""
    base = free_block(9)
    ports = Ports(base, base + 4, base + 5, prover=base + 6, streams=base + 7, explorer=base + 8)
    home = Home(tmp_path_factory.mktemp("streams") / "fleet")
    make_fleet(home, Plan(ports=ports, round_seconds=2), genesis=int(time.time()))
    with ForkedFleet(home) as running:
        running.start_all()
        running.wait_ready()
        yield running


def open_stream(fleet: Fleet, name: str, **wanted: object) -> tuple[StreamClient, str]:
    client, made = find(connect(fleet.home, None, None), fleet.home, name, None, **wanted)  # type: ignore[arg-type]
    return client, str(made["stream"])


def wait_certified(fleet: Fleet, client: StreamClient, stream: str, chunks: int) -> int:
    """Wait until every chunk is in a certified window. Return the number of windows."""

    def certified() -> bool:
        now = client.get(f"/streams/{stream}")
        heads = client.get(f"/streams/{stream}/windows", limit=1000)["windows"]
        assert isinstance(heads, list)
        covered = sum(int(str(h["count"])) for h in heads if h["state"] == "certified")  # type: ignore[index,call-overload]
        return covered >= chunks and now["windows"] == now["certified"]

    fleet.wait_until(certified, f"all {chunks} chunks are certified", PATIENCE)
    return int(str(client.get(f"/streams/{stream}")["windows"]))


def data_of(client: StreamClient, stream: str, sequence: int) -> bytes:
    answer = client.http.send(
        "GET",
        f"{client.url}/streams/{stream}/chunks/{sequence}/data",
        deadline=10,
        headers={"Authorization": f"Bearer {client.token}"},
        max_bytes=1 << 20,
    )
    assert answer.status == 200, answer.body
    return answer.body


def restart_later(fleet: Fleet, name: str, seconds: float) -> None:
    threading.Timer(seconds, lambda: fleet.start(name)).start()


def test_a_large_file_survives_three_kills(fleet: Fleet) -> None:
    """Stream service, prover and an operator are killed during the upload."""
    draw = random.Random(20)
    data = draw.randbytes(20 * MEGABYTE)
    victims = {4 * MEGABYTE: STREAMS, 9 * MEGABYTE: PROVER, 14 * MEGABYTE: "operator_4"}

    def pieces() -> Iterator[bytes]:
        at = 0
        while at < len(data):
            for place in [place for place in victims if place <= at]:
                name = victims.pop(place)
                fleet.kill(name)
                restart_later(fleet, name, 1.0)
            size = draw.choice([1, 700, 4096, 30_000, 65_536])
            yield data[at : at + size]
            at += size

    client, stream = open_stream(fleet, "large-file", window_chunks=63)
    total, chunks = StreamUpload(client, stream, pieces()).run()
    windows = wait_certified(fleet, client, stream, chunks)

    assert not victims
    assert total == len(data)
    assert b"".join(data_of(client, stream, n) for n in range(chunks)) == data
    assert windows * 63 >= chunks
    for sequence in range(chunks):
        answer = client.get(f"/streams/{stream}/chunks/{sequence}/receipt", disclose=1)
        receipt = Receipt.decode(canonical(answer))
        checks = verify(fleet.committee, receipt, data_of(client, stream, sequence))
        assert not refused(checks)
        assert receipt.chunk.sequence == sequence


def test_concurrent_streams_are_certified_and_every_log_passes_its_audit(fleet: Fleet) -> None:
    def send(number: int) -> None:
        client, stream = open_stream(fleet, f"concurrent-{number}", window_ms=1000, mode="message")
        messages = [b"%d of %d" % (i, number) for i in range(150)]
        _, chunks = StreamUpload(client, stream, messages).run()
        wait_certified(fleet, client, stream, chunks)
        assert [data_of(client, stream, n) for n in range(chunks)] == messages

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(send, range(4)))

    for name in fleet.addresses:
        if name.startswith(("operator", "aggregator", "stream", "explorer")):
            found = audit(fleet.home.database(name), fleet.committee)
            assert len(found.state.streams) >= 4


def dragon(*arguments: object, expect: int = 0) -> str:
    done = forked.run(arguments, timeout=120)
    assert done.returncode == expect, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def test_the_explorer_shows_a_stream_of_the_fleet(fleet: Fleet) -> None:
    client, stream = open_stream(fleet, "shown", mode="message", window_ms=500)
    StreamUpload(client, stream, [b"21.5"]).run()
    wait_certified(fleet, client, stream, 1)

    def shown() -> bool:
        found: Any = fleet.get(EXPLORER, f"/api/streams/{stream}")
        windows = found["windows"]
        return found["stream"]["name"] == "shown" and [w["stage"] for w in windows] == ["certified"]

    fleet.wait_until(shown, "the explorer shows the window", PATIENCE)
    assert fleet.is_ready(EXPLORER)

    def agreeing() -> bool:
        health: Any = fleet.get(EXPLORER, "/api/fleet")["health"]
        return bool(health["agreeing"] == 4)

    fleet.wait_until(agreeing, "all operators agree", PATIENCE)


def test_one_command_turns_a_file_into_receipts_and_can_be_repeated(
    fleet: Fleet, tmp_path: Path
) -> None:
    file, receipts = tmp_path / "file", tmp_path / "receipts"
    file.write_bytes(random.Random(3).randbytes(300_000))
    command = ("stream", file, "--stream", "by-command", "--home", fleet.home.path)

    first = json.loads(dragon(*command, "--receipts", receipts, "--json"))
    again = json.loads(dragon(*command, "--receipts", receipts, "--json"))

    assert (first["bytes"], first["chunks"], first["receipts"]) == (300_000, 5, 5)
    assert again == {**first, "windows": again["windows"]}
    whole = b""
    for path in sorted(receipts.glob("chunk-*.json")):
        receipt = Receipt.decode(canonical(json.loads(path.read_text())))
        data = file.read_bytes()[len(whole) : len(whole) + receipt.chunk.length]
        assert not refused(verify(fleet.committee, receipt, data))
        whole += data
    assert whole == file.read_bytes()


def test_standard_input_can_be_streamed(fleet: Fleet, tmp_path: Path) -> None:
    """The stream is given by its id and token."""
    client, stream = open_stream(fleet, "piped", window_ms=300)
    token = tmp_path / "token"
    token.write_text(client.token)
    command = ["stream", "-", "--stream", stream, "--token-file", str(token)]
    command += ["--home", str(fleet.home.path), "--json"]
    done = forked.run(command, stdin=b"21.5\n" * 1000, timeout=120)

    assert done.returncode == 0
    assert json.loads(done.stdout)["bytes"] == 5000


def test_a_source_waits_for_its_service_and_continues_after_a_kill(
    fleet: Fleet, tmp_path: Path
) -> None:
    home = str(fleet.home.path)
    command = ["source", "sensor", "--stream", "a-sensor", "--rate", "100", "--seed", "7"]
    command += ["--window-ms", "1000", "--home", home]
    output = tmp_path / "output"
    with output.open("w") as file, Path(os.devnull).open("w") as nowhere:
        running = forked.start(command, stdout=nowhere, stderr=file)
    client, stream = open_stream(
        fleet, "a-sensor", mode="message", window_chunks=63, window_ms=1000,
        retention_seconds=86_400,
    )  # fmt: skip

    def has(chunks: int) -> bool:
        try:
            return int(str(client.get(f"/streams/{stream}")["chunks"])) > chunks
        except PeerError:
            return False

    fleet.wait_until(lambda: has(20), "the stream has 20 chunks", PATIENCE)
    fleet.kill(STREAMS)
    fleet.start(STREAMS)
    fleet.wait_until(lambda: has(80), "the stream has 80 chunks", PATIENCE)
    running.kill()
    running.wait(10)
    waiting, again = output.read_text().splitlines()  # one outage is reported once
    assert waiting.startswith("Waiting for the stream service: ")
    assert again == "The stream service is available again."

    dragon(*command, "--count", 200)

    chunks = int(str(client.get(f"/streams/{stream}")["chunks"]))
    assert chunks == 200
    wait_certified(fleet, client, stream, chunks)
    readings = [json.loads(data_of(client, stream, n))["reading"] for n in range(chunks)]
    assert readings == list(range(200))


def test_a_second_process_on_the_same_files_is_refused(fleet: Fleet) -> None:
    """Both services are told apart by their files, not by their ports."""
    first_port, home = free_block(2), ["--home", str(fleet.home.path)]
    second = [
        ["serve", "stream", *home, "--port", first_port],
        ["serve", "operator", "--id", "operator_1", *home, "--port", first_port + 1],
    ]
    for command in second:
        done = forked.run(command, timeout=PATIENCE)
        err = done.stderr
        assert done.returncode == 3, err
        assert "dragon: in_use: " in err
        assert "is used by process" in err
    dragon("stream", "check", "--home", fleet.home.path, expect=3)
    dragon("log", "archive", fleet.home.database("operator_1"), expect=3)
    assert "chunks with" in dragon("stream", "check", "--running", "--home", fleet.home.path)


def test_an_interrupted_upload_resumes_but_never_with_a_changed_file(
    fleet: Fleet, tmp_path: Path
) -> None:
    """Without `--receipts`: the progress is in the user's state folder."""
    file = tmp_path / "file"
    data = random.Random(4).randbytes(3 * MEGABYTE)
    file.write_bytes(data)
    command = ["stream", str(file), "--stream", "interrupted", "--home", str(fleet.home.path)]
    client, stream = open_stream(fleet, "interrupted")
    output = tmp_path / "output"
    with output.open("w") as written:
        running = forked.start(command, stdout=written)
    fleet.wait_until(
        lambda: int(str(client.get(f"/streams/{stream}")["bytes"])) > 0,
        "the stream has data",
        PATIENCE,
    )
    # As Ctrl-C, which a process in the background of a shell ignores.
    running.send_signal(signal.SIGTERM)
    assert running.wait(60) == 130
    said = output.read_text()
    assert f"dragon stream {file} --stream interrupted" in said

    file.write_bytes(b"!" + data[1:])
    assert "file_changed" in dragon(*command, expect=1)
    file.write_bytes(data)
    dragon(*command)
    assert "complete already" in dragon(*command)

    chunks = int(str(client.get(f"/streams/{stream}")["chunks"]))
    assert b"".join(data_of(client, stream, n) for n in range(chunks)) == data


def test_wrong_tokens_and_streams_give_short_errors(fleet: Fleet, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("an-unknown-token-0")
    home = ("--home", fleet.home.path)
    (tmp_path / "file").write_text("data")
    file = tmp_path / "file"

    output = dragon(
        "stream", file, "--stream", "x", "--token-file", tmp_path / "token", *home, expect=1
    )
    assert "unauthorized" in output
    unknown = "0x" + "00" * 32
    output = dragon(
        "stream", file, "--stream", unknown, "--token-file", tmp_path / "token", *home, expect=1
    )
    assert "not_found" in output
    output = dragon("stream", file, "--stream", unknown, *home, expect=2)
    assert "--token-file" in output
    url = ("--url", "http://127.0.0.1:1", "--patience", 0)
    output = dragon("stream", file, "--stream", "x", *url, *home, expect=1)
    assert "unreachable" in output
