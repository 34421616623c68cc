"""Compiled kernels and processes that verify proofs: started once the log has a stream."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

import structlog

POLL_SECONDS: Final = 5.0  # between two looks at the log

logger = structlog.stdlib.get_logger(__name__)


def load() -> None:
    """Use the compiled verifier in this process, if the extra `prover` is installed.

    It verifies a window in a quarter of the time. Without it, and where no memory may be made
    executable, the plain verifier goes on.
    """
    try:
        # Not at the top: an operator needs neither numpy nor numba, and one whose log has no
        # streams should not hold them in memory (120 MB).
        from dragon.stark.prover.compiled_verifier import use_compiled_verifier  # noqa: PLC0415
    except ImportError:
        logger.info("plain_verifier", reason="the extra `prover` is not installed")
        return
    except OSError:  # of numba, when it is imported
        logger.warning("plain_verifier", reason="this process may not make memory executable")
        return
    use_compiled_verifier()
    logger.info("compiled_verifier")


class VerificationStart:
    """Loads the compiled verifier, or starts workers, in the background. No window waits for it."""

    def __init__(self, has_streams: Callable[[], bool], start: Callable[[], None]) -> None:
        """Create it.

        Args:
            has_streams: whether the log has a window of any stream.
            start: what is called when it has.
        """
        self._has_streams = has_streams
        self._start = start

    def run(self, stop: threading.Event) -> None:
        """Wait for the log's first stream, then start. Return after that, or when `stop` is set."""
        while not self._has_streams():
            if stop.wait(POLL_SECONDS):
                return
        self._start()
