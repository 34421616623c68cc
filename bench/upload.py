"""A large file, from the first byte sent until the last window is certified.

A fleet of real processes that has certified a window before; one file, one stream, as `dragon
stream FILE` sends it. The upload takes until the stream service has acknowledged the last byte. It
takes no more than it can certify, so an upload is slowed down before much waits to be certified.

    python bench/upload.py [MEGABYTES]        default: 200

Goal: the file is certified within 1.3 times of the time that its upload takes.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from dragon.net.stream_upload import PIECE_BYTES, StreamUpload
from dragon_cli.fleet.processes import Fleet, interrupt_on_signals
from dragon_cli.fleet.streams import connect, find
from dragon_cli.fleet.upload_certification import wait_certified
from pipeline import new_fleet, processor_seconds
from timing import show, verdict

MEGABYTE: Final = 1_000_000
GOAL: Final = 1.3  # of the time of the upload
IDLE_SECONDS: Final = 60  # without a further certified window


@dataclass(frozen=True, slots=True)
class Uploaded:
    """One file."""

    uploaded: float  # seconds until it was stored
    certified: float  # seconds until it was certified
    chunks: int
    windows: int
    processor: float  # seconds of all services

    @property
    def ratio(self) -> float:
        return self.certified / self.uploaded


def pieces(size: int) -> Iterator[bytes]:
    """Random data of `size` bytes. One block of it repeats, so that making it costs nothing."""
    block = os.urandom(PIECE_BYTES)
    for start in range(0, size, PIECE_BYTES):
        yield block[: size - start]


def measure(fleet: Fleet, name: str, size: int) -> Uploaded:
    """Upload a file of `size` bytes. Raises NotCertified: nothing happened for long."""
    client, made = find(connect(fleet.home, None, None), fleet.home, name, None)
    stream, cpu, begun = str(made["stream"]), processor_seconds(fleet), time.monotonic()
    _, chunks = StreamUpload(client, stream, pieces(size), base=0, end_window=True).run()
    uploaded = time.monotonic() - begun
    windows = wait_certified(client, stream, chunks, IDLE_SECONDS)
    certified = time.monotonic() - begun
    used = sum(processor_seconds(fleet).values()) - sum(cpu.values())
    return Uploaded(uploaded, certified, chunks, windows, used)


def main(megabytes: int = 200) -> None:
    interrupt_on_signals()
    with new_fleet() as fleet:
        fleet.start_all()
        fleet.wait_ready()
        measure(fleet, "first", MEGABYTE)  # with the first window, services load their kernels
        found = measure(fleet, "upload", megabytes * MEGABYTE)
    goal = f"≤ {GOAL}: {verdict(found.ratio <= GOAL)}"
    columns = ("file", "chunks", "windows", "upload s", "certified s", "ratio", "goal", "MB/s")
    row = (
        *(f"{megabytes} MB", found.chunks, found.windows, f"{found.uploaded:.1f}"),
        *(f"{found.certified:.1f}", f"{found.ratio:.2f}", goal),
        f"{megabytes / found.certified:.1f}",
    )
    note = f"Processor time of all services: {found.processor:.1f} s."
    show("A file uploaded and certified", columns, [row], note)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 200)
