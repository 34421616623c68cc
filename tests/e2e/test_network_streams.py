"""Streams in containers: windows that the nodes certify, receipts that hold, and nothing lost."""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dragon.encoding import canonical, to_hex
from dragon.errors import Unreachable
from dragon.log.audit import audit
from dragon.net.stream_client import StreamClient
from dragon.net.stream_upload import StreamUpload
from dragon.protocol.committee import Committee
from dragon.protocol.streams.receipt import Receipt
from dragon.protocol.streams.receipt_verification import is_complete, refused, verify
from stack import OPERATORS, PROJECT, SOURCES, Json, Stack, wait_until

pytestmark = [pytest.mark.docker, pytest.mark.timeout(240, func_only=True)]

MESSAGE = "the valve at the north gate stands at %d per mille"
WINDOW_MS = 3000
QUICK: dict[str, Json] = {"mode": "message", "window_ms": WINDOW_MS, "window_chunks": 63}
READINGS: dict[str, Json] = {
    "form": "json",
    "pointer": "/celsius",
    "scale": 3,
    "rounding": "exact",
    "unit": "°C",
    "length": 96,
    "low": "2000",
    "high": "8000",
    "fall": "500",
    "rise": "500",
    "sum": {"kind": "none"},
    "carry": True,
    "most": 63,
}


@dataclass
class Sent:
    """A stream that this host sends, a message every 50 ms, and what it was told is safe."""

    stack: Stack
    name: str
    client: StreamClient = field(init=False)
    stream: str = field(init=False)
    safe: int = 0  # chunks
    enough: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        public = self.stack.streams()
        made = public.make({"name": self.name, **QUICK})
        self.client = StreamClient(public.url, public.http, str(made["token"]), public.ca)
        self.stream = str(made["stream"])

    def run(self) -> int:
        """Send until it is enough; how many messages there are."""
        feeder = StreamUpload(self.client, self.stream, self._messages(), progress=self._note)
        return feeder.run()[1]

    def _messages(self) -> Iterator[bytes]:
        number = 0
        while not self.enough.wait(0.05):
            yield message(number)
            number += 1

    def _note(self, _total: int, chunks: int) -> None:
        assert chunks >= self.safe, "what was safe is gone"
        self.safe = chunks

    def windows(self) -> list[Json]:
        """Those that are certified, from the first on; none where the service is away."""
        try:
            listed: Json = self.client.get(f"/streams/{self.stream}/windows", limit=500)["windows"]
        except Unreachable:
            return []
        assert isinstance(listed, list)
        return [window for window in listed if window["state"] == "certified"]

    def covered(self) -> int:
        """How many messages certified windows hold; they follow each other without a gap."""
        following = 0
        for number, window in enumerate(self.windows()):
            assert (window["number"], window["first"]) == (number, following)
            following += window["count"]
        return following

    def data(self, sequence: int) -> bytes:
        answer = self.client.http.send(
            "GET",
            f"{self.client.url}/streams/{self.stream}/chunks/{sequence}/data",
            deadline=10,
            headers={"Authorization": f"Bearer {self.client.token}"},
        )
        assert answer.status == 200, answer.body
        return answer.body

    def receipt(self, sequence: int, **asked: int) -> Receipt:
        path = f"/streams/{self.stream}/chunks/{sequence}/receipt"
        return Receipt.decode(canonical(self.client.get(path, **asked)))


def message(number: int) -> bytes:
    return (MESSAGE % number).encode()


def go_on(sent: Sent, more: int = 2, seconds: float = 60) -> float:
    """Until messages are certified that are sent only from now on."""
    first = sent.safe
    return wait_until(
        lambda: sent.covered() > first + more,
        f"windows behind chunk {first} are certified",
        seconds,
    )


