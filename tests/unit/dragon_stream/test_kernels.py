"""What the stream service compiles or reads from the cache, and when."""

from __future__ import annotations

import threading

from dragon_stream.kernels import Kernels


def loaded(has_proofs: bool, *, stopped: bool = False) -> list[str]:
    found, stop = list[str](), threading.Event()
    if stopped:
        stop.set()
    kernels = Kernels(
        lambda: has_proofs,
        load_hash=lambda: found.append("hash"),
        load_verifier=lambda: found.append("verifier"),
    )
    kernels.run(stop)
    return found


def test_the_verifier_is_loaded_after_the_first_proof() -> None:
    assert loaded(True) == ["hash", "verifier"]


def test_a_service_without_proofs_stops_without_the_verifier() -> None:
    assert loaded(False, stopped=True) == ["hash"]
