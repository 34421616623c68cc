"""A cold chain with real processes: proven, interrupted, reported on and checked against its data.

One stream with readings goes through everything: windows that carry the step, one reading out of
bounds, a message without a number, `kill -9` of the stream service, receipts, disclosure, a report
with proofs, and a spot check.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

import forked
import reading_model
from dragon.encoding import canonical
from dragon.errors import DisclosureRefused, PeerError
from dragon.log.audit import audit
from dragon.net.stream_client import StreamClient
from dragon.net.stream_upload import StreamUpload
from dragon.protocol.streams.disclosure import check_disclosure
from dragon.protocol.streams.receipt import Receipt
from dragon.protocol.streams.receipt_verification import refused, verify
from dragon_cli.fleet.create import Plan, Ports, make_fleet
from dragon_cli.fleet.layout import PROVER, STREAMS, Home
from dragon_cli.fleet.processes import Fleet
from dragon_cli.fleet.streams import connect, find
from forked import ForkedFleet
from ports import free_block
from reading_model import Value
from reading_streams import COLD_CHAIN

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]

PATIENCE: Final = 120.0  # seconds: two cores may be busy with other tests
OPERATORS: Final = [f"operator_{number}" for number in range(1, 5)]
PER_WINDOW: Final = 4
READINGS: Final = {**COLD_CHAIN, "most": PER_WINDOW + 1}
# Tenths of a degree, by window. None: a message without a number.
VALUES: Final[list[list[Value]]] = [
    [40, 42, 45, 50],
    [55, 53, 50, 48],
    [45, 99, 45, 44],  # out of bounds, and so are two steps
    [40, 38, 36, 35],
    [36, None, 37, 38],
    [45, 50, 60, 70],
    [90, 80, 70, 60],  # a step to 9.0 °C, which is also out of bounds
    [60, 45, 30, 20],
]
COUNT: Final = PER_WINDOW * len(VALUES)


def message(value: Value) -> bytes:
    return b"the door is open" if value is None else b"%d.%d" % divmod(value, 10)


MESSAGES: Final = [message(value) for window in VALUES for value in window]


def expected() -> list[str]:
    """The statement of each window, by the model."""
    found, before = [], None
    for number, values in enumerate(VALUES):
        claims = reading_model.claims(READINGS, values, before, carried=number > 0)
        found.append("readings" if claims else "blocks")
        before = values[-1]
    return found


WITHOUT: Final = [number for number, each in enumerate(expected()) if each == "blocks"]


@dataclass(frozen=True)
class Scene:
    fleet: Fleet
    client: StreamClient
    stream: str

    def get(self, path: str, **params: str | int) -> Any:
        return self.client.get(f"/streams/{self.stream}{path}", **params)

    def receipt(self, sequence: int) -> Receipt:
        found = self.get(f"/chunks/{sequence}/receipt", disclose=1, proof=1)
        return Receipt.decode(canonical(found))


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """All services but the explorer, with rounds of two seconds."""
    base = free_block(9)
    ports = Ports(base, base + 4, base + 5, prover=base + 6, streams=base + 7)
    home = Home(tmp_path_factory.mktemp("readings") / "fleet")
    make_fleet(home, Plan(ports=ports, round_seconds=2), genesis=int(time.time()))
    with ForkedFleet(home) as running:
        running.start_all()
        running.wait_ready()
        yield running


@pytest.fixture(scope="module")
def scene(fleet: Fleet) -> Scene:
    """The stream, certified to its end, although its service was killed twice.

    Once in the middle of the upload, beside the prover; and once with all windows underway.
    """
    client, made = find(
        connect(fleet.home, None, None),
        *(fleet.home, "cold-chain", None),
        mode="message",
        window_chunks=PER_WINDOW,
        window_ms=600_000,
        readings=READINGS,
    )
    scene = Scene(fleet, client, str(made["stream"]))
    victims = {10: STREAMS, 18: PROVER}

    def messages() -> Iterator[bytes]:
        for number, each in enumerate(MESSAGES):
            if name := victims.pop(number, None):
                fleet.kill(name)
                threading.Timer(1.0, fleet.start, [name]).start()
            yield each

    _, chunks = StreamUpload(client, scene.stream, messages()).run()
    assert (chunks, victims) == (COUNT, {})
    fleet.kill(STREAMS)
    fleet.start(STREAMS)

    def certified() -> bool:
        with suppress(PeerError):
            return bool(scene.get("")["certified"] == len(VALUES))
        return False

    fleet.wait_until(certified, "all windows are certified", PATIENCE)
    return scene


def test_every_window_shows_what_was_proven_of_it(scene: Scene) -> None:
    """In the lists of the service, in the header, in each operator's log and in the votes."""
    assert expected() == [
        *("readings", "readings", "blocks", "readings"),
        *("blocks", "readings", "blocks", "readings"),
    ]
    listed = scene.get("/windows", limit=100)["windows"]
    assert [window["statement"] for window in listed] == expected()
    assert {window["count"] for window in listed} == {PER_WINDOW}

    for number, statement in enumerate(expected()):
        window = scene.get(f"/windows/{number}")
        assert window["header"]["claim"] == {"readings": "readings", "blocks": "none"}[statement]
        assert window["event"]["statement"] == window["statement"] == statement
        for name in OPERATORS:
            path = f"/streams/{scene.stream}/windows/{number}"
            [verdict] = scene.fleet.get(name, path)["verdicts"]  # type: ignore[index]
            assert verdict["event"] == window["event"]
        assert "valid" in {vote["answer"] for vote in window["votes"]}


