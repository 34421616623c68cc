"""Make Ziggy signatures (section 4.1), with fresh blinding or as the original programs do.

Deterministic blinding depends on key and message only. Two signatures of one message under two sets
of parameters then reveal the key together (section 14.1): use it with one parameter set per key.
"""

from __future__ import annotations

from dragon.errors import UnsafeParameters
from dragon.stark.airs.blocks import BlocksAir
from dragon.stark.parameter_sets import CLASSIC
from dragon.stark.parameters import Parameters
from dragon.stark.prover.blocks_statement import BlocksWitness
from dragon.stark.prover.montgomery import integers
from dragon.stark.prover.preimages import Preimages
from dragon.stark.prover.prover import StageListener, ignore_stages, prove
from dragon.stark.prover.threads import ThreadTeam
from dragon.stark.randomness import check_rho
from dragon.stark.ziggy import secret_preimage


def prove_ziggy(
    private_key: bytes,
    message: bytes,
    rho: bytes,
    parameters: Parameters | None = None,
    *,
    threads: int = 1,
    on_stage: StageListener = ignore_stages,
) -> bytes:
    """Sign `message` with a private key of 32 bytes, by default under `ziggy-classic`.

    `rho` is 32 bytes from the system's random generator, fresh for every call. Verifiers cannot
    tell such a signature from a deterministic one.

    Raises ValueError: the key does not have 32 bytes. WrongWitness: `rho` does not have 32 bytes.
    UnsafeParameters: the parameters are not from a base file. ProofRefused: the parameters do not
    fit. UnluckyChallenge: call again with a fresh `rho`.
    """
    check_rho(rho)
    chosen = _base(parameters)
    witness = _witness(private_key, message, rho=rho)
    return prove(witness, chosen, threads=threads, on_stage=on_stage)


def prove_ziggy_deterministically(
    private_key: bytes,
    message: bytes,
    parameters: Parameters | None = None,
    *,
    threads: int = 1,
    on_stage: StageListener = ignore_stages,
) -> bytes:
    """Sign as the original programs do: the same key and message give the same bytes.

    Never sign one message with one key under two sets of parameters: the two signatures together
    reveal the key (section 14.1). Use one parameter set per key, by default `ziggy-classic`.

    Raises ValueError: the key does not have 32 bytes. UnsafeParameters: the parameters are not from
    a base file. ProofRefused: the parameters do not fit.
    """
    chosen = _base(parameters)
    witness = _witness(private_key, message, deterministic=True)
    return prove(witness, chosen, threads=threads, on_stage=on_stage)


def _base(parameters: Parameters | None) -> Parameters:
    chosen = CLASSIC.parameters(1) if parameters is None else parameters
    if chosen.slack is not None:
        raise UnsafeParameters("a Ziggy signature requires a base parameter file (without slack)")
    return chosen


def _witness(
    private_key: bytes, message: bytes, *, rho: bytes = b"", deterministic: bool = False
) -> BlocksWitness:
    preimages = Preimages.of([secret_preimage(private_key)])
    c0, c1, c2, c3 = integers(preimages.outputs(ThreadTeam(1)))
    air = BlocksAir(((c0, c1, c2, c3),), message)
    return BlocksWitness(
        air, preimages, rho=rho, private_key=private_key, deterministic=deterministic
    )
