"""Compiled kernels of the stream service: loaded in the background, when they are needed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from dragon.stark.prover.compiled_verifier import use_compiled_verifier
from dragon_stream.window_sealer import warm_up

POLL_SECONDS: Final = 1.0  # between two looks for the first proof


class Kernels:
    """Loads the hash function at the start, and the compiled verifier after the first proof.

    The service verifies each proof that a prover returns. The plain verifier takes several times as
    long, and verifies until the other one is loaded. A prover that has made a proof has compiled
    all kernels before: on the same host they are only read then, and not compiled twice at once.
    """

    def __init__(
        self,
        has_proofs: Callable[[], bool],
        *,
        load_hash: Callable[[], None] = warm_up,
        load_verifier: Callable[[], None] = use_compiled_verifier,
    ) -> None:
        """Create it.

        Args:
            has_proofs: whether a proof was made since the start.
            load_hash: loads the compiled hash function, so that the first window need not wait.
            load_verifier: makes this process use the compiled verifier.
        """
        self._has_proofs = has_proofs
        self._load_hash = load_hash
        self._load_verifier = load_verifier

    def run(self, stop: threading.Event) -> None:
        """Load everything. Return when it is loaded or `stop` is set."""
        self._load_hash()
        while not self._has_proofs():
            if stop.wait(POLL_SECONDS):
                return
        self._load_verifier()
