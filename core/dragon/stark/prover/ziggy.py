"""Make Ziggy signatures (section 4.1), byte for byte as the original programs do."""

from __future__ import annotations

from dragon.errors import UnsafeParameters
from dragon.stark.airs.blocks import BlocksAir
from dragon.stark.parameter_sets import CLASSIC
from dragon.stark.parameters import Parameters
from dragon.stark.prover.blocks_statement import BlocksWitness, rescue_hashes
from dragon.stark.prover.montgomery import integers, words
from dragon.stark.prover.prover import StageListener, ignore_stages, prove
from dragon.stark.prover.threads import ThreadTeam
from dragon.stark.ziggy import secret_preimage


def prove_ziggy(
    private_key: bytes,
    message: bytes,
    parameters: Parameters | None = None,
    *,
    threads: int = 1,
    on_stage: StageListener = ignore_stages,
) -> bytes:
    """Sign `message` with a private key of 32 bytes, by default under `ziggy-classic`.

    The blinding depends on key and message only. Never sign one message under two sets of
    parameters: the two signatures together reveal the key (section 14.1).

    Raises ValueError: the key does not have 32 bytes. UnsafeParameters: the parameters are not from
    a base file. ProofRefused: the parameters do not fit.
    """
    chosen = CLASSIC.parameters(1) if parameters is None else parameters
    if chosen.slack is not None:
        raise UnsafeParameters("a Ziggy signature requires a base parameter file (without slack)")
    preimage = secret_preimage(private_key)
    c0, c1, c2, c3 = integers(rescue_hashes(words(preimage), ThreadTeam(1)))
    air = BlocksAir(((c0, c1, c2, c3),), message)
    witness = BlocksWitness(air, (preimage,), private_key=private_key)
    return prove(witness, chosen, threads=threads, on_stage=on_stage)
