"""Certified chunks per second with readings, beside the same data without them.

One fleet of real processes takes the same messages in two kinds of streams by turns, so that a slow
minute of the machine is slow for both: blocks, readings, readings, blocks. The readings keep their
bounds, and their steps are carried from window to window. So every window is proven by a readings
proof, which is checked. Certified chunks are counted in the stream service's log over a period of
steady load. Bytes are those of one full window of each period: its event on the ledger, its proof,
and all objects that a voter fetches.

    python bench/readings_pipeline.py [SECONDS OF EACH PERIOD]        default: 10

The figures are ratios of one run. Goals: at least 0.8 of the chunks per second of the same streams
without readings, with at most 5 % more bytes.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dragon.encoding import Json, canonical
from dragon.net.stream_client import StreamClient
from dragon.protocol.streams.chunks import encode_chunks
from dragon.protocol.streams.receipt import Receipt
from dragon_cli.fleet.processes import Fleet, interrupt_on_signals
from pipeline import AHEAD_WINDOWS, SOURCES, Load, new_fleet, processor_seconds
from timing import show, verdict

WINDOWS: Final = (62, 254)  # new chunks: with the carried one and the identity a power of two
ORDER: Final = ("blocks", "readings", "readings", "blocks")
SIZES: Final = ("event", "proof", "objects")  # of a window, in bytes
WARM_UP_SECONDS: Final = 4.0  # until the load is steady
GOAL_RATE: Final = 0.8
GOAL_BYTES: Final = 1.05
LOW, HIGH, STEP = 2000, 8000, 50  # thousandths of a degree
READINGS: Final[dict[str, Json]] = {
    "form": "json",
    "pointer": "/celsius",
    "scale": 3,
    "rounding": "exact",
    "unit": "°C",
    "length": 96,
    "low": str(LOW),
    "high": str(HIGH),
    "fall": str(STEP),
    "rise": str(STEP),
    "sum": {"kind": "none"},
    "carry": True,
}


@dataclass(frozen=True)
class Period:
    """What one kind of streams did in one period of steady load."""

    kind: str
    chunks_per_second: float
    cores: float  # of all services together
    windows: int  # certified ones of the streams, all with the statement of this kind
    event: int  # bytes of a window on the ledger
    proof: int
    objects: int  # header, chunk headers and proof


def walk() -> Iterator[bytes]:
    """Messages of one sensor, whose readings keep the bounds."""
    draw, value = random.Random(7), (LOW + HIGH) // 2  # noqa: S311
    while True:
        value = min(HIGH, max(LOW, value + draw.randint(-STEP, STEP)))
        whole, rest = divmod(value, 1000)
        yield b'{"celsius":%d.%03d,"gate":"north","all":"well, over and out"}' % (whole, rest)


def measure(fleet: Fleet, kind: str, chunks: int, turn: int, seconds: float) -> Period:
    """Load the fleet with streams of one kind, and count what is certified."""
    wanted: dict[str, Json] = {"window_chunks": chunks, "mode": "message"}
    if kind == "readings":
        wanted["readings"] = {**READINGS, "most": chunks + 1}
    ahead = AHEAD_WINDOWS * chunks
    load = Load(fleet, f"{kind}-{chunks}-{turn}", None, walk, ahead=ahead, **wanted)
    time.sleep(WARM_UP_SECONDS)
    before, cpu, begun = load.certified(), processor_seconds(fleet), time.monotonic()
    time.sleep(seconds)
    done, took = load.certified().chunks - before.chunks, time.monotonic() - begun
    used = sum(s - cpu[n] for n, s in processor_seconds(fleet).items() if n in cpu)
    load.stop()
    windows = [check_statements(kind, *opened) for opened in load.opened]
    return Period(kind, done / took, used / took, sum(windows), *full_window(*load.opened[0]))


def check_statements(kind: str, client: StreamClient, stream: str) -> int:
    """Return the number of certified windows. SystemExit: one has another statement."""
    expected, seen, after = "readings" if kind == "readings" else None, 0, -1
    while page := windows_after(client, stream, after):
        for window in page:
            if window["state"] == "certified":
                seen += 1
                if window.get("statement") != expected:
                    raise SystemExit(f"window {window['number']} is not one with {kind}")
        after = page[-1]["number"]
    return seen


def windows_after(client: StreamClient, stream: str, after: int) -> list[dict[str, Any]]:
    more: dict[str, int] = {"after": after} if after >= 0 else {}
    page = client.get(f"/streams/{stream}/windows", limit=500, **more)["windows"]
    return list(page)


def full_window(client: StreamClient, stream: str) -> tuple[int, int, int]:
    """Bytes of the stream's second window: event, proof, all objects. Load has filled it."""
    first = windows_after(client, stream, 0)[0]["first"]
    answer = client.get(f"/streams/{stream}/chunks/{first}/receipt", proof=1)
    receipt = Receipt.decode(canonical(answer))
    if receipt.proven is None:
        raise SystemExit("the receipt lacks the proof of its window")
    proof, header = len(receipt.proven.proof), len(receipt.header.encode())
    chunks = len(encode_chunks(receipt.proven.chunks))
    return len(canonical(receipt.event.to_json())), proof, header + chunks + proof


