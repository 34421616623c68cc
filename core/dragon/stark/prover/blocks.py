"""Prove many openings at once under a named set (section 18), and compute many commitments."""

from __future__ import annotations

from collections.abc import Sequence

from dragon.errors import UnsafeParameters, WrongWitness
from dragon.stark.airs.blocks import BlocksAir
from dragon.stark.blocks import MAX_CHUNKS
from dragon.stark.commitment import OUTPUT_BYTES, decode_outputs
from dragon.stark.parameter_sets import named_set
from dragon.stark.parameters import Slack
from dragon.stark.prover.blocks_statement import BlocksWitness
from dragon.stark.prover.montgomery import integers, wire
from dragon.stark.prover.preimages import Preimages, Secret
from dragon.stark.prover.prover import StageListener, ignore_stages, prove
from dragon.stark.prover.threads import ThreadTeam
from dragon.stark.randomness import check_rho
from dragon.stark.rescue import Digest


def hash_many(openings: Sequence[bytes], *, threads: int = 1) -> list[bytes]:
    """The 32-byte commitment of each 60-byte opening (section 18.1).

    Raises WrongWitness: an opening has another length.
    """
    if not openings:
        return []
    preimages = Preimages.of(openings)
    with ThreadTeam(threads) as team:
        encoded = wire(preimages.outputs(team))
    preimages.wipe()
    return [encoded[at : at + OUTPUT_BYTES] for at in range(0, len(encoded), OUTPUT_BYTES)]


def prove_blocks(
    set_name: str,
    secrets: Sequence[Secret],
    message: bytes,
    rho: bytes,
    *,
    outputs: Sequence[bytes] | None = None,
    threads: int = 1,
    on_stage: StageListener = ignore_stages,
) -> bytes:
    """Prove knowledge of the preimages of a window's outputs, bound to `message`.

    `secrets` holds the identity's preimage (eight elements of F) and then one opening per chunk (60
    bytes, or eight elements). Padding is added here. If `outputs` is given, it must equal the
    outputs of the whole window, including padding. `rho` is 32 bytes from the system's random
    generator, fresh for every call. `on_stage` receives the name of each stage when it begins. No
    secret is kept after the call.

    Raises WrongWitness: secrets or `rho` are malformed or do not match `outputs`, or a chunk equals
    the identity. UnsafeParameters: the set is not strict. ProofRefused: the set is unknown, or does
    not allow this many blocks. UnluckyChallenge: call again with a fresh `rho`.
    """
    chosen = named_set(set_name)
    if chosen.slack is not Slack.STRICT:
        text = f"windows require a strict parameter set, and {set_name} is not strict"
        raise UnsafeParameters(text)
    if not secrets or len(secrets) > MAX_CHUNKS + 1:
        raise WrongWitness(f"a window must have an identity and at most {MAX_CHUNKS} chunks")
    parameters = chosen.parameters(1 << (len(secrets) - 1).bit_length())
    witness = window_witness(secrets, message, rho, threads)
    try:
        if outputs is not None and decode_outputs(outputs) != witness.air.outputs:
            raise WrongWitness("the secrets do not match the outputs")
        return prove(witness, parameters, threads=threads, on_stage=on_stage)
    finally:
        witness.preimages.wipe()


def window_witness(
    secrets: Sequence[Secret], message: bytes, rho: bytes, threads: int = 1
) -> BlocksWitness:
    """The statement that `secrets` make true, with its witness, both including padding.

    Raises WrongWitness: secrets or `rho` are malformed, or a chunk equals the identity.
    """
    check_rho(rho)
    preimages = Preimages.of(secrets)
    with ThreadTeam(threads) as team:
        numbers = integers(preimages.outputs(team))
    elements = iter(numbers)
    digests: list[Digest] = list(zip(elements, elements, elements, elements, strict=True))
    if digests[0] in digests[1:]:
        number = digests.index(digests[0], 1) - 1
        raise WrongWitness(f"the commitment of chunk {number} equals the identity")
    count = 1 << (len(secrets) - 1).bit_length()
    air = BlocksAir((*digests, *[digests[0]] * (count - len(secrets))), message)
    return BlocksWitness(air, preimages.padded(count), rho=rho)
