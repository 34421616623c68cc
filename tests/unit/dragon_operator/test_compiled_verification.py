"""The compiled verifier is loaded once the log has a stream, and only if it is installed."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest

from dragon.stark import compiled
from dragon.stark.prover.compiled_verifier import CompiledVerifier
from dragon_operator.compiled_verification import VerificationStart, load
from executable_memory import output_without_executable_memory

MODULE = "dragon.stark.prover.compiled_verifier"


@pytest.fixture(autouse=True)
def _plain_again() -> Iterator[None]:
    yield
    compiled.use(None)


def test_it_is_loaded_for_a_log_with_streams() -> None:
    loaded: list[str] = []

    VerificationStart(lambda: True, lambda: loaded.append("once")).run(threading.Event())

    assert loaded == ["once"]


def test_a_service_without_streams_stops_without_loading() -> None:
    loaded: list[str] = []
    stop = threading.Event()
    stop.set()

    VerificationStart(lambda: False, lambda: loaded.append("once")).run(stop)

    assert not loaded


def test_loading_makes_the_process_use_it() -> None:
    load()

    assert isinstance(compiled.in_use(), CompiledVerifier)


def test_without_the_extra_the_plain_verifier_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, MODULE, None)  # importing it fails

    load()

    assert compiled.in_use() is None


def test_a_process_that_may_not_make_memory_executable_goes_on_with_the_plain_verifier() -> None:
    printed = output_without_executable_memory(
        "from dragon.stark import compiled\n"
        "from dragon_operator.compiled_verification import load\n"
        "load()\n"
        "print(compiled.in_use())\n"
    )

    assert "may not make memory executable" in printed
    assert printed.splitlines()[-1] == "None"
