"""Prove Rescue chains (section 4.2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dragon.errors import WrongWitness
from dragon.stark.airs.rescue_chain import HASHES_PER_PERIOD, PERIOD, RescueChainAir
from dragon.stark.field import P
from dragon.stark.parameters import Parameters
from dragon.stark.prover.chain_statement import ChainWitness
from dragon.stark.prover.kernels import rescue
from dragon.stark.prover.montgomery import integers, rescue_constants, words
from dragon.stark.prover.prover import StageListener, ignore_stages, prove
from dragon.stark.randomness import check_rho
from dragon.stark.rescue import DIGEST_LENGTH, WIDTH, Digest

Witness = Sequence[Sequence[int]]


def chain_output(witness: Witness) -> Digest:
    """The output of a chain of c + 1 words, four elements each. c is a positive multiple of three.

    Raises WrongWitness: the words do not form a chain.
    """
    _check(witness)
    batches = (len(witness) - 1) // HASHES_PER_PERIOD
    rows = np.empty(PERIOD * WIDTH * batches, dtype=np.uint64)
    secret = words(x for element in witness for x in element)
    rescue.chain_rows(secret, rescue_constants(), rows, batches)
    at = WIDTH * (PERIOD * batches - 1)
    c0, c1, c2, c3 = integers(rows[at : at + DIGEST_LENGTH])
    rows.fill(0)
    secret.fill(0)
    return c0, c1, c2, c3


def prove_rescue_chain(
    witness: Witness,
    parameters: Parameters,
    rho: bytes,
    *,
    output: Digest | None = None,
    threads: int = 1,
    on_stage: StageListener = ignore_stages,
) -> bytes:
    """Prove knowledge of a chain of words that ends in `output`, by default the computed output.

    `rho` is 32 bytes from the system's random generator, fresh for every call. Without zero
    knowledge it has no effect, and the proof may reveal the words.

    Raises WrongWitness: the words or `rho` are malformed, or the chain does not end in `output`.
    ProofRefused: the parameters do not fit. UnluckyChallenge: call again with a fresh `rho`.
    """
    check_rho(rho)
    statement = ChainWitness(_air(witness, output), witness, rho)
    return prove(statement, parameters, threads=threads, on_stage=on_stage)


def prove_rescue_chain_deterministically(
    witness: Witness,
    parameters: Parameters,
    *,
    output: Digest | None = None,
    threads: int = 1,
    on_stage: StageListener = ignore_stages,
) -> bytes:
    """Prove a chain as the original programs do: the same words give the same bytes.

    The blinding depends on the words only. Never prove the same words under two sets of parameters:
    the two proofs together reveal them (section 14.1).

    Raises WrongWitness: the words are malformed, or their chain does not end in `output`.
    ProofRefused: the parameters do not fit.
    """
    statement = ChainWitness(_air(witness, output), witness, deterministic=True)
    return prove(statement, parameters, threads=threads, on_stage=on_stage)


def _air(witness: Witness, output: Digest | None) -> RescueChainAir:
    end = chain_output(witness) if output is None else output
    _check(witness)
    return RescueChainAir(end, len(witness) - 1)


def _check(witness: Witness) -> None:
    length = len(witness) - 1
    if length < HASHES_PER_PERIOD or length % HASHES_PER_PERIOD:
        message = f"the number of hashes must be a positive multiple of three, not {length}"
        raise WrongWitness(message, length=length)
    for number, element in enumerate(witness):
        if len(element) != DIGEST_LENGTH or not all(0 <= x < P for x in element):
            raise WrongWitness(f"word {number} is not four field elements", number=number)
