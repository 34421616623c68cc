"""The steps about data: a file is streamed, and its receipts are verified and completed."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Final

from dragon.errors import StepFailed
from dragon_cli.demo.commands import CHECKPOINT_SECONDS, is_covered, run_command
from dragon_cli.fleet.processes import Fleet
from dragon_cli.render.output import console

MARKER: Final = b"kelvin"  # a word that is in every line of the data


class DataSteps:
    """Each method is a step and returns its outcome in words. Raises StepFailed."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self._receipts = fleet.home.path / "receipts"
        self._file = fleet.home.path / "readings.txt"
        self._data = b"".join(
            b"%06d %s %d.%02d\n" % (n, MARKER, 290 + n % 7, n % 97) for n in range(9000)
        )

    def stream(self) -> str:
        """Upload a file and wait until it is certified."""
        self._file.write_bytes(self._data)
        self.fleet.wait_compiled()
        begun = time.monotonic()
        arguments = ["--stream", "readings", "--receipts", str(self._receipts)]
        home = ["--home", str(self.fleet.home.path)]
        run_command(["stream", str(self._file), *arguments, *home])
        took = time.monotonic() - begun
        chunks = len(list(self._receipts.glob("chunk-*.json")))
        return f"{len(self._data):,} bytes certified as {chunks} chunks after {took:.1f} s"

    def verify(self) -> str:
        """Verify a receipt with its data."""
        for line in self._verify(self._receipt, self._chunk()).splitlines():
            console.print(f"     {line}", markup=False, highlight=False)
        return "verified offline with receipt, data and committee file only"

    def tamper(self) -> str:
        """Change one byte of the data, then one member of the receipt; each must be refused."""
        chunk = self._chunk()
        other, changed = chunk.with_name("other"), self._receipt.with_name("changed.json")
        other.write_bytes(b"9" + chunk.read_bytes()[1:])
        receipt = json.loads(self._receipt.read_text())
        changed.write_text(json.dumps({**receipt, "chunk": {**receipt["chunk"], "received_ms": 1}}))
        for path, data in ((self._receipt, other), (changed, chunk)):
            console.print(f"     {_refusal_in(self._verify(path, data, expect=1))}", markup=False)
        for path in (other, changed):
            path.unlink()
        return "changed data and a changed receipt are refused"

    def search(self) -> str:
        """Search all files of operators, aggregator and sequencer for the data."""
        searched = 0
        for name in self.fleet.addresses:
            if name.startswith(("operator", "aggregator", "sequencer")):
                for path in self.fleet.home.database(name).parent.iterdir():
                    searched += path.stat().st_size
                    if MARKER in path.read_bytes():
                        raise StepFailed(f"{path} contains data of the stream.")
        return f"the {searched:,} bytes on the disks of nodes and ledger contain none of it"

    def complete(self) -> str:
        """Complete a receipt as soon as a certified checkpoint covers it."""
        begun = time.monotonic()
        self.fleet.wait_until(
            self._is_covered, "a certified checkpoint covers the receipt", CHECKPOINT_SECONDS
        )
        home = ["--home", str(self.fleet.home.path)]
        run_command(["receipt", "complete", str(self._receipt), *home])
        for line in self._verify(self._receipt, self._chunk()).splitlines():
            if line.strip("✓– ").startswith(("checkpoint", "verified")):
                console.print(f"     {line}", markup=False, highlight=False)
        waited = time.monotonic() - begun
        return f"the receipt contains a certified checkpoint, after {waited:.0f} s"

    @property
    def _receipt(self) -> Path:
        """The receipt of the first chunk."""
        return sorted(self._receipts.glob("chunk-*.json"))[0]

    def _chunk(self) -> Path:
        """Write the data of the first chunk to a file and return its path."""
        length = json.loads(self._receipt.read_text())["chunk"]["length"]
        path = self.fleet.home.path / "chunk"
        path.write_bytes(self._data[:length])
        return path

    def _is_covered(self) -> bool:
        stream = json.loads(self._receipt.read_text())["header"]["stream"]
        return is_covered(self.fleet, stream, 0)

    def _verify(self, receipt: Path, data: Path, expect: int = 0) -> str:
        committee = ["--committee", str(self.fleet.home.committee_file)]
        command = ["verify", "receipt", str(receipt), "--data", str(data), *committee]
        return run_command(command, expect=expect)


def _refusal_in(output: str) -> str:
    return next((line for line in output.splitlines() if "refused:" in line), output)
