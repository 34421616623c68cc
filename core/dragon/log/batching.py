"""Verifying many certificates at the price of few pairings."""

from __future__ import annotations

from collections.abc import Callable

from dragon import bls
from dragon.committee import Committee
from dragon.event import Event


class Deferred:
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

    def holds(self) -> bool:
        return bls.verify_batch(self._signed, self._entropy)
