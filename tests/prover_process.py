"""A prover service in a process of its own, for tests."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import requests

import forked
from dragon.encoding import to_hex
from dragon.stark.blocks import window_outputs
from dragon.stark.commitment import commit, encode_output
from dragon.stark.ziggy import public_key

COMPILING_SECONDS = 600.0  # for the kernels, on a busy machine
TOKEN = "a-token-for-tests-only"
KEY, OPENING = bytes(range(100, 132)), bytes(range(60))
IDENTITY = encode_output(public_key(KEY))
OUTPUTS = window_outputs(IDENTITY, [commit(OPENING)])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Running:
    """A prover service in a separate process, with one worker."""

    def __init__(self, folder: Path, port: int) -> None:
        (folder / "token").write_text(TOKEN)
        self.url, self.output = f"http://127.0.0.1:{port}", folder / "output.log"
        settings = {
            "ZKP_TOKEN_FILE": str(folder / "token"),
            "ZKP_WORKERS": "1",
            "DRAGON_PORT": str(port),
        }
        with self.output.open("wb") as output:
            self.process = forked.start(
                ["serve", "zkp", "--home", folder],
                stdout=output,
                environ={**os.environ, **settings},
                new_session=True,
            )

    def workers(self) -> list[int]:
        """The process ids of this service's workers."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                command = (entry / "cmdline").read_bytes()
                if (
                    b"dragon_zkp.worker" in command
                    and os.getsid(int(entry.name)) == self.process.pid
                ):
                    found.append(int(entry.name))
            except (OSError, ValueError):
                continue
        return found

    def is_ready(self) -> bool:
        try:
            return requests.get(f"{self.url}/readyz", timeout=2).status_code == 200
        except requests.ConnectionError:
            return False

    def wait_ready(self) -> None:
        ends = time.monotonic() + COMPILING_SECONDS
        while not self.is_ready():
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() < ends, self.output.read_text()
            time.sleep(0.1)

    def metrics(self) -> str:
        return requests.get(f"{self.url}/metrics", timeout=5).text

    def prove(self, seconds: float = 15) -> requests.Response:
        secrets = {"identity": to_hex(KEY), "openings": [to_hex(OPENING)]}
        statement = {"outputs": [to_hex(one) for one in OUTPUTS], "message": "0x00"}
        body = {"parameter_set": "standard", "statement": statement, "secrets": secrets}
        headers = {"Authorization": f"Bearer {TOKEN}"}
        return requests.post(f"{self.url}/proofs", json=body, headers=headers, timeout=seconds)

    def kill(self) -> None:
        """End the service and its workers at once."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
