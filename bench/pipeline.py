"""From data to certified windows, with a fleet of real processes on this machine.

Throughput: sources send as fast as windows are certified; certified chunks are counted in the
stream service's log over a period of steady load. Latency: at half of that rate, in windows of one
second and enough streams to get half of the windows too; for each message from sending to
`accepted` and `certified`.
Bytes: the cost of a chunk on the ledger, in the proof and in all objects, for several window sizes.
Memory: of every service, before and after a period of load.

    python bench/pipeline.py [SECONDS OF LOAD FOR MEMORY]        default: 20

Goals: 1,200 chunks/s with windows of 63 chunks, 3,000 with windows that grow with the rate; 95 % of
messages certified within 2 s.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from websockets.sync.client import ClientConnection

from dragon.encoding import Json, canonical
from dragon.net.stream_client import MIN_MESSAGE_CREDIT_BYTES, StreamClient
from dragon.protocol.claims.window import InvalidReason
from dragon.protocol.streams.chunks import encode_chunks
from dragon.protocol.streams.finding import Finding
from dragon.stark.prover.warmup import warm_up
from dragon_cli.fleet.create import Plan, Ports, make_fleet
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.processes import Fleet, interrupt_on_signals
from dragon_cli.fleet.streams import connect, find
from fixtures import free_block, make_members
from timing import percentile, show, verdict

SOURCES: Final = 4
MESSAGE: Final = b"21.47 degrees at the north gate, all is well, over and out ......"
# For a fleet that has just started: its services load compiled code while they already work.
LOADING_SECONDS: Final = 30.0
WARM_UP_SECONDS: Final = 6.0  # until the load is steady
COUNTED_SECONDS: Final = 15.0
IDLE_SECONDS: Final = 20.0  # to certify what is left of a load
LARGEST_WINDOW: Final = 1023
AHEAD_WINDOWS: Final = 8  # of a stream that are sent and not certified
GOAL_CHUNKS: Final[Mapping[int | None, float]] = {63: 1200.0, None: 3000.0}  # per second
GOAL_CERTIFIED: Final = 2.0  # seconds
SIZES: Final = (1, 15, 63, 255, 1023)
SETTINGS: Final = {"OPERATOR_WINDOWS_PER_SECOND": "1000", "STREAM_WAITING": "24"}


class Source:
    """Sends messages to one stream until it is stopped, on a thread of its own.

    Args:
        ahead: chunks that may be sent and not certified. It keeps the service busy, and bounds what
            is left to do when the source stops.
        pause: seconds between two messages; 0 for as fast as they are taken.
    """

    def __init__(
        self,
        client: StreamClient,
        stream: str,
        messages: Iterator[bytes],
        ahead: int,
        pause: float,
    ) -> None:
        self._client, self._stream, self._messages = client, stream, messages
        self._ahead, self._pause = ahead, pause
        self._stopping = threading.Event()
        self._credit = self._sent = self._certified = 0
        self._windows: dict[int, int] = {}  # chunks of closed windows that are not certified
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Send nothing more. What was not stored yet is dropped."""
        self._stopping.set()

    def join(self) -> None:
        self._thread.join(10)

    def _run(self) -> None:
        with self._client.ingest(self._stream) as sender:
            socket: ClientConnection = sender._socket
            following = time.monotonic()
            for message in self._messages:
                cost = max(MIN_MESSAGE_CREDIT_BYTES, len(message))
                while not self._stopping.is_set() and not self._may_send(cost):
                    self._read(socket, 0.1)
                if self._stopping.is_set():
                    return
                socket.send(message)
                self._sent, self._credit = self._sent + 1, self._credit - cost
                if self._pause:
                    following += self._pause
                    time.sleep(max(0.0, following - time.monotonic()))
                while self._read(socket, 0.0):
                    pass

    def _may_send(self, cost: int) -> bool:
        return cost <= self._credit and self._sent - self._certified < self._ahead

    def _read(self, socket: ClientConnection, seconds: float) -> bool:
        try:
            said: dict[str, Any] = json.loads(socket.recv(timeout=seconds))
        except TimeoutError:
            return False
        match said["type"]:
            case "credit":
                self._credit += said["bytes"]
            case "closed":
                self._windows[said["window"]] = said["count"]
            case "certified":
                self._certified += self._windows.pop(said["window"], 0)
        return True


