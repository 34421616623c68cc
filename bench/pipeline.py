"""From data to certified windows, with a fleet of real processes on this machine.

Throughput: sources send as fast as they can; certified chunks are counted in the stream service's
log over a period of steady load. Latency: at half of that rate, in windows of one second and enough
streams to get half of the windows too; for each message from sending to `accepted` and `certified`.
Bytes: the cost of a chunk on the ledger, in the proof and in all objects, for several window sizes.
Memory: of every service, before and after a period of load.

    python bench/pipeline.py [SECONDS OF LOAD FOR MEMORY]        default: 20

Goals: 300 chunks/s with windows of 63 chunks; 95 % of messages certified within 3 s.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from websockets.sync.client import ClientConnection

from dragon.encoding import Json, canonical
from dragon.net.stream_client import StreamClient
from dragon.net.stream_upload import StreamUpload
from dragon.protocol.claims.window import InvalidReason
from dragon.protocol.streams.chunks import encode_chunks
from dragon.protocol.streams.finding import Finding
from dragon_cli.fleet.create import Plan, Ports, make_fleet
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.processes import Fleet, interrupt_on_signals
from dragon_cli.fleet.streams import connect, find
from fixtures import make_members
from timing import percentile, show, verdict

SOURCES: Final = 4
MESSAGE: Final = b"21.47 degrees at the north gate, all is well, over and out ......"
WARM_UP_SECONDS: Final = 6.0  # until the load is steady
COUNTED_SECONDS: Final = 20.0
GOAL_CHUNKS: Final = 300.0  # per second
GOAL_CERTIFIED: Final = 3.0  # seconds
SIZES: Final = (1, 15, 63, 255, 1023)
SETTINGS: Final = {"OPERATOR_WINDOWS_PER_SECOND": "1000", "STREAM_WAITING": "24"}


class Load:
    """Sources that send until they are stopped, each on its own thread.

    Args:
        per_second: messages of all sources together; None: as fast as they can.
        messages: what each source sends, without an end.
        wanted: the properties of the streams.
    """

    def __init__(
        self,
        fleet: Fleet,
        name: str,
        per_second: float | None,
        messages: Callable[[], Iterator[bytes]] = lambda: itertools.repeat(MESSAGE),
        **wanted: Json,
    ) -> None:
        self._stop, self._make = threading.Event(), messages
        self.opened: list[tuple[StreamClient, str]] = []
        self._threads = []
        for number in range(SOURCES):
            client, made = find(
                connect(fleet.home, None, None), fleet.home, f"{name}-{number}", None, **wanted
            )
            self.opened.append((client, str(made["stream"])))
            feeder = StreamUpload(client, str(made["stream"]), self._messages(per_second))
            self._threads.append(threading.Thread(target=feeder.run, daemon=True))
        for thread in self._threads:
            thread.start()

    def _messages(self, per_second: float | None) -> Iterator[bytes]:
        following = time.monotonic()
        for message in self._make():
            if self._stop.is_set():
                return
            if per_second:
                following += SOURCES / per_second
                time.sleep(max(0.0, following - time.monotonic()))
            yield message

    def certified(self) -> int:
        """Number of chunks in certified windows of all streams."""
        return sum(certified(client, stream) for client, stream in self.opened)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)


def certified(client: StreamClient, stream: str) -> int:
    now = client.get(f"/streams/{stream}")
    done = int(str(now["certified"]))
    if not done:
        return 0
    page = client.get(f"/streams/{stream}/windows", after=done - 2, limit=1)["windows"]
    last = page[0] if isinstance(page, list) else None
    return int(str(last["first"])) + int(str(last["count"])) if isinstance(last, dict) else 0


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


def throughput(fleet: Fleet) -> float:
    rows, at_63 = [], 0.0
    for chunks in (63, 255):
        load = Load(
            fleet, f"t{chunks}", None, window_chunks=chunks, window_ms=60_000, mode="message"
        )
        time.sleep(WARM_UP_SECONDS)
        before, cpu, begun = load.certified(), processor_seconds(fleet), time.monotonic()
        time.sleep(COUNTED_SECONDS)
        done, took = load.certified() - before, time.monotonic() - begun
        used = {n: s - cpu[n] for n, s in processor_seconds(fleet).items() if n in cpu}
        load.stop()
        wait_idle(load)
        rate = done / took
        at_63 = rate if chunks == 63 else at_63
        goal = f"{GOAL_CHUNKS:.0f}: {verdict(rate >= GOAL_CHUNKS)}" if chunks == 63 else "–"
        most = sorted(used.items(), key=lambda item: -item[1])[:3]
        bound = ", ".join(f"{name} {100 * s / took:.0f} %" for name, s in most)
        total = f"{sum(used.values()) / took:.2f} of 2"
        rows.append((chunks, f"{rate:.0f}", f"{rate / chunks:.1f}", total, bound, goal))
    columns = ("chunks a window", "chunks/s", "windows/s", "cores", "most of it", "goal")
    show(
        "Proven, voted on and certified", columns, rows, f"{SOURCES} streams, messages of 65 bytes"
    )
    return at_63


def wait_idle(load: Load) -> None:
    for client, stream in load.opened:
        ends = time.monotonic() + 90
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


def latency(fleet: Fleet, per_second: float, seconds: float = 20.0) -> None:
    """Measure at half of the chunk rate, with enough streams for half of the window rate."""
    opened, streams = [], max(1, int(per_second / 63))
    for number in range(streams):
        client, made = find(
            *(connect(fleet.home, None, None), fleet.home, f"latency-{number}", None),
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
    for name in ("accepted", "certified"):
        values = [value for one in opened for value in getattr(one, name)]
        p50, p95 = percentile(values, 50), percentile(values, 95)
        goal = f"3 s: {verdict(p95 <= GOAL_CERTIFIED)}" if name == "certified" else "–"
        rows.append((name, len(values), f"{1000 * p50:.0f}", f"{1000 * p95:.0f}", goal))
    columns = ("until", "messages", "p50 ms", "p95 ms", "goal p95")
    said = f"{per_second:.0f} messages/s in {streams} streams, windows of a second"
    show("Latency at half load", columns, rows, said)


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
        ports = Ports(27_001, 27_100, 27_601, prover=27_200, streams=27_300)
        make_fleet(home, Plan(ports=ports), genesis=int(time.time()))
        with Fleet(home, SETTINGS) as fleet:
            yield fleet


def main(seconds: float = 20.0, windows: Sequence[int] = SIZES) -> None:
    interrupt_on_signals()
    sizes(windows)
    with new_fleet() as fleet:
        loaded(fleet, seconds)


def loaded(fleet: Fleet, seconds: float) -> None:
    fleet.start_all()
    fleet.wait_ready()
    rate = throughput(fleet)
    latency(fleet, rate / 2)
    memory_growth(fleet, rate / 2, seconds)


if __name__ == "__main__":
    main(float(sys.argv[1]) if sys.argv[1:] else 20.0)
