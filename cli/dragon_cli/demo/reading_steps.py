"""The steps about readings: a cold chain is proven, and a reading out of bounds is not hidden.

The readings have nine decimals, so that none of them occurs by chance in the files that are
searched.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from dragon.errors import StepFailed
from dragon.protocol.streams.reading_text import decimal_text
from dragon.stark.commitment import READING_OFFSET
from dragon_cli.demo.commands import CHECKPOINT_SECONDS, is_covered, run_command
from dragon_cli.fleet.layout import STREAMS
from dragon_cli.fleet.processes import Fleet
from dragon_cli.render.output import console

STREAM: Final = "cold-chain"
DAYS: Final = 3
HOURS: Final = 24  # readings of a day, which is a window
SCALE: Final = 9
CELSIUS: Final = 10**SCALE
WARM: Final = (38, 9_300_000_000)  # hour and reading of the one that is out of bounds
UNCLAIMED: Final = WARM[0] // HOURS  # its window
CLAIM: Final = (
    *("--scale", str(SCALE), "--unit", "°C", "--low", "2", "--high", "8"),
    *("--fall", "0.5", "--rise", "0.5", "--sum", "mean:3:6", "--most", str(HOURS + 1)),
)
CLAIM_MISSING: Final = 4  # exit code of `dragon verify stream-report --require-claim`
# The prover is not among them: it learns the numbers that it proves something about.
SEARCHED: Final = ("operator", "aggregator", "sequencer", "explorer")


def temperatures() -> list[int]:
    """Return a reading for each hour: a random walk near 5 °C, and one hour that is too warm."""
    draw = random.Random("cold chain")  # noqa: S311 - sample data, not a secret
    found, last = [], 5 * CELSIUS
    for _ in range(DAYS * HOURS):
        last += draw.randrange(-CELSIUS // 4, CELSIUS // 4) + (5 * CELSIUS - last) // 4
        found.append(last)
    hour, reading = WARM
    found[hour] = reading + draw.randrange(10**8)
    return found


class ReadingSteps:
    """Each method is a step and returns its outcome in words. Raises StepFailed."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self._readings = temperatures()
        self._file = fleet.home.path / "cold-chain.csv"
        self._report = fleet.home.path / "cold-chain-report.jsonl"
        self._stream = ""  # its id, once it exists
        self._home = ("--home", str(fleet.home.path))

    def stream(self) -> str:
        """Send the column of a CSV file, and wait until its windows are certified."""
        rows = [
            f"{hour},{decimal_text(reading, SCALE)}\n"
            for hour, reading in enumerate(self._readings)
        ]
        self._file.write_text("hour,celsius\n" + "".join(rows))
        begun = time.monotonic()
        options = ("--csv", "--column", "celsius", "--stream", STREAM, *CLAIM)
        run_command(["stream", str(self._file), *options, *self._home])
        took = time.monotonic() - begun
        self._check_windows()
        return (
            f"{len(rows)} readings certified as {DAYS} windows after {took:.1f} s; "
            f"window {UNCLAIMED} carries no claim"
        )

    def search(self) -> str:
        """Search all files of operators, aggregator, sequencer and explorer for the readings."""
        owner = self.fleet.home.database(STREAMS).parent
        held = b"".join(_contents(owner))
        if missing := [text for text in self._texts() if text not in held]:
            raise StepFailed(f"The stream service lacks {len(missing)} of its own readings.")
        patterns, searched = list(self._patterns()), 0
        for name in self.fleet.addresses:
            if name.startswith(SEARCHED):
                folder, output = self.fleet.home.database(name).parent, self.fleet.home.output(name)
                for content in (*_contents(folder), *_contents(output)):
                    searched += len(content)
                    if any(pattern in content for pattern in patterns):
                        raise StepFailed(f"{name} has a reading of the stream on its disk.")
        return (
            f"the {searched:,} bytes on the disks of nodes, ledger and explorer contain none of "
            f"the {len(self._readings)}; only the owner's stream service and its prover learn them"
        )

    def report(self) -> str:
        """Write a report on all windows, and verify it in a process that has two files."""
        stream, last = self._stream, DAYS - 1
        self.fleet.wait_until(
            lambda: is_covered(self.fleet, stream, last),
            "a certified checkpoint covers the windows",
            CHECKPOINT_SECONDS,
        )
        run_command(["stream", "report", STREAM, "-o", str(self._report), *self._home])
        for line in self._verify(stream).splitlines()[:2]:
            console.print(f"     {line}", markup=False, highlight=False)
        refused = self._verify(stream, "--require-claim", expect=CLAIM_MISSING)
        console.print(f"     {refused.splitlines()[0]}", markup=False, highlight=False)
        return f"verified offline: {DAYS - 1} of {DAYS} windows carry the claim, 1 does not"

    def _check_windows(self) -> None:
        """Raises StepFailed: other windows carry no claim than the one with the warm hour."""
        found: dict[str, Any] = json.loads(run_command(["windows", STREAM, "--json", *self._home]))
        self._stream = str(found["stream"])
        statements = [each["statement"] for each in found["windows"]]
        expected = ["blocks" if n == UNCLAIMED else "readings" for n in range(DAYS)]
        if statements != expected:
            raise StepFailed(f"The windows state {statements}, expected {expected}.")

    def _verify(self, stream: str, *options: str, expect: int = 0) -> str:
        committee = ("--committee", str(self.fleet.home.committee_file))
        named = ("--stream", stream, *committee, *options)
        command = ["verify", "stream-report", str(self._report), *named]
        return run_command(command, expect=expect)

    def _texts(self) -> Iterator[bytes]:
        for reading in self._readings:
            yield decimal_text(reading, SCALE).encode()

    def _patterns(self) -> Iterator[bytes]:
        """Yield each reading as a text, and as an integer of eight bytes, also in hexadecimal."""
        yield from self._texts()
        for reading in self._readings:
            for value in (reading, reading + READING_OFFSET):
                raw = value.to_bytes(8, "big")
                yield raw
                yield raw[::-1]
                yield raw.hex().encode()


def _contents(path: Path) -> Iterator[bytes]:
    """Yield the content of a file, or of each file in a folder: databases, their logs, objects."""
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        with suppress(FileNotFoundError):  # a database may delete its journal meanwhile
            if file.is_file():
                yield file.read_bytes()