class Load:
    """Several streams, each with a source, until they are stopped.

    Args:
        per_second: messages of all sources together; None: as fast as they can.
        messages: what each source sends, without an end.
        ahead: see `Source`.
        wanted: the properties of the streams.
    """

    def __init__(
        self,
        fleet: Fleet,
        name: str,
        per_second: float | None,
        messages: Callable[[], Iterator[bytes]] = lambda: itertools.repeat(MESSAGE),
        *,
        ahead: int = AHEAD_WINDOWS * LARGEST_WINDOW,
        **wanted: Json,
    ) -> None:
        self.opened: list[tuple[StreamClient, str]] = []
        self._sources = []
        pause = SOURCES / per_second if per_second else 0.0
        for number in range(SOURCES):
            client, made = find(
                connect(fleet.home, None, None), fleet.home, f"{name}-{number}", None, **wanted
            )
            self.opened.append((client, str(made["stream"])))
        for client, stream in self.opened:
            self._sources.append(Source(client, stream, messages(), ahead, pause))

    def certified(self) -> Certified:
        """What is certified of all streams."""
        found = [certified(client, stream) for client, stream in self.opened]
        return Certified(sum(each.chunks for each in found), sum(each.windows for each in found))

    def stop(self) -> None:
        """Stop all sources, and wait until what they have sent is certified, at most a while."""
        for source in self._sources:
            source.stop()
        for source in self._sources:
            source.join()
        wait_idle(self)


@dataclass(frozen=True)
class Certified:
    """What is certified of a stream."""

    chunks: int
    windows: int


def certified(client: StreamClient, stream: str) -> Certified:
    now = client.get(f"/streams/{stream}")
    done = int(str(now["certified"]))
    if not done:
        return Certified(0, 0)
    after: dict[str, int] = {"after": done - 2} if done > 1 else {}
    [last] = client.get(f"/streams/{stream}/windows", limit=1, **after)["windows"]
    return Certified(last["first"] + last["count"], done)


def processor_seconds(fleet: Fleet) -> dict[str, float]:
    """Processor time that each service has used so far."""
    found = {}
    for name, process in fleet.running.items():
        ticks = 0
        for entry in Path("/proc").iterdir():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (OSError, ValueError):
                continue
            if int(fields[3]) == process.pid:  # its session
                ticks += int(fields[11]) + int(fields[12])
        found[name] = ticks / 100
    return found


def memory(fleet: Fleet) -> dict[str, float]:
    """Private memory of each service, in MiB."""
    found = {}
    for name, process in fleet.running.items():
        kib = 0
        for entry in Path("/proc").iterdir():
            try:
                session = int((entry / "stat").read_text().rpartition(")")[2].split()[3])
                if session == process.pid:
                    lines = (entry / "smaps_rollup").read_text().splitlines()
                    kib += sum(
                        int(line.split()[1]) for line in lines if line.startswith("Private_")
                    )
            except (OSError, ValueError):
                continue
        found[name] = kib / 1024
    return found


def _load(fleet: Fleet, name: str, chunks: int | None) -> Load:
    """A load with windows of a fixed size, or (None) of the service's own choice.

    That choice is named by no member: an earlier commit of the service refuses a null.
    """
    ahead = AHEAD_WINDOWS * (chunks or LARGEST_WINDOW)
    if chunks is None:
        return Load(fleet, name, None, ahead=ahead, mode="message")
    return Load(fleet, name, None, ahead=ahead, mode="message", window_chunks=chunks)


def warm_fleet(fleet: Fleet) -> None:
    """Load a new fleet until its services work with compiled code."""
    load = _load(fleet, "warm-up", 63)
    time.sleep(LOADING_SECONDS)
    load.stop()


