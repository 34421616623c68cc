"""Compiled functions are loaded if they are installed and pass their test."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dragon_sequencer import bn254, compiled, pairing
from dragon_sequencer.loading import load_compiled
from dragon_sequencer.machine import self_test
from dragon_sequencer.pairing import GENERATOR_LINES
from executable_memory import output_without_executable_memory

PAIRS = [
    (bn254.G1_GENERATOR, GENERATOR_LINES),
    (bn254.negate_g1(bn254.G1_GENERATOR), GENERATOR_LINES),
]


@pytest.fixture(autouse=True)
def _plain_before_and_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_compiled", None)
    monkeypatch.setattr(compiled, "_demand", None)


def test_loading_makes_the_process_use_them() -> None:
    curve = pytest.importorskip("dragon_sequencer.machine.curve")

    load_compiled()

    assert isinstance(compiled.in_use(), curve.CompiledCurve)
    assert pairing.is_one(PAIRS)
    assert not pairing.is_one(PAIRS[:1])


def test_without_the_extra_the_plain_functions_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("dragon_sequencer.machine")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "llvmlite", None)  # importing it fails
    monkeypatch.setitem(sys.modules, "llvmlite.binding", None)

    load_compiled()

    assert compiled.in_use() is None
    assert pairing.is_one(PAIRS)


@pytest.mark.parametrize("error", [RuntimeError, AttributeError, OSError])
def test_functions_that_fail_their_test_are_not_used(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("llvmlite")

    def failing(_: object) -> None:
        raise error("wrong on this processor")

    monkeypatch.setattr(self_test, "check", failing)

    load_compiled()

    assert compiled.in_use() is None


def test_a_process_that_may_not_make_memory_executable_goes_on_with_plain_functions() -> None:
    """Compiled code would end it."""
    pytest.importorskip("llvmlite")

    printed = output_without_executable_memory(
        "from dragon_sequencer import compiled, loading\n"
        "loading.load_compiled()\n"
        "print(compiled.in_use())\n"
    )

    assert "may not make memory executable" in printed
    assert printed.splitlines()[-1] == "None"


def loaded_by(module: str) -> set[str]:
    """The modules that importing one loads in a new process."""
    root = Path(compiled.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, {module}\nprint(*sys.modules)"],
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join([str(root / "core"), str(root / "sequencer_client")])},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def test_a_service_imports_nothing_of_the_compiler() -> None:
    """The process that forks services imports these, and the memory is not always needed."""
    loaded = loaded_by("dragon_sequencer.connect")

    assert not loaded & {"llvmlite", "numba", "numpy", "dragon_sequencer.machine"}


def test_a_command_that_reads_a_node_list_loads_no_library_of_services() -> None:
    assert not loaded_by("dragon_sequencer.nodes") & {"structlog", "requests", "llvmlite"}