def test_the_command_lists_statements(scene: Scene) -> None:
    home = ("--home", scene.fleet.home.path)
    listed = json.loads(dragon("windows", scene.stream, "--json", *home))["windows"]

    assert [window["statement"] for window in listed] == expected()


def test_each_receipt_shows_the_statement_and_checks_against_the_data(scene: Scene) -> None:
    outcomes = {"readings": "holds", "blocks": "absent"}
    for sequence, data in enumerate(MESSAGES):
        receipt = scene.receipt(sequence)
        checks = {check.name: check for check in verify(scene.fleet.committee, receipt, data)}

        assert not refused(list(checks.values()))
        statement = expected()[sequence // PER_WINDOW]
        assert checks["readings"].outcome == outcomes[statement]
        assert checks["proof"].outcome == "holds"
        assert receipt.chunk.length == READINGS["length"]


def test_disclosure_compares_number_value_digest_and_salt(scene: Scene) -> None:
    values = [value for window in VALUES for value in window]
    for sequence, (value, data) in enumerate(zip(values, MESSAGES, strict=True)):
        receipt = scene.receipt(sequence)
        readings, opening = receipt.descriptor.readings, receipt.opening
        assert readings is not None
        assert opening is not None
        commitment = receipt.chunk.commitment

        assert check_disclosure(readings, commitment, opening, data) == value
        for wrong, reason in (
            (opening[:32] + bytes(20) + opening[52:], "commitment"),  # salt
            (bytes(32) + opening[32:], "digest"),
            (opening[:-1] + bytes([opening[-1] ^ 1]), "no_number" if value is None else "number"),
        ):
            with pytest.raises(DisclosureRefused) as refusal:
                check_disclosure(readings, commitment, wrong, data)
            assert refusal.value.reason == reason


def test_a_receipt_does_not_fit_other_data(scene: Scene) -> None:
    receipt = scene.receipt(0)

    failed = refused(verify(scene.fleet.committee, receipt, b"4.1"))

    assert [check.name for check in failed] == ["data"]


def dragon(*arguments: object, expect: int = 0) -> str:
    done = forked.run(arguments, timeout=120)
    assert done.returncode == expect, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def report(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with proofs on all windows, once a checkpoint covers the last one."""
    folder = tmp_path_factory.mktemp("report")
    made: list[Path] = []

    def covered() -> bool:
        file = folder / f"report-{len(made)}.jsonl"
        command = ("stream", "report", scene.stream, "--proofs", "-o", file, "--json")
        done = forked.run([*command, "--home", scene.fleet.home.path], timeout=120)
        if done.returncode:
            return False
        made.append(file)
        return bool(json.loads(done.stdout)["uncovered"] == 0)

    scene.fleet.wait_until(covered, "a checkpoint covers the last window", PATIENCE)
    return made[-1]


def verify_report(scene: Scene, file: Path, *more: str, expect: int = 0) -> str:
    committee = ("--committee", scene.fleet.home.committee_file)
    command = ("verify", "stream-report", file, "--stream", scene.stream, *committee)
    return dragon(*command, *more, expect=expect)


def test_a_report_proves_all_windows_offline_and_names_those_without_the_claim(
    scene: Scene, report: Path
) -> None:
    said = verify_report(scene, report)

    assert f"Windows 0 to {len(VALUES) - 1} without a gap" in " ".join(said.split())
    for number in WITHOUT:
        assert f"window {number} ({PER_WINDOW} chunks)" in " ".join(said.split())
    assert "committed readings" in said


def test_a_report_fails_if_every_window_must_have_the_claim(scene: Scene, report: Path) -> None:
    verify_report(scene, report, "--require-claim", expect=4)


@pytest.mark.parametrize("number", [0, WITHOUT[0], WITHOUT[0] + 1, len(VALUES) - 1])
def test_a_report_without_one_of_its_windows_is_refused(
    scene: Scene, report: Path, tmp_path: Path, number: int
) -> None:
    lines = report.read_bytes().splitlines(keepends=True)
    place = next(
        place
        for place, line in enumerate(lines)
        if json.loads(line).get("header", {}).get("number") == number
    )
    file = tmp_path / "shorter.jsonl"
    file.write_bytes(b"".join(lines[:place] + lines[place + 1 :]))

    assert "refused" in verify_report(scene, file, expect=1)


def test_a_relabelled_window_in_a_report_is_refused(
    scene: Scene, report: Path, tmp_path: Path
) -> None:
    file = tmp_path / "relabelled.jsonl"
    whole = report.read_bytes()
    assert b'"claim":"none"' in whole
    file.write_bytes(whole.replace(b'"claim":"none"', b'"claim":"readings"'))

    assert "refused" in verify_report(scene, file, expect=1)


def test_a_spot_check_compares_drawn_chunks_with_their_data(scene: Scene, tmp_path: Path) -> None:
    request, answer = tmp_path / "request.json", tmp_path / "answer.json"
    home = ("--home", scene.fleet.home.path)
    dragon("audit", "request", scene.stream, "--chunks", COUNT // 2, "-o", request, *home)
    token = tmp_path / "token"
    token.write_text(scene.client.token)

    def answered() -> bool:
        command = ("audit", "answer", request, "-o", answer, "--token-file", token, *home)
        return forked.run(command, timeout=120).returncode == 0

    scene.fleet.wait_until(answered, "the next checkpoint is certified", PATIENCE)
    committee = ("--committee", scene.fleet.home.committee_file)
    command = ("audit", "verify", answer, "--request", request, *committee, "--json")
    found = json.loads(dragon(*command))

    assert (found["total"], found["drawn"], found["failed"]) == (COUNT, COUNT // 2, 0)
    values = [value for window in VALUES for value in window]
    for chunk in found["chunks"]:
        value = values[chunk["sequence"]]
        assert chunk["reading"] == (None if value is None else str(value))


def test_every_log_passes_its_audit(scene: Scene) -> None:
    logs = ("operator", "aggregator", "stream")
    for name in [name for name in scene.fleet.addresses if name.startswith(logs)]:
        found = audit(scene.fleet.home.database(name), scene.fleet.committee)
        assert any(stream.windows == len(VALUES) for stream in found.state.streams.values())
