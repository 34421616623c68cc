"""The demonstration's story about data: from a file to a receipt that needs nobody's word."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from dragon.errors import StepFailed
from dragon_cli.fleet.processes import Fleet
from dragon_cli.render.output import console

CHECKPOINT_SECONDS: Final = 90.0
COMMAND_SECONDS: Final = 120


class DataStory:
    """The steps about data."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self._receipts = fleet.home.path / "receipts"
        self._file = fleet.home.path / "readings.txt"
        self._data = b"".join(
            b"%06d kelvin %d.%02d\n" % (n, 290 + n % 7, n % 97) for n in range(9000)
        )

    def stream(self) -> str:
        self._file.write_bytes(self._data)
        begun = time.monotonic()
        arguments = ["--stream", "readings", "--receipts", str(self._receipts)]
        run(["stream", str(self._file), *arguments, "--home", str(self.fleet.home.path)])
        took = time.monotonic() - begun
        chunks = len(list(self._receipts.glob("chunk-*.json")))
        return f"{len(self._data):,} bytes are certified as {chunks} chunks after {took:.1f} s"

    def verify(self) -> str:
        said = self._verify(self._receipt, self._chunk)
        for line in said.splitlines():
            console.print(f"     {line}", markup=False, highlight=False)
        return "what was proved was proved offline, from receipt, data and committee file alone"

    def tamper(self) -> str:
        """One byte of the data, one word of the receipt: each is refused by its name."""
        other, changed = self._chunk.with_name("other"), self._receipt.with_name("changed.json")
        other.write_bytes(b"9" + self._chunk.read_bytes()[1:])
        receipt = json.loads(self._receipt.read_text())
        changed.write_text(json.dumps({**receipt, "chunk": {**receipt["chunk"], "received_ms": 1}}))
        for path, data in ((self._receipt, other), (changed, self._chunk)):
            console.print(f"     {refusal_in(self._verify(path, data, expect=1))}", markup=False)
        for path in (other, changed):
            path.unlink()
        return "other data and another receipt are refused"

    def search(self) -> str:
        """Everything that operators, aggregator and ledger have on disk."""
        searched = 0
        for name in self.fleet.addresses:
            if name.startswith(("operator", "aggregator", "sequencer")):
                for path in self.fleet.home.database(name).parent.iterdir():
                    searched += path.stat().st_size
                    if b"kelvin" in path.read_bytes():
                        raise StepFailed(f"{path} holds data of the stream")
        return f"not a reading in the {searched:,} bytes that nodes and ledger have on disk"

    def complete(self) -> str:
        """As soon as a certified checkpoint covers the window's event."""
        begun = time.monotonic()
        self.fleet.wait_until(
            self._is_covered, "a checkpoint covers the receipt", CHECKPOINT_SECONDS
        )
        command = ["receipt", "complete", str(self._receipt), "--home", str(self.fleet.home.path)]
        run(command)
        said = self._verify(self._receipt, self._chunk)
        for line in said.splitlines():
            if line.strip("✓– ").startswith(("checkpoint", "verified")):
                console.print(f"     {line}", markup=False, highlight=False)
        waited = time.monotonic() - begun
        return f"the quorum's checkpoint is in the receipt, after a wait of {waited:.0f} s"

    @property
    def _receipt(self) -> Path:
        return sorted(self._receipts.glob("chunk-*.json"))[0]

    @property
    def _chunk(self) -> Path:
        """The data of the first chunk."""
        length = json.loads(self._receipt.read_text())["chunk"]["length"]
        path = self.fleet.home.path / "chunk"
        path.write_bytes(self._data[:length])
        return path

    def _is_covered(self) -> bool:
        operator = next(iter(self.fleet.committee.keys))
        certified = self.fleet.get(operator, "/checkpoint")["certified"]
        size = certified.get("size", 0) if isinstance(certified, dict) else 0
        stream = json.loads(self._receipt.read_text())["header"]["stream"]
        window = self.fleet.get(operator, f"/streams/{stream}/windows/0")["verdicts"]
        if not isinstance(window, list) or not isinstance(size, int):
            return False
        return all(isinstance(v, dict) and int(str(v["position"])) < size for v in window)

    def _verify(self, receipt: Path, data: Path, expect: int = 0) -> str:
        committee = ["--committee", str(self.fleet.home.committee_file)]
        command = ["verify", "receipt", str(receipt), "--data", str(data), *committee]
        return run(command, expect=expect)


def refusal_in(said: str) -> str:
    return next((line for line in said.splitlines() if "refused:" in line), said)


def run(arguments: Sequence[str], *, expect: int = 0) -> str:
    """A `dragon` command as anybody would run it, held to its exit code; what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "dragon_cli.main", *arguments],
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    said = (done.stdout + done.stderr).strip()
    if done.returncode != expect:
        what = " ".join(arguments[:2])
        raise StepFailed(f"`dragon {what}` ended with {done.returncode}, not {expect}: {said}")
    return said


def verify_by_command(fleet: Fleet, what: str, path: Path, *, expect: int = 0) -> str:
    committee = str(fleet.home.committee_file)
    said = run(["verify", what, str(path), "--committee", committee], expect=expect)
    return said.splitlines()[0]