def mean(kind: str, periods: Sequence[Period]) -> Period:
    """The mean of the periods of one kind. Windows are added up."""
    mine = [period for period in periods if period.kind == kind]
    size = (round(statistics.mean(getattr(p, part) for p in mine)) for part in SIZES)
    return Period(
        kind,
        statistics.mean(period.chunks_per_second for period in mine),
        statistics.mean(period.cores for period in mine),
        sum(period.windows for period in mine),
        *size,
    )


def report(chunks: int, periods: Sequence[Period]) -> None:
    """Print both kinds, and the ratio of readings to blocks."""
    blocks, readings = mean("blocks", periods), mean("readings", periods)
    rows: list[tuple[object, ...]] = [
        (
            *(each.kind, each.windows, f"{each.chunks_per_second:.0f}"),
            f"{1000 * each.cores / each.chunks_per_second:.2f}",
            *(f"{getattr(each, part):,}" for part in SIZES),
        )
        for each in (blocks, readings)
    ]
    rate = readings.chunks_per_second / blocks.chunks_per_second
    work = readings.cores / blocks.cores / rate
    sizes = {part: getattr(readings, part) / getattr(blocks, part) for part in SIZES}
    rows.append((
        *("ratio", "–", f"{rate:.2f}", f"{work:.2f}"),
        *(f"{ratio:.3f}" for ratio in sizes.values()),
    ))  # fmt: skip
    goal = f"{GOAL_BYTES}: {verdict(sizes['objects'] <= GOAL_BYTES)}"
    rows.append(("goal", "–", f"{GOAL_RATE}: {verdict(rate >= GOAL_RATE)}", *"–––", goal))
    columns = ("proof", "windows", "chunks/s", "core ms a chunk", "event B", "proof B", "objects B")
    note = f"{SOURCES} streams, {len(periods)} periods by turns."
    show(f"Windows of {chunks} new chunks, with and without readings", columns, rows, note)


def loaded(fleet: Fleet, chunks: int, seconds: float) -> list[Period]:
    return [measure(fleet, kind, chunks, turn, seconds) for turn, kind in enumerate(ORDER)]


def main(seconds: float = 10.0, windows: Sequence[int] = WINDOWS) -> None:
    interrupt_on_signals()
    with new_fleet() as fleet:
        fleet.start_all()
        fleet.wait_ready()
        for chunks in windows:
            report(chunks, loaded(fleet, chunks, seconds))


if __name__ == "__main__":
    main(float(sys.argv[1]) if sys.argv[1:] else 10.0)
