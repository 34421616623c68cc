"""The prover's randomness: its size, for callers that draw it without loading the prover."""

from __future__ import annotations

from typing import Final

from dragon.errors import WrongWitness

RHO_BYTES: Final = 32


def check_rho(rho: bytes) -> None:
    """Raise WrongWitness unless there are 32 bytes."""
    if len(rho) != RHO_BYTES:
        raise WrongWitness(f"rho must have {RHO_BYTES} bytes, not {len(rho)}")
