"""Several finality proofs verified together, such as the newest ones of all gateways.

The result is that of verifying each one alone. It takes little longer than one proof if all hold.
"""

from __future__ import annotations

from collections.abc import Sequence

from dragon_sequencer.errors import FinalityError
from dragon_sequencer.finality import Proof, no_list
from dragon_sequencer.nodes import NodeList, NodeLists
from dragon_sequencer.signatures import Entropy, Signed


def verify_each(
    proofs: Sequence[Proof], *, app: str, nodes: NodeList | NodeLists, entropy: Entropy
) -> tuple[FinalityError | None, ...]:
    """Check of each proof that enough of `nodes` signed its own chaining hash at its index.

    Args:
        proofs: any proofs of one app.
        app: the app's name.
        nodes: the node list; or several, of which one must have signed.
        entropy: returns this number of random bytes, for the factors of a batch.

    Returns:
        For each proof, the error that `Proof.verify` would raise, or None.

    Raises ValueError: `entropy` returned another number of bytes.
    """
    failures: list[FinalityError | None] = [no_list() for _ in proofs]
    for listed in nodes.alternatives:
        left = [place for place, failure in enumerate(failures) if failure]
        found = _under([proofs[place] for place in left], app, listed, entropy)
        for place, failure in zip(left, found, strict=True):
            failures[place] = failure
    return tuple(failures)


def _under(
    proofs: Sequence[Proof], app: str, nodes: NodeList, entropy: Entropy
) -> list[FinalityError | None]:
    """The failures of proofs under one node list."""
    failures: list[FinalityError | None] = [None] * len(proofs)
    stated: dict[int, Signed] = {}  # by place
    for place, proof in enumerate(proofs):
        try:
            stated[place] = proof.stated(app=app, chaining_hash=proof.chaining_hash, nodes=nodes)
        except FinalityError as error:
            failures[place] = error
    found = nodes.signatures.check_each(tuple(stated.values()), entropy)
    for place, failure in zip(stated, found, strict=True):
        failures[place] = failure
    return failures
