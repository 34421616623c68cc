"""The verifier (section 10.1). Pure: the outcome depends on its three arguments alone.

`verify` raises `ProofRefused` or returns nothing. Whatever the bytes of a proof, it raises nothing
else, and it does no more work than the parameters, which are the relying party's, allow.
"""

from __future__ import annotations

from dragon.stark import fri, oods
from dragon.stark.air import Air
from dragon.stark.bounds import check_size
from dragon.stark.channel import ProofReader, VerifierChannel
from dragon.stark.deep import boundaries
from dragon.stark.parameters import Parameters
from dragon.stark.queries import open_queries
from dragon.stark.transcript import Transcript


def verify(air: Air, parameters: Parameters, proof: bytes) -> None:
    """Return quietly if `proof` proves the statement `air` under exactly these parameters.

    Raises ProofRefused: it does not; `reason` names the check that failed first.
    """
    replay(air, parameters, proof)


def replay(air: Air, parameters: Parameters, proof: bytes) -> Transcript:
    """Verify, and return all that was sent, drawn and computed on the way.

    Raises ProofRefused: as `verify` does.
    """
    # (1) The statement goes with the parameters, and they with a proof of this size.
    air.admit(parameters)
    lengths = parameters.lengths(air.original_length, air.columns)
    check_size(air, parameters, lengths, proof)
    reader = ProofReader(proof)
    channel = VerifierChannel(air.channel_seed(parameters), reader)

    # (2) At one random point the polynomials fit the statement.
    sampled = oods.sample(air, lengths, channel)

    # (3) What was claimed there becomes one polynomial of low degree, which FRI commits to.
    constraints = boundaries(
        sampled.point, air.mask, sampled.mask_values, sampled.composition_values, lengths
    )
    committed = fri.commit(parameters, lengths, channel, constraints)

    # (4) At the queries its layers are what the trace and the challenges make of them.
    openings = open_queries(parameters, lengths, reader, sampled, committed)

    # (5) Not a byte is left.
    reader.end()
    return Transcript(sampled, committed, openings)