def throughput(fleet: Fleet) -> dict[int | None, float]:
    """Measure windows of fixed sizes, and those that grow with the rate (None)."""
    rows, rates = [], dict[int | None, float]()
    for chunks in (63, 255, None):
        load = _load(fleet, f"t-{chunks or 'adaptive'}", chunks)
        time.sleep(WARM_UP_SECONDS)
        before, cpu, begun = load.certified(), processor_seconds(fleet), time.monotonic()
        time.sleep(COUNTED_SECONDS)
        after, took = load.certified(), time.monotonic() - begun
        used = {n: s - cpu[n] for n, s in processor_seconds(fleet).items() if n in cpu}
        load.stop()
        windows, rate = after.windows - before.windows, (after.chunks - before.chunks) / took
        rates[chunks] = rate
        wanted_rate = GOAL_CHUNKS.get(chunks)
        goal = f"{wanted_rate:,.0f}: {verdict(rate >= wanted_rate)}" if wanted_rate else "–"
        most = sorted(used.items(), key=lambda item: -item[1])[:2]
        bound = ", ".join(f"{name} {100 * s / took:.0f} %" for name, s in most)
        each = f"{1000 * sum(used.values()) / windows:.0f}" if windows else "–"
        total = f"{sum(used.values()) / took:.2f} of 2"
        name = chunks or "adaptive"
        rows.append((name, f"{rate:.0f}", f"{windows / took:.1f}", each, total, bound, goal))
    columns = ("chunks a window", "chunks/s", "windows/s", "ms each", "cores", "most of it", "goal")
    note = f"{SOURCES} streams, messages of 65 bytes; ms: processor time of all services a window."
    show("Proven, voted on and certified", columns, rows, note)
    return rates


def wait_idle(load: Load) -> None:
    ends = time.monotonic() + IDLE_SECONDS
    for client, stream in load.opened:
        while time.monotonic() < ends:
            now = client.get(f"/streams/{stream}")
            if now["windows"] == now["certified"]:
                break
            time.sleep(0.5)


class Latencies:
    """One message stream, with the time of every message. `done`: messages that it has already."""

    def __init__(self, client: StreamClient, stream: str, per_second: float, done: int = 0) -> None:
        self._before = done
        self._client, self._stream, self._pause = client, stream, 1 / per_second
        self._sent: list[float] = []
        self.accepted: list[float] = []
        self.certified: list[float] = []
        self._windows: dict[int, tuple[int, int]] = {}
        self._done = 0

    def run(self, seconds: float) -> None:
        with self._client.ingest(self._stream) as sender:
            socket: ClientConnection = sender._socket
            ends = time.monotonic() + seconds
            reader = threading.Thread(target=self._read, args=(socket,), daemon=True)
            reader.start()
            following = time.monotonic()
            while time.monotonic() < ends:
                self._sent.append(time.monotonic())
                socket.send(MESSAGE)
                following += self._pause
                time.sleep(max(0.0, following - time.monotonic()))
            wait_until = time.monotonic() + 15
            while self._done < len(self._sent) and time.monotonic() < wait_until:
                time.sleep(0.05)

    def _read(self, socket: ClientConnection) -> None:
        for raw in socket:
            said: dict[str, Any] = json.loads(raw)
            now = time.monotonic()
            match said["type"]:
                case "accepted":
                    for place in range(len(self.accepted), said["sequence"] - self._before):
                        self.accepted.append(now - self._sent[place])
                case "closed":
                    self._windows[said["window"]] = (said["first"], said["count"])
                case "certified" if said["window"] in self._windows:
                    first, count = self._windows[said["window"]]
                    first -= self._before
                    self.certified += [now - self._sent[n] for n in range(first, first + count)]
                    self._done += count


