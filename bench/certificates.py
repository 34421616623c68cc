"""Verifying one certificate, compared with the minimal work of any verifier.

Ours is `Certificate.verify`: committee, rules of the kind, signers, quorum, the sum of their keys,
the subgroup, the pairing. The reference calls the same library directly, with the summed key given:
hashing to the curve, decoding the signature, one product of two pairings. The second reference is
`py_ecc`, as Ethereum's specification uses it: FastAggregateVerify over the signers' keys.

Goals: at most 1.1 times the bare check for 4 operators, at most 1.2 times for 256.
"""

from __future__ import annotations

import sys
from functools import partial

from eth_typing import BLSPubkey, BLSSignature
from py_ecc.bls.ciphersuites import G2ProofOfPossession as PyEcc
from pyblst import BlstP1Element, BlstP2Element, final_verify, miller_loop

from dragon.protocol import bls
from dragon.protocol.claims.status import Status, StatusClaim
from fixtures import Members, make_members, quorum_certificate
from timing import medians, ms, seconds, show, verdict

GOALS = {4: 1.1, 256: 1.2}
GENERATOR: BlstP1Element = bls.SecretKey(1).public_key().point


def bare(key: bls.PublicKey, message: bytes, signature: bytes) -> bool:
    hashed = BlstP2Element.hash_to_group(message, bls.SIGNATURE_DST)
    decoded = BlstP2Element.uncompress(signature)
    left, right = miller_loop(key.point, hashed), miller_loop(GENERATOR, decoded)
    return bool(final_verify(left, right))


def row(members: Members, repetitions: int) -> tuple[object, ...]:
    committee, size = members.committee, len(members.secrets)
    signers = sorted(members.secrets)[: committee.quorum("status")]
    claim = StatusClaim("operator_1", Status.UP, committee.rounds.start(7))
    certified = quorum_certificate(members, claim, signers)
    message = claim.root(committee.id)
    key = bls.PublicKey.decode(certified.public_key)
    keys = [BLSPubkey(committee.keys[signer].raw) for signer in signers]
    signature = BLSSignature(certified.signature)

    least = partial(bare, key, message, certified.signature)
    ours, reference = medians(partial(certified.verify, committee), least, repetitions=repetitions)
    pure = seconds(partial(PyEcc.FastAggregateVerify, keys, message, signature))

    ratio, goal = ours / reference, GOALS.get(size)
    judged = f"≤ {goal}: {verdict(ratio <= goal)}" if goal else ""
    figures = (ms(ours), ms(reference), f"{ratio:.2f}", judged, ms(pure), f"{pure / ours:.0f}")
    return (f"{len(signers)} of {size}", *figures)


def main(*, sizes: tuple[int, ...] = (4, 16, 64, 256), repetitions: int = 101) -> None:
    rows = [row(make_members(size), repetitions) for size in sizes]
    sys.setrecursionlimit(1000)  # py_ecc raises it on import
    columns = ("signers", "ours, ms", "bare, ms", "ratio", "goal", "py_ecc, ms", "py_ecc / ours")
    note = f"Medians of {repetitions} alternating runs, processor time; py_ecc once."
    show("A certificate verified", columns, rows, note)


if __name__ == "__main__":
    main()
