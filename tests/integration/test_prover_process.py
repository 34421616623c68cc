"""The prover service with real processes and signals."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
import requests

from dragon.encoding import to_hex
from dragon.stark.blocks import verify_window, window_outputs
from dragon.stark.commitment import commit
from dragon.stark.prover.blocks import hash_many
from prover_process import IDENTITY, KEY, OPENING, TOKEN, Running, free_port

PATIENCE_SECONDS = 10.0  # a request may last 15 s

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


def wait_for(running: Running, sample: str) -> None:
    """Wait until the service's metrics have a sample."""
    ends = time.monotonic() + PATIENCE_SECONDS
    while f"\n{sample}\n" not in running.metrics():
        assert time.monotonic() < ends, sample
        time.sleep(0.05)


def test_a_killed_worker_is_replaced_and_its_request_fails_by_name(
    running: Running,
) -> None:
    [worker] = running.workers()
    wait_for(running, "datadragon_zkp_self_checks 1.0")  # the next check is a minute later
    wait_for(running, "datadragon_zkp_workers_at_work 0.0")
    os.kill(worker, signal.SIGSTOP)  # so that it dies during the request
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(running.prove)
        try:
            wait_for(running, "datadragon_zkp_workers_at_work 1.0")
        finally:
            os.kill(worker, signal.SIGKILL)
        answer = asked.result()
    assert answer.status_code == 503, answer.text
    assert answer.json()["title"] == "worker_died"

    again = running.prove()
    assert again.status_code == 200, again.text
    assert worker not in running.workers()


def test_a_proof_whose_client_has_gone_is_cancelled_and_its_worker_is_kept(
    running: Running,
) -> None:
    workers = running.workers()
    openings = [k.to_bytes(60, "big") for k in range(4095)]  # proving takes a second
    outputs = window_outputs(IDENTITY, hash_many(openings))
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
    wait_for(running, 'datadragon_zkp_jobs_total{kind="prove",outcome="client_gone"} 1.0')


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
