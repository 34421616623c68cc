"""The verifier (section 10.1). It is pure: the result depends only on its three arguments.

`verify` returns nothing, or raises `ProofRefused`. It raises no other error for any proof bytes.
The parameters, which the relying party chooses, bound its work.
"""

from __future__ import annotations

from typing import NamedTuple

from dragon.stark import compiled, fri, oods
from dragon.stark.air import Air
from dragon.stark.bounds import check_size
from dragon.stark.channel import ProofReader, VerifierChannel
from dragon.stark.deep import boundaries
from dragon.stark.parameters import Lengths, Parameters
from dragon.stark.queries import open_queries
from dragon.stark.transcript import FriCommitments, OutOfDomain, Transcript


def verify(air: Air, parameters: Parameters, proof: bytes) -> None:
    """Verify that `proof` proves the statement `air` under exactly these parameters.

    Returns nothing. Raises ProofRefused: the proof is invalid; `reason` names the check that failed
    first.
    """
    committed = _commitments(air, parameters, proof)
    functions = compiled.in_use()
    # The plain functions name the check that failed; their answer counts.
    if functions is None or not functions.check_queries(parameters, *committed):
        open_queries(parameters, *committed)
    committed.reader.end()


def replay(air: Air, parameters: Parameters, proof: bytes) -> Transcript:
    """Verify, and return everything that was sent, drawn and computed.

    Raises ProofRefused, like `verify`.
    """
    committed = _commitments(air, parameters, proof)
    # (4) Check the layers against trace and composition at the queries.
    openings = open_queries(parameters, *committed)
    # (5) Check that no byte is left.
    committed.reader.end()
    return Transcript(committed.sampled, committed.fri, openings)


class _Commitments(NamedTuple):
    """What precedes the query phase."""

    lengths: Lengths
    reader: ProofReader
    sampled: OutOfDomain
    fri: FriCommitments


def _commitments(air: Air, parameters: Parameters, proof: bytes) -> _Commitments:
    # (1) Check that statement, parameters and size of the proof fit together.
    air.admit(parameters)
    lengths = parameters.lengths(air.original_length, air.columns)
    check_size(air, parameters, lengths, proof)
    reader = ProofReader(proof)
    channel = VerifierChannel(air.channel_seed(parameters), reader)

    # (2) Check that the polynomials fit the statement at one random point.
    sampled = oods.sample(air, lengths, channel)

    # (3) Combine the claims at that point into one low-degree polynomial; read its FRI commitments.
    constraints = boundaries(
        sampled.point, air.mask, sampled.mask_values, sampled.composition_values, lengths
    )
    committed = fri.commit(parameters, lengths, channel, constraints)
    return _Commitments(lengths, reader, sampled, committed)
