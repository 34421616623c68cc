"""Does it still prove and verify? Tried on a random statement, now and then, and not when asked."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from dragon import errors
from dragon.node.log_format import get_logger
from dragon.stark.blocks import verify_window
from dragon.stark.commitment import OPENING_BYTES, commit, encode_output
from dragon.stark.prover.blocks import RHO_BYTES
from dragon.stark.ziggy import PRIVATE_KEY_BYTES, public_key
from dragon_zkp.messages import Prove, Statement
from dragon_zkp.pool import Pool

EVERY: Final = 60.0  # seconds
AGAIN: Final = 1.0  # after one that failed: what was wrong may be mended already
MOST_UNDONE: Final = 3
SET: Final = "standard"
MESSAGE_BYTES: Final = 32

logger = get_logger(__name__)


class SelfCheck:
    """Proves a random statement with the pool and verifies it with the plain verifier, which shares
    no code with the prover's kernels."""

    def __init__(self, pool: Pool, entropy: Callable[[int], bytes], seconds: float) -> None:
        self._pool = pool
        self._entropy = entropy
        self._seconds = seconds
        self.trouble = ""  # what the last check found
        self.done = 0
        self._undone = 0  # checks in a row that nobody has finished

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            if not self._pool.boot:
                self.check()
            soon = self._pool.boot or self.trouble or self._undone
            stop.wait(AGAIN if soon else EVERY)

    def check(self) -> None:
        """Try once. A pool that is busy with others' work is not in trouble."""
        try:
            self._try()
        except errors.Busy:
            return
        except (errors.Overdue, errors.WorkerDied) as error:
            # Others' work may go first, and a worker that died is replaced; but not for ever.
            self._undone += 1
            if self._undone >= MOST_UNDONE:
                self._note(error)
            return
        except errors.DragonError as error:
            self._note(error)
            return
        self.trouble = ""
        self._undone = 0
        self.done += 1

    def _note(self, error: errors.DragonError) -> None:
        self.trouble = f"the self-check failed: {error.name}: {error}"
        logger.warning("self_check_failed", reason=error.name, detail=str(error))

    def _try(self) -> None:
        key, opening = self._entropy(PRIVATE_KEY_BYTES), self._entropy(OPENING_BYTES)
        message, rho = self._entropy(MESSAGE_BYTES), self._entropy(RHO_BYTES)
        identity, commitment = encode_output(public_key(key)), commit(opening)
        statement = Statement(SET, (identity, commitment), message)
        proof = self._pool.do(Prove(statement, key, (opening,), rho), self._seconds)
        verify_window(SET, identity, [commitment], message, proof)
        try:
            verify_window(SET, identity, [commitment], message + b"!", proof)
        except errors.ProofRefused:
            return
        raise errors.ProvingError("a proof was accepted for another message")