def latency(
    fleet: Fleet, name: str, per_second: float, streams: int, seconds: float = 15.0
) -> None:
    """Measure at a rate of all streams together. Args: `name`, of the windows."""
    opened = []
    for number in range(streams):
        client, made = find(
            *(
                connect(fleet.home, None, None),
                fleet.home,
                f"latency-{name.replace(' ', '-')}-{number}",
                None,
            ),
            window_ms=1000,
            mode="message",
        )
        opened.append(Latencies(client, str(made["stream"]), per_second / streams))
    threads = [threading.Thread(target=one.run, args=(seconds,)) for one in opened]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = []
    for until in ("accepted", "certified"):
        values = [value for one in opened for value in getattr(one, until)]
        p50, p95 = percentile(values, 50), percentile(values, 95)
        goal = (
            f"{GOAL_CERTIFIED:.0f} s: {verdict(p95 <= GOAL_CERTIFIED)}"
            if until == "certified"
            else "–"
        )
        rows.append((until, len(values), f"{1000 * p50:.0f}", f"{1000 * p95:.0f}", goal))
    columns = ("until", "messages", "p50 ms", "p95 ms", "goal p95")
    said = f"{per_second:.0f} messages/s in {streams} streams, windows of a second"
    show(f"Latency at half load, windows of {name}", columns, rows, said)


def sizes(windows: Sequence[int]) -> None:
    """Bytes per chunk, with four operators of which three sign."""
    from streams import make_owner  # noqa: PLC0415 - a helper of the tests

    members, rows = make_members(), []
    owner = make_owner(members)
    for count in windows:
        window = owner.window([MESSAGE] * count)
        proof, chunks = owner.prove(window), encode_chunks(window.chunks)
        claim = Finding(InvalidReason.NONE).claim(
            owner.descriptor, window.header, bytes(32), 1732522760
        )
        event = len(canonical(members.certify(claim, list(members.secrets)[:3]).to_json()))
        objects = len(proof) + len(chunks) + len(window.header.encode())
        each = [f"{part / count:,.0f}" for part in (event, len(proof), objects)]
        rows.append((count, *each, f"{objects / 1000:,.1f} KB"))
    columns = (
        "chunks a window",
        "on the ledger",
        "in the proof",
        "in objects",
        "objects of a window",
    )
    show(
        "Bytes per chunk",
        columns,
        rows,
        "Objects: header, chunk headers, proof; stored once per service.",
    )


def memory_growth(fleet: Fleet, per_second: float, seconds: float) -> None:
    load = Load(fleet, "memory", per_second, window_ms=1000, mode="message")
    time.sleep(WARM_UP_SECONDS)
    before = memory(fleet)
    time.sleep(seconds)
    after = memory(fleet)
    load.stop()
    rows = [
        (name, f"{before[name]:.0f}", f"{after[name]:.0f}", f"{after[name] - before[name]:+.1f}")
        for name in before
    ]
    columns = ("service", "MiB before", "MiB after", "growth")
    show(f"Memory over {seconds:.0f} s of load", columns, rows, "Private pages of all processes.")


@contextmanager
def new_fleet() -> Iterator[Fleet]:
    """A fleet of real processes, with its files beside this one; not started yet."""
    with tempfile.TemporaryDirectory(prefix="streams-", dir=Path(__file__).parent) as name:
        home = Home(Path(name) / "fleet")
        base = free_block(80)
        ports = Ports(base, base + 40, base + 50, prover=base + 60, streams=base + 70)
        make_fleet(home, Plan(ports=ports), genesis=int(time.time()))
        with Fleet(home, SETTINGS) as fleet:
            yield fleet


def main(seconds: float = 20.0, windows: Sequence[int] = SIZES) -> None:
    interrupt_on_signals()
    warm_up(lambda *_: None)  # else the fleet would compile the kernels while it is measured
    sizes(windows)
    with new_fleet() as fleet:
        loaded(fleet, seconds)


def loaded(fleet: Fleet, seconds: float) -> None:
    fleet.start_all()
    fleet.wait_ready()
    warm_fleet(fleet)
    rates = throughput(fleet)
    if not all(rates.values()):
        raise SystemExit("a load was not certified at all, so there is no half of its rate")
    latency(fleet, "63 chunks", rates[63] / 2, max(1, int(rates[63] / 2 / 63)))
    latency(fleet, "any size", rates[None] / 2, SOURCES)
    memory_growth(fleet, rates[63] / 2, seconds)


if __name__ == "__main__":
    main(float(sys.argv[1]) if sys.argv[1:] else 20.0)
