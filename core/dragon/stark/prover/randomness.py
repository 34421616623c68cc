"""The size of the prover's randomness, for callers that draw it without loading the prover."""

from __future__ import annotations

from typing import Final

RHO_BYTES: Final = 32
