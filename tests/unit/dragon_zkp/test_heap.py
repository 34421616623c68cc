"""Workers keep the memory of a proof for the next one."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from dragon_zkp.heap import keep_memory

MEASURE = """
import ctypes, resource, sys
import numpy as np
from dragon_zkp.heap import keep_memory
if sys.argv[1] == "keep" and not keep_memory():
    raise SystemExit("unsupported")
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def use():
    for megabytes in (1, 4, 16):
        arrays = [np.ones(megabytes << 17) for _ in range(2)]
        del arrays
use()
before = faults()
for _ in range(5):
    use()
print(faults() - before)
"""


def page_faults(mode: str) -> int:
    """The pages that the system clears for arrays of sizes that were used and freed before."""
    command = [sys.executable, "-c", MEASURE, mode]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unsupported" in done.stderr:
        pytest.skip("the C library is not glibc")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_freed_arrays_are_used_again_without_new_pages() -> None:
    kept = page_faults("keep")

    assert kept < 50
    assert kept < page_faults("-")


def test_another_c_library_is_left_as_it_is() -> None:
    assert not keep_memory(SimpleNamespace())  # type: ignore[arg-type]
