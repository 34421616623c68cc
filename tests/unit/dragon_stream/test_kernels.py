"""What the stream service compiles or reads from the cache, and when."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from dragon_stream.kernels import Kernels


def loaded(*, has_streams: bool, has_proofs: bool) -> list[str]:
    found, stop = list[str](), threading.Event()
    stop.set()
    kernels = Kernels(
        lambda: has_streams,
        lambda: has_proofs,
        load_hash=lambda: found.append("hash"),
        load_verifier=lambda: found.append("verifier"),
    )
    kernels.run(stop)
    return found


def test_the_verifier_is_loaded_after_the_first_proof() -> None:
    assert loaded(has_streams=True, has_proofs=True) == ["hash", "verifier"]


def test_a_service_without_proofs_stops_without_the_verifier() -> None:
    assert loaded(has_streams=True, has_proofs=False) == ["hash"]


def test_a_service_without_streams_loads_nothing() -> None:
    assert loaded(has_streams=False, has_proofs=False) == []


def test_commitments_are_the_same_before_and_after_loading() -> None:
    pytest.importorskip("numba")
    program = """
import sys
import dragon_stream.main
from dragon.stark.commitment import commit
from dragon_stream.kernels import hash_many
print({"numba", "numpy"} & set(sys.modules))
opening = bytes(range(60))
print(hash_many([opening]) == [commit(opening)])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=True
    )

    assert done.stdout.split() == ["set()", "True"]
