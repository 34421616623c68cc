"""An operator's real worker processes: their verdicts, and what happens when one is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from committees import make_members
from dragon import errors
from dragon.node.workers import ipc
from dragon.node.workers.process import Process
from dragon.node.workers.worker import Worker
from dragon.protocol.claims.window import InvalidReason
from dragon.protocol.refusal import RefusalReason
from dragon.protocol.streams.chunks import encode_chunks
from dragon.protocol.streams.finding import Finding
from dragon_operator import window_case, window_verifier
from dragon_operator.window_case import Judgement, WindowCase
from dragon_operator.window_verifier import WindowVerifier, make_process
from provers import until
from streams import make_owner

TESTS = Path(__file__).parents[1]
MODULE = "plain_verification_worker"
MEMBERS = make_members()
OWNER = make_owner(MEMBERS)
FIRST = OWNER.window([b"a", b"bb", b"ccc"])

OPERATOR = f"""
import sys, threading
from dragon.node.workers.process import Process
from dragon_operator import window_case
from dragon_operator.window_verifier import WindowVerifier
made = []
def make():
    made.append(Process("{MODULE}", window_case.WindowCase.pack, window_case.judgement))
    return made[-1]
verifier = WindowVerifier(2, 0, make=make)
verifier.start()
while verifier.started_workers < 2:
    threading.Event().wait(0.01)
print(*(each._process.pid for each in made), flush=True)
threading.Event().wait()
"""


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(TESTS))


@pytest.fixture(scope="module")
def proof() -> bytes:
    return OWNER.prove(FIRST)


@pytest.fixture
def case(proof: bytes) -> WindowCase:
    return with_proof(proof)


def with_proof(proof: bytes) -> WindowCase:
    return WindowCase(
        OWNER.descriptor,
        FIRST.header,
        FIRST.signature,
        encode_chunks(FIRST.chunks),
        proof,
        None,
        FIRST.header.last_received_ms,
        MEMBERS.committee.network_id,
    )


class Workers:
    """Starts worker processes without kernels, and lists them."""

    def __init__(self) -> None:
        self.made: list[Process[WindowCase, Judgement]] = []
        self.sent = 0  # windows

    def __call__(self) -> Worker[WindowCase, Judgement]:
        self.made.append(Process(MODULE, self._pack, window_case.judgement))
        return self.made[-1]

    def _pack(self, case: WindowCase) -> ipc.Strings:
        self.sent += 1
        return case.pack()

    @property
    def pids(self) -> list[int]:
        return [each._process.pid for each in self.made if each.is_alive()]


@pytest.fixture
def workers() -> Workers:
    return Workers()


@pytest.fixture
def verifier(workers: Workers) -> Iterator[WindowVerifier]:
    made = WindowVerifier(2, 4, make=workers)
    made.start()
    until(lambda: made.started_workers == 2)
    yield made
    made.close()
    assert workers.pids == []


def nothing(_: float) -> None:
    """Charge nobody."""


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_workers_verify_windows(verifier: WindowVerifier, case: WindowCase) -> None:
    charged: list[float] = []

    with ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(verifier.judge, case, charged.append) for _ in range(4)]
        assert all(each.result(60).is_valid for each in asked)

    assert verifier.judge(with_proof(b"no proof"), nothing).reason is InvalidReason.STARK
    with pytest.raises(errors.AttestationRefused) as refused:
        verifier.judge(with_proof(bytes(1 << 19)), nothing)
    assert refused.value.reason == RefusalReason.MALFORMED
    assert len(charged) == 4
    assert min(charged) > 0.001
    assert (verifier.retried, verifier.replaced_workers) == (0, 0)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV])
def test_a_window_whose_worker_is_killed_is_verified_all_the_same(
    how: signal.Signals, verifier: WindowVerifier, workers: Workers, case: WindowCase
) -> None:
    before = workers.pids
    for pid in before:
        os.kill(pid, signal.SIGSTOP)  # so that the window is certainly not finished
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(verifier.judge, case, nothing)
        until(lambda: workers.sent == 1)
        for pid in before:
            os.kill(pid, how)
            os.kill(pid, signal.SIGCONT)
        assert asked.result(60).is_valid

    assert verifier.retried == 1
    assert verifier.judge(case, nothing).is_valid  # also replaces one that died while it was idle
    until(lambda: verifier.started_workers == 2)
    assert not set(workers.pids) & set(before)


def test_a_worker_that_hangs_is_replaced_and_its_window_is_busy(
    verifier: WindowVerifier,
    workers: Workers,
    case: WindowCase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(window_verifier, "VERIFICATION_SECONDS", 0.2)
    for pid in workers.pids:
        os.kill(pid, signal.SIGSTOP)

    with pytest.raises(errors.AttestationRefused) as refused:
        verifier.judge(case, nothing)

    assert refused.value.reason == RefusalReason.BUSY
    until(lambda: verifier.replaced_workers == 1 and len(workers.made) == 3)


def test_workers_end_when_their_operator_is_killed() -> None:
    operator = subprocess.Popen([sys.executable, "-c", OPERATOR], stdout=subprocess.PIPE, text=True)
    with operator:
        assert operator.stdout is not None
        pids = [int(each) for each in operator.stdout.readline().split()]
        assert len(pids) == 2
        assert all(map(is_running, pids))
        operator.kill()

    wait_for(lambda: not any(map(is_running, pids)))


def wait_for(true: Callable[[], bool]) -> None:
    ends = time.monotonic() + 30
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_the_real_worker_verifies_with_what_is_installed(case: WindowCase) -> None:
    """It may have to compile kernels first."""
    worker = make_process()
    try:
        worker.wait_until_ready(lambda _: None)
        for proven, reason in (
            (case, InvalidReason.NONE),
            (with_proof(b"no"), InvalidReason.STARK),
        ):
            found = worker.do(proven, 60, lambda: False).result
            assert isinstance(found, Finding)
            assert found.reason is reason
    finally:
        worker.stop()
