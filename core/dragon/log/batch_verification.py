"""Verifying many certificates at the price of few pairings."""

from __future__ import annotations

from collections.abc import Callable

from dragon.protocol import bls
from dragon.protocol.committee import Committee
from dragon.protocol.event import Event


class BatchVerifier:
    """Checks everything about a certificate but its signature, and that later, with all others.

    Used as the `verify` of `apply`: the events are taken for genuine until `holds` has the last
    word. If it says no, all of them have to be applied again, one by one.
    """

    def __init__(self, entropy: Callable[[int], bytes]) -> None:
        self._entropy = entropy
        self._signed: list[bls.Signed] = []

    def __call__(self, event: Event, committee: Committee) -> None:
        key = event.check(committee)
        root = event.claim.root(committee.id)
        self._signed.append(bls.Signed(key, root, event.signature))

    def verify(self) -> bool:
        return bls.verify_batch(self._signed, self._entropy)
