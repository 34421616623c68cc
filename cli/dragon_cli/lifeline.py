"""A service that was started by another program ends with it, even if that program is killed.

The starter gives each service the reading end of one pipe as its standard input, and keeps the
writing end. The system closes that end when the starter ends, in whatever way.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping
from typing import Final

VARIABLE: Final = "DRAGON_LIFELINE"  # is set if standard input is such a pipe
_STDIN: Final = 0


def hold(environ: Mapping[str, str]) -> None:
    """Send SIGTERM to this process as soon as its starter has ended, if there is a lifeline."""
    if environ.get(VARIABLE):
        threading.Thread(target=_wait_for_end, name="lifeline", daemon=True).start()


def _wait_for_end() -> None:
    try:
        while os.read(_STDIN, 1):
            pass
    except OSError:
        return  # somebody has closed standard input; it was no lifeline
    os.kill(os.getpid(), signal.SIGTERM)
