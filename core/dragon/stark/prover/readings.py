"""Prove claims about the committed numbers of a window under a named set (section 19)."""

from __future__ import annotations

from collections.abc import Sequence

from dragon.errors import ProofRefused, UnsafeParameters, WrongWitness
from dragon.stark.airs.readings import ReadingsAir
from dragon.stark.commitment import OPENING_BYTES, committed_reading, decode_outputs
from dragon.stark.parameter_sets import named_set
from dragon.stark.parameters import Slack
from dragon.stark.prover.blocks import window_witness
from dragon.stark.prover.preimages import Secret
from dragon.stark.prover.prover import StageListener, ignore_stages, prove
from dragon.stark.prover.readings_statement import ReadingsWitness
from dragon.stark.reading_bounds import MAX_READINGS, ReadingBounds


def prove_readings(
    set_name: str,
    identity_secret: Sequence[int],
    openings: Sequence[Secret],
    carried: bool,
    bounds: ReadingBounds,
    message: bytes,
    rho: bytes,
    *,
    outputs: Sequence[bytes] | None = None,
    threads: int = 1,
    on_stage: StageListener = ignore_stages,
) -> bytes:
    """Prove that the readings in these openings keep the bounds, bound to `message`.

    Args:
        set_name: the name of a strict parameter set.
        identity_secret: the identity's preimage, eight elements of F.
        openings: 1 to 4095 openings (60 bytes: digest ‖ salt ‖ value; or eight elements of F). With
            `carried`, the opening of the previous window's last commitment comes first.
        carried: whether the first opening is carried. It counts for range and steps, and not for
            the sum.
        bounds: the intervals of readings, of steps and of the sum.
        message: the bytes that the proof is bound to.
        rho: 32 bytes from the system's random generator, fresh for every call.
        outputs: if given, must equal the identity, then the commitment of each opening.
        threads: the number of threads to use.
        on_stage: receives the name of each stage when it begins.

    No secret is kept after the call, and no error shows one.

    Raises WrongWitness: a claim is false (there is no proof then), or secrets or `rho` are
    malformed or do not match `outputs`. UnsafeParameters: the set is not strict. ProofRefused:
    the set is unknown, or the bounds do not form a statement. UnluckyChallenge: call again with a
    fresh `rho`.
    """
    chosen = named_set(set_name)
    if chosen.slack is not Slack.STRICT:
        text = f"readings require a strict parameter set, and {set_name} is not strict"
        raise UnsafeParameters(text)
    if outputs is not None and len(outputs) != len(openings) + 1:
        raise WrongWitness(f"{len(openings)} openings do not match {len(outputs) - 1} commitments")
    secrets = [identity_secret, *openings]
    witness = readings_witness(secrets, carried, bounds, message, rho, threads)
    try:
        proven = witness.air.outputs[: len(secrets)]
        if outputs is not None and decode_outputs(outputs) != proven:
            raise WrongWitness("the secrets do not match the outputs")
        parameters = chosen.parameters(witness.air.n_blocks)
        return prove(witness, parameters, threads=threads, on_stage=on_stage)
    finally:
        witness.preimages.wipe()


def readings_witness(
    secrets: Sequence[Secret],
    carried: bool,
    bounds: ReadingBounds,
    message: bytes,
    rho: bytes,
    threads: int = 1,
) -> ReadingsWitness:
    """The statement that `secrets` make true, with its witness, both including padding.

    `secrets` holds the identity's preimage, then the opening of each commitment.

    Raises WrongWitness: a claim is false, secrets or `rho` are malformed, or a commitment equals
    the identity. ProofRefused (input): the bounds do not form a statement.
    """
    count = len(secrets) - 1
    if not 1 <= count <= MAX_READINGS:
        raise WrongWitness(f"there must be 1 to {MAX_READINGS} openings, not {count}")
    bounds.check(count, carried)
    _check_values(secrets[1:])
    blocks = window_witness(secrets, message, rho, threads)
    air = ReadingsAir(blocks.air.outputs, count, carried, bounds, message)
    return ReadingsWitness(air, blocks.preimages, rho)


def _check_values(openings: Sequence[Secret]) -> None:
    """Check that each value is the reading, which is the last limb (section 19.1)."""
    for number, opening in enumerate(openings, start=1):
        if not isinstance(opening, bytes) or len(opening) != OPENING_BYTES:
            continue  # its form is checked later
        try:
            committed_reading(opening)
        except ProofRefused:
            message = f"the value in opening {number} must be below 2^60"
            raise WrongWitness(message, number=number) from None
