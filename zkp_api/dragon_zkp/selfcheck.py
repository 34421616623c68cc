"""A periodic self-check: prove a random statement of each kind and verify the proofs.

It runs on a schedule, not when `/healthz` is requested.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from dragon import errors
from dragon.node.log_format import get_logger
from dragon.stark.blocks import verify_window
from dragon.stark.commitment import (
    DATA_DIGEST_BYTES,
    OPENING_BYTES,
    READING_SALT_BYTES,
    commit,
    encode_output,
    reading_opening,
)
from dragon.stark.randomness import RHO_BYTES
from dragon.stark.reading_bounds import ReadingBounds
from dragon.stark.readings import verify_readings
from dragon.stark.ziggy import PRIVATE_KEY_BYTES, public_key
from dragon_zkp.messages import BlocksStatement, Prove, ReadingsStatement, Statement
from dragon_zkp.pool import Pool

INTERVAL_SECONDS: Final = 60.0
RETRY_SECONDS: Final = 1.0  # after a check that failed or was not finished
MAX_UNFINISHED: Final = 3  # unfinished checks in a row before the service counts as unhealthy
PARAMETER_SET: Final = "standard"
MESSAGE_BYTES: Final = 32
READING_BYTES: Final = 4
_HIGH: Final = 256**READING_BYTES - 1
BOUNDS: Final = ReadingBounds(0, _HIGH, -_HIGH, _HIGH, 0, _HIGH)

logger = get_logger(__name__)


class SelfCheck:
    """Proves random statements with the pool and verifies the proofs with the plain verifier.

    The plain verifier shares no code with the prover's kernels.
    """

    def __init__(self, pool: Pool, entropy: Callable[[int], bytes], seconds: float) -> None:
        """`entropy(size)` returns random bytes; `seconds` is the deadline of one proof."""
        self._pool = pool
        self._entropy = entropy
        self._seconds = seconds
        self.last_error = ""  # why the latest check failed; empty if it passed
        self.passed = 0
        self._unfinished = 0  # checks in a row that ended without a result

    def run(self, stop: threading.Event) -> None:
        """Check at intervals until `stop` is set, once the first worker is ready."""
        while not stop.is_set():
            if not self._pool.startup_status:
                self.check()
            soon = self._pool.startup_status or self.last_error or self._unfinished
            stop.wait(RETRY_SECONDS if soon else INTERVAL_SECONDS)

    def check(self) -> None:
        """Run one check. A pool that is busy with requests does not fail it."""
        try:
            self._try()
        except errors.Busy:
            return
        except (errors.Overdue, errors.WorkerDied) as error:
            # Requests may come first, and a dead worker is replaced. Repeated, it is a fault.
            self._unfinished += 1
            if self._unfinished >= MAX_UNFINISHED:
                self._fail(error)
            return
        except errors.DragonError as error:
            self._fail(error)
            return
        self.last_error = ""
        self._unfinished = 0
        self.passed += 1

    def _fail(self, error: errors.DragonError) -> None:
        self.last_error = f"the self-check failed: {error.name}: {error}"
        logger.warning("self_check_failed", reason=error.name, detail=str(error))

    def _try(self) -> None:
        for check in (self._check_blocks, self._check_readings):
            message = self._entropy(MESSAGE_BYTES)
            verify = check(message)
            verify(message)
            try:
                verify(message + b"!")
            except errors.ProofRefused:
                continue
            raise errors.ProvingError("the verifier accepted a proof for a different message")

    def _check_blocks(self, message: bytes) -> Callable[[bytes], None]:
        """Prove a random window. Returns the verification of its proof for a message."""
        key, opening = self._entropy(PRIVATE_KEY_BYTES), self._entropy(OPENING_BYTES)
        identity, commitment = encode_output(public_key(key)), commit(opening)
        statement = BlocksStatement(PARAMETER_SET, (identity, commitment), message)
        proof = self._prove(statement, key, opening)
        return lambda said: verify_window(PARAMETER_SET, identity, [commitment], said, proof)

    def _check_readings(self, message: bytes) -> Callable[[bytes], None]:
        """Prove a random reading to lie between the widest bounds."""
        key, digest = self._entropy(PRIVATE_KEY_BYTES), self._entropy(DATA_DIGEST_BYTES)
        reading = int.from_bytes(self._entropy(READING_BYTES), "big")
        opening = reading_opening(digest, self._entropy(READING_SALT_BYTES), reading)
        identity, commitment = encode_output(public_key(key)), commit(opening)
        statement = ReadingsStatement(
            PARAMETER_SET, identity, (commitment,), False, BOUNDS, message
        )
        proof = self._prove(statement, key, opening)
        return lambda said: verify_readings(
            PARAMETER_SET, identity, [commitment], False, BOUNDS, said, proof
        )

    def _prove(self, statement: Statement, key: bytes, opening: bytes) -> bytes:
        rho = self._entropy(RHO_BYTES)
        return self._pool.do(Prove(statement, key, (opening,), rho), self._seconds)
