"""The prover service with real processes and signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
import requests

from dragon.encoding import to_hex
from dragon.stark.blocks import verify_window, window_outputs
from dragon.stark.commitment import commit
from prover_process import IDENTITY, KEY, OPENING, TOKEN, Running, free_port

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    one = Running(tmp_path_factory.mktemp("prover"), free_port())
    try:
        one.wait_ready()
        yield one
    finally:
        one.kill()


def test_the_service_makes_a_valid_proof(running: Running) -> None:
    answer = running.prove()
    assert answer.status_code == 200, answer.text
    proof = bytes.fromhex(answer.json()["proof"][2:])
    verify_window("standard", IDENTITY, [commit(OPENING)], b"\0", proof)


def test_a_killed_worker_is_replaced_and_its_request_fails_by_name(
    running: Running,
) -> None:
    [worker] = running.workers()
    os.kill(worker, signal.SIGSTOP)  # so that it dies during a request
    try:
        asking = subprocess.Popen(
            [sys.executable, "-c", f"import os, time; time.sleep(1.5); os.kill({worker}, 9)"]
        )
        answer = running.prove()
        asking.wait(10)
    finally:
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGCONT)
    assert (answer.status_code, answer.json()["title"]) == (503, "worker_died")

    again = running.prove()
    assert again.status_code == 200, again.text
    assert worker not in running.workers()


def test_a_proof_whose_client_has_gone_is_cancelled_and_its_worker_is_kept(
    running: Running,
) -> None:
    workers = running.workers()
    openings = [k.to_bytes(60, "big") for k in range(1023)]
    outputs = window_outputs(IDENTITY, [commit(one) for one in openings])
    body = {
        "parameter_set": "standard",
        "statement": {"outputs": [to_hex(one) for one in outputs], "message": "0x00"},
        "secrets": {"identity": to_hex(KEY), "openings": [to_hex(one) for one in openings]},
    }
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with suppress(requests.ReadTimeout):
        answer = requests.post(f"{running.url}/proofs", json=body, headers=headers, timeout=0.1)
        pytest.fail(f"the proof did not take longer: {answer.status_code}")

    assert running.prove().status_code == 200
    assert running.workers() == workers
    metrics = requests.get(f"{running.url}/metrics", timeout=5).text
    assert 'datadragon_zkp_jobs_total{kind="prove",outcome="client_gone"} 1.0' in metrics


def test_stopping_ends_all_workers_and_no_secret_was_logged(running: Running) -> None:
    workers = running.workers()
    assert workers
    begun = time.monotonic()
    running.process.terminate()
    assert running.process.wait(10) == 0
    assert time.monotonic() - begun < 5
    assert running.workers() == []
    logged = running.output.read_text()
    for secret in (TOKEN, KEY.hex(), OPENING.hex(), "Traceback"):
        assert secret not in logged
