"""Compiled kernels of the stream service: loaded in the background, when they are needed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Final

from dragon.stark.commitment import OPENING_BYTES

POLL_SECONDS: Final = 1.0  # between two looks for the first stream, and for the first proof


def hash_many(openings: Sequence[bytes]) -> list[bytes]:
    """The commitments of openings. The first call loads the compiled hash function, if need be."""
    # Imported here: a service without streams starts sooner, and takes less memory.
    from dragon.stark.prover import blocks  # noqa: PLC0415

    return blocks.hash_many(openings)


def _load_hash() -> None:
    hash_many([bytes(OPENING_BYTES)])


def _load_verifier() -> None:
    from dragon.stark.prover.compiled_verifier import use_compiled_verifier  # noqa: PLC0415

    use_compiled_verifier()


class Kernels:
    """Loads the hash function for the first stream, and the verifier after the first proof.

    The hash function is loaded before the first window is closed, which then need not wait.

    The service verifies each proof that a prover returns. The plain verifier takes several times as
    long, and verifies until the other one is loaded. A prover that has made a proof has compiled
    all kernels before: on the same host they are only read then, and not compiled twice at once.
    """

    def __init__(
        self,
        has_streams: Callable[[], bool],
        has_proofs: Callable[[], bool],
        *,
        load_hash: Callable[[], None] = _load_hash,
        load_verifier: Callable[[], None] = _load_verifier,
    ) -> None:
        """Create it.

        Args:
            has_streams: whether the service has a stream.
            has_proofs: whether a proof was made since the start.
            load_hash: loads the compiled hash function.
            load_verifier: makes this process use the compiled verifier.
        """
        self._has_streams = has_streams
        self._has_proofs = has_proofs
        self._load_hash = load_hash
        self._load_verifier = load_verifier

    def run(self, stop: threading.Event) -> None:
        """Load everything. Return when it is loaded or `stop` is set."""
        for is_needed, load in (
            (self._has_streams, self._load_hash),
            (self._has_proofs, self._load_verifier),
        ):
            while not is_needed():
                if stop.wait(POLL_SECONDS):
                    return
            load()