@pytest.fixture(scope="module")
def committee(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Committee:
    """As a verifier gets it: a file from an operator."""
    folder = tmp_path_factory.mktemp("committee")
    return Committee.load(stack.copy("operator-1", "/fleet/committee.json", folder).read_bytes())


@pytest.fixture(scope="module")
def sent(stack: Stack, report: list[str]) -> Sent:
    """A stream from this host, through a kill of each that has to do with it while it runs."""
    stack.wait_settled()
    sent = Sent(stack, "through-kills")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(sent.run)
        try:
            began = go_on(sent)
            for name in ("stream-api", "zkp-api", "operator-2"):
                stack.container(name).kill()
                if name == "operator-2":  # a majority is left
                    go_on(sent)
                else:
                    time.sleep(2)
                stack.container(name).start()
                took = go_on(sent)
                report.append(f"streaming: certified {took:.1f} s after {name} was started again")
            report.append(f"streaming: the first windows certified after {began:.1f} s")
        finally:
            sent.enough.set()
        count = running.result(timeout=60)
    assert count == sent.safe
    wait_until(lambda: sent.covered() == count, f"all {count} messages are certified", 60)
    return sent


def test_a_sources_windows_are_certified_in_every_operators_log(stack: Stack) -> None:
    """A further source with short windows, beside those of the compose file."""
    command = ["source", "ticker", "--stream", "short-windows", "--rate", "20", "--seed", "3"]
    stack.compose(
        "run", "-d", "--no-deps", "source-ticker", *command, "--window-ms", str(WINDOW_MS)
    )

    def certified() -> dict[str, int]:
        listed = stack.get("stream-api", "/streams")["streams"]
        return {each["name"]: each["certified"] for each in listed}

    wait_until(lambda: certified().get("short-windows", 0) >= 2, "two windows are certified", 60)
    wait_until(lambda: certified()["sensor"] >= 1, "so is one of the compose file's own", 120)
    stack.wait_identical()
    streams = stack.get("stream-api", "/streams")["streams"]
    measured = {each["name"] for each in streams if "readings" in each["descriptor"]}
    assert "sensor" in measured
    assert not measured & {"ticker", "short-windows"}
    for each in streams:
        for number in range(each["certified"]):
            path = f"/streams/{each['stream']}/windows/{number}"
            own = stack.get("stream-api", path)["event"]
            for name in OPERATORS:
                [verdict] = stack.get(name, path)["verdicts"]
                assert verdict["event"] == own
            assert own["verdict"] == "valid"
            assert len(own["signers"]) >= 3
            assert own.get("statement") == ("readings" if each["name"] in measured else None)


def test_a_report_on_a_sensors_readings_is_made_and_verified(stack: Stack) -> None:
    """In the container of an operator, which has no key of the stream."""
    command = ["source", "sensor", "--stream", "short-readings", "--rate", "20", "--seed", "3"]
    stack.compose(
        "run", "-d", "--no-deps", "source-sensor", *command, "--window-ms", str(WINDOW_MS)
    )

    def known() -> Json:
        listed = stack.get("stream-api", "/streams")["streams"]
        return next((each for each in listed if each["name"] == "short-readings"), None)

    wait_until(lambda: (known() or {}).get("certified", 0) >= 2, "two windows are certified", 60)
    stream = known()["stream"]
    url = ("--url", "http://stream-api:5300")

    def written() -> bool:
        stack.run("operator-1", "rm", "-f", "/tmp/report")
        command = ("dragon", "stream", "report", stream, "--proofs", "-o", "/tmp/report", *url)
        return stack.run("operator-1", *command)[0] == 0

    wait_until(written, "a checkpoint covers the windows", 90)
    verify = ("dragon", "verify", "stream-report", "/tmp/report", "--stream", stream)
    code, said = stack.run("operator-1", *verify, "--require-claim", "--json")
    assert code == 0, said
    assert json.loads(said)["windows_without_claim"] == []


def test_nothing_that_was_acknowledged_is_lost_whoever_is_killed(sent: Sent) -> None:
    assert sent.covered() == sent.safe > 100
    for sequence in range(sent.safe):
        assert sent.data(sequence) == message(sequence)


def test_operators_verify_windows_with_compiled_code(stack: Stack, sent: Sent) -> None:
    """Also the one that was killed and started again, which loads its verifier again."""

    def windows(name: str) -> float:
        return stack.metric(name, "datadragon_windows_verified_total", verifier="compiled")

    wait_until(
        lambda: all(windows(name) > 0 for name in OPERATORS),
        "all operators have verified a window with compiled code",
        150,
    )
    for name in OPERATORS:
        assert not stack.container(name).attrs["State"]["OOMKilled"]


def test_services_that_follow_the_ledger_can_compile_pairings(stack: Stack) -> None:
    """Within the limits of their containers. A service does so after 32 finality proofs."""
    load = "from dragon_sequencer.loading import load_compiled as load; load()"
    for name in (*OPERATORS, "aggregator", "explorer", "stream-api"):
        code, said = stack.run(name, "python", "-P", "-c", load)
        assert (code, "compiled_pairings" in said) == (0, True), (name, said)


def test_a_receipt_from_the_service_holds_offline(sent: Sent, committee: Committee) -> None:
    last = sent.safe - 1
    wait_until(
        lambda: sent.receipt(last).place is not None, "a checkpoint covers the last window", 60
    )
    for sequence in (0, last // 2, last):
        receipt = sent.receipt(sequence, disclose=1, proof=1)
        checks = verify(committee, receipt, message(sequence))
        assert is_complete(checks), checks
        assert [check.name for check in checks if check.outcome == "absent"] == ["experts"]
        assert refused(verify(committee, receipt, message(sequence + 1)))


def test_the_command_verifies_a_receipt_where_there_is_no_network(
    stack: Stack, image: str, sent: Sent, tmp_path: Path
) -> None:
    receipt = sent.receipt(0, disclose=1, proof=1)
    (tmp_path / "receipt.json").write_bytes(receipt.encode())
    (tmp_path / "data").write_bytes(message(0))
    (tmp_path / "other").write_bytes(message(1))
    stack.copy("operator-1", "/fleet/committee.json", tmp_path)
    tmp_path.chmod(0o755)

    def verified(data: str) -> tuple[int, str]:
        options = ["--committee", "committee.json", "--data", data]
        container = stack.engine.containers.create(
            image,
            ["verify", "receipt", "receipt.json", *options],
            network_mode="none",
            read_only=True,
            volumes={str(tmp_path): {"bind": "/receipt", "mode": "ro"}},
            working_dir="/receipt",
            labels={PROJECT: stack.project},
        )
        try:
            container.start()
            code = int(container.wait(timeout=60)["StatusCode"])
            return code, container.logs().decode()
        finally:
            container.remove(force=True)

    code, printed = verified("data")
    assert code == 0, printed
    code, printed = verified("other")
    assert code == 1, printed


def test_no_node_and_no_ledger_keeps_data_digests_or_salts(
    stack: Stack, sent: Sent, tmp_path: Path
) -> None:
    receipts = [sent.receipt(sequence, disclose=1) for sequence in range(0, sent.safe, 10)]
    openings = [receipt.opening or b"" for receipt in receipts]
    data = [message(sequence) for sequence in range(0, sent.safe, 10)]
    digests = [hashlib.sha256(each).digest() for each in data]
    salts = [
        opening.removeprefix(digest) for opening, digest in zip(openings, digests, strict=True)
    ]
    commitments = [receipt.chunk.commitment for receipt in receipts]
    assert {len(salt) for salt in salts} == {28}

    kept = files_of(stack, "stream-api", tmp_path)
    assert found(kept, data)  # so that it would be found
    assert found(kept, digests)
    for name in (*OPERATORS, "aggregator", "sequencer"):
        kept = files_of(stack, name, tmp_path)
        assert not found(kept, [*data, MESSAGE.encode()[:30]]), name
        assert not found(kept, digests), name
        assert not found(kept, salts), name
        assert found(kept, commitments) == (name != "sequencer"), name


def test_no_node_and_no_ledger_keeps_readings_or_their_salts(stack: Stack, tmp_path: Path) -> None:
    """A stream with readings that this host sends. Half of each message is random."""
    public = stack.streams()
    made = public.make({"name": "cold-chain", **QUICK, "window_chunks": 62, "readings": READINGS})
    client = StreamClient(public.url, public.http, str(made["token"]), public.ca)
    stream = str(made["stream"])
    celsius = [b"%d.%03d" % divmod(4000 + 7 * number, 1000) for number in range(100)]
    data = [
        b'{"celsius":%s,"nonce":"%s"}' % (each, secrets.token_hex(16).encode()) for each in celsius
    ]
    StreamUpload(client, stream, data).run()
    path = f"/streams/{stream}"
    wait_until(lambda: client.get(path)["certified"] == 2, "two windows are certified", 60)

    receipts = [
        Receipt.decode(canonical(client.get(f"{path}/chunks/{sequence}/receipt", disclose=1)))
        for sequence in range(len(data))
    ]
    openings = [receipt.opening or b"" for receipt in receipts]
    digests = [hashlib.sha256(each).digest() for each in data]
    assert [opening[:32] for opening in openings] == digests
    commitments = [receipt.chunk.commitment for receipt in receipts]
    assert {receipt.chunk.length for receipt in receipts} == {READINGS["length"]}
    kept = files_of(stack, "stream-api", tmp_path)
    assert found(kept, data)  # so that it would be found
    for name in (*OPERATORS, "aggregator", "sequencer"):
        kept = files_of(stack, name, tmp_path)
        parts = [opening[32:52] for opening in openings]
        parts += [opening[32:] for opening in openings]
        assert not found(kept, [*data, *(each[:16] for each in data)]), name
        assert not found(kept, [*digests, *parts]), name
        assert found(kept, commitments) == (name != "sequencer"), name


def files_of(stack: Stack, service: str, folder: Path) -> bytes:
    """All that a service keeps on its volume, one file after the other."""
    with stack.paused(service):
        copied = stack.copy(service, f"/fleet/data/{service.replace('-', '_')}", folder)
    return b"".join(path.read_bytes() for path in sorted(copied.rglob("*")) if path.is_file())


def found(kept: bytes, wanted: list[bytes]) -> bool:
    """Whether any of these is there, as it is or in hexadecimal."""
    return any(form in kept for one in wanted for form in (one, one.hex().encode()))


def test_a_token_opens_the_one_stream_and_a_visitor_sees_no_data(stack: Stack, sent: Sent) -> None:
    def status(path: str, token: str = "") -> int:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = f"{sent.client.url}/streams/{sent.stream}{path}"
        return sent.client.http.send("GET", url, deadline=5, headers=headers).status

    everybodys = stack.streams().token
    assert status("/chunks/0/data", sent.client.token) == 200
    for token in ("", everybodys):
        assert status("/chunks/0/data", token) == 401
        assert status("/chunks/0/receipt?disclose=1", token) == 401
        assert status("/chunks/0/receipt", token) == 200


def test_the_stream_service_stops_at_once_and_its_sources_go_on(stack: Stack) -> None:
    def chunks() -> dict[str, int]:
        listed = stack.get("stream-api", "/streams")["streams"]
        return {each["name"]: each["chunks"] for each in listed}

    before, container = chunks(), stack.container("stream-api")
    begun = time.monotonic()
    container.stop(timeout=20)
    assert time.monotonic() - begun < 5.0
    state = stack.container("stream-api").attrs["State"]
    assert (state["ExitCode"], state["OOMKilled"]) == (0, False)

    stack.start("stream-api")
    sources = ("sensor", "ticker", "short-windows")
    wait_until(
        lambda: all(chunks()[name] > before[name] + 1 for name in sources),
        "every source streams again",
        60,
    )
    for name in SOURCES:
        attrs = stack.container(name).attrs
        assert (attrs["RestartCount"], attrs["State"]["Status"]) == (0, "running")


def test_the_stream_services_log_is_that_of_the_operators(
    stack: Stack, committee: Committee, tmp_path: Path
) -> None:
    size, root = stack.wait_identical()
    wait_until(
        lambda: stack.get("stream-api", "/checkpoint")["size"] >= size, "it has read so far", 30
    )
    listed = stack.get("stream-api", "/streams")["streams"]
    certified = {each["stream"]: each["name"] for each in listed if each["certified"]}
    assert {"sensor", "short-windows", "through-kills"} <= set(certified.values())
    with stack.paused("stream-api"):
        copied = stack.copy("stream-api", "/fleet/data/stream_api", tmp_path)
    verdict = audit(copied / "stream.db", committee)
    assert verdict.size > size or "0x" + verdict.root.hex() == root
    assert set(certified) <= {to_hex(stream) for stream in verdict.state.streams}
