"""Verification of many certificates with few pairings."""

from __future__ import annotations

from collections.abc import Callable

from dragon.protocol import bls
from dragon.protocol.committee import Committee
from dragon.protocol.event import Event


class BatchVerifier:
    """Checks certificates, and postpones their signatures to verify all of them together.

    Pass it as `verify` to `dragon.protocol.state.transition`, and call `verify` at the end. If that
    returns False, discard the results and apply the events again, one by one.
    """

    def __init__(self, entropy: Callable[[int], bytes]) -> None:
        self._entropy = entropy
        self._signed: list[bls.Signed] = []

    def __call__(self, event: Event, committee: Committee) -> None:
        """Check an event except for its signature, which is postponed. Raises CertificateError."""
        key = event.check(committee)
        root = event.claim.root(committee.id)
        self._signed.append(bls.Signed(key, root, event.signature))

    def verify(self) -> bool:
        """Return whether all postponed signatures are valid."""
        return bls.verify_batch(self._signed, self._entropy)
