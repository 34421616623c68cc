"""Processes that may not make memory executable, as with systemd's `MemoryDenyWriteExecute=yes`."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Final

import pytest

PR_SET_MDWE: Final = 65  # of Linux 6.3
REFUSE_EXEC_GAIN: Final = 1
_FORBID: Final = f"""
import ctypes
if ctypes.CDLL(None).prctl({PR_SET_MDWE}, {REFUSE_EXEC_GAIN}, 0, 0, 0):
    raise SystemExit({os.EX_UNAVAILABLE})
"""


def output_without_executable_memory(code: str) -> str:
    """What Python code prints in such a process, which must end in the usual way."""
    command = [sys.executable, "-c", _FORBID + code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == os.EX_UNAVAILABLE:
        pytest.skip("the kernel cannot forbid executable memory")
    assert done.returncode == 0, done.stderr
    return done.stdout
