"""Prove many openings at once under a named set (section 18), and compute many commitments."""

from __future__ import annotations

from collections.abc import Sequence

from dragon.errors import UnsafeParameters, WrongWitness
from dragon.stark.airs.blocks import BlocksAir
from dragon.stark.blocks import MAX_CHUNKS
from dragon.stark.commitment import OPENING_BYTES, decode_output, encode_output, opening_limbs
from dragon.stark.field import P
from dragon.stark.parameter_sets import named_set
from dragon.stark.parameters import Slack
from dragon.stark.prover.blocks_statement import BlocksWitness, rescue_hashes
from dragon.stark.prover.montgomery import integers, words
from dragon.stark.prover.prover import StageListener, ignore_stages, prove
from dragon.stark.prover.randomness import check_rho
from dragon.stark.prover.threads import ThreadTeam
from dragon.stark.rescue import DIGEST_LENGTH, RATE, Digest

Secret = bytes | Sequence[int]  # an opening of 60 bytes, or eight elements of F


def hash_many(openings: Sequence[bytes], *, threads: int = 1) -> list[bytes]:
    """The 32-byte commitment of each 60-byte opening (section 18.1).

    Raises WrongWitness: an opening has another length.
    """
    if not openings:
        return []
    return [encode_output(output) for output in _outputs(_preimages(openings), threads)]


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
    witness = window_witness(secrets, message, rho)
    if outputs is not None and [decode_output(output) for output in outputs] != list(
        witness.air.outputs
    ):
        raise WrongWitness("the secrets do not match the outputs")
    return prove(witness, parameters, threads=threads, on_stage=on_stage)


def window_witness(secrets: Sequence[Secret], message: bytes, rho: bytes) -> BlocksWitness:
    """The statement that `secrets` make true, with its witness, both including padding.

    Raises WrongWitness: secrets or `rho` are malformed, or a chunk equals the identity.
    """
    check_rho(rho)
    preimages = _preimages(secrets)
    digests = _outputs(preimages)
    if digests[0] in digests[1:]:
        chunk = digests.index(digests[0], 1) - 1
        raise WrongWitness(f"the commitment of chunk {chunk} equals the identity")
    padding = (1 << (len(secrets) - 1).bit_length()) - len(secrets)
    air = BlocksAir((*digests, *[digests[0]] * padding), message)
    return BlocksWitness(air, [*preimages, *[preimages[0]] * padding], rho=rho)


def _preimages(secrets: Sequence[Secret]) -> list[list[int]]:
    """Eight elements per secret. Raises WrongWitness, which names the place but not the value."""
    result = []
    for number, secret in enumerate(secrets):
        if isinstance(secret, bytes):
            if len(secret) != OPENING_BYTES:
                raise WrongWitness(f"opening {number} does not have 60 bytes", number=number)
            result.append(opening_limbs(secret))
        else:
            if len(secret) != RATE or not all(0 <= x < P for x in secret):
                message = f"preimage {number} is not eight elements of the field"
                raise WrongWitness(message, number=number)
            result.append(list(secret))
    return result


def _outputs(preimages: Sequence[Sequence[int]], threads: int = 1) -> list[Digest]:
    secret = words(x for preimage in preimages for x in preimage)
    with ThreadTeam(threads) as team:
        numbers = integers(rescue_hashes(secret, team))
    secret.fill(0)
    digests: list[Digest] = []
    for at in range(0, len(numbers), DIGEST_LENGTH):
        c0, c1, c2, c3 = numbers[at : at + DIGEST_LENGTH]
        digests.append((c0, c1, c2, c3))
    return digests
