"""The signatures of a network's nodes: verified singly or many at once, and remembered.

Several signatures σ_k on messages M_k by the keys A_k are verified together, with random factors
z_k of 128 bits:

    Π_A e(Σ_{k: A_k = A} z_k·M_k, A) · e(−Σ z_k·σ_k, g2) = 1

This takes one Miller loop for each set of signers and one for all signatures, but only one final
exponentiation. All points have prime order r, so if any signature is false, at most one in r values
of its factor satisfies the equation, whatever the other factors are: at most one of the 2¹²⁸.

Source: Bellare, Garay and Rabin, "Fast Batch Verification for Modular Exponentiation and Digital
Signatures", EUROCRYPT 1998; Camenisch, Hohenberger and Pedersen, "Batch Verification of Short
Signatures", EUROCRYPT 2007.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from dragon_sequencer import bn254, pairing
from dragon_sequencer.bn254 import G1, G2
from dragon_sequencer.errors import BadFinalitySignature, FinalityError
from dragon_sequencer.weighted_sum import weighted_sum

FACTOR_BYTES: Final = 16  # of each random factor
MAX_SIGNER_SETS: Final = 64  # whose prepared keys are kept, about 30 KB each
MAX_REMEMBERED: Final = 64  # valid signatures that are kept; below 1 KB if few nodes are absent

Entropy: TypeAlias = Callable[[int], bytes]  # returns this number of random bytes


@dataclass(frozen=True, slots=True)
class Signed:
    """A message, and its signature by all nodes with stake except some. Not verified."""

    message: bytes
    signature: str
    nonsigners: frozenset[str]
    tag: int  # version of the node list
    index: int = field(compare=False)  # of the batch, for an error


@dataclass(frozen=True, slots=True)
class Decoded:
    """A signature with its points, not verified."""

    signed: Signed
    point: G1
    signature: G1
    lines: pairing.Lines  # of the signers' aggregate key

    def holds(self) -> bool:
        return pairing.is_signed(self.point, self.signature, self.lines)


class Signatures:
    """Verifies the signatures of the nodes of one list. Threads may share it.

    A valid signature is remembered: whether it holds depends on nothing but its message, its
    signers and their keys. A false one is not. So that nobody can fill the memory, both the signer
    sets and the signatures have a limit; those used longest ago are forgotten first.

    Args:
        aggregate_key: returns the sum of the keys of all nodes with stake except these; None means
            infinity.
    """

    def __init__(self, aggregate_key: Callable[[Iterable[str]], G2 | None]) -> None:
        self._aggregate_key = aggregate_key
        self._lines = functools.lru_cache(MAX_SIGNER_SETS)(self._prepare)
        self._known: dict[Signed, None] = {}  # valid ones, the last used last
        self._lock = threading.Lock()  # guards the line above

    @property
    def remembered(self) -> int:
        """The number of valid signatures that are remembered."""
        with self._lock:
            return len(self._known)

    def check(self, signed: Signed) -> None:
        """Verify one signature.

        Raises:
            MalformedSignature, SignatureOffCurve, BadFinalitySignature: the reason.
        """
        if not self._recall(signed):
            self._check_decoded(self._decode(signed))

    def check_each(
        self, several: Sequence[Signed], entropy: Entropy
    ) -> tuple[FinalityError | None, ...]:
        """Verify several signatures together; if that fails, each one, to find the false ones.

        Args:
            several: the signatures; all have valid nonsigners.
            entropy: called at most once.

        Returns:
            For each signature, the error that `check` would raise, or None.

        Raises ValueError: `entropy` returned another number of bytes.
        """
        faults: dict[Signed, FinalityError] = {}
        left: list[Decoded] = []
        for signed in dict.fromkeys(several):
            try:
                left += [] if self._recall(signed) else [self._decode(signed)]
            except FinalityError as error:
                faults[signed] = error
        if len(left) > 1 and _hold_together(left, entropy):
            for each in left:
                self._remember(each.signed)
            left = []
        for each in left:
            try:
                self._check_decoded(each)
            except FinalityError as error:
                faults[each.signed] = error
        return tuple(faults.get(signed) for signed in several)

    def _decode(self, signed: Signed) -> Decoded:
        signature = bn254.decode_signature(signed.signature)
        lines = self._lines(signed.tag, signed.nonsigners)
        return Decoded(signed, bn254.hash_to_curve(signed.message), signature, lines)

    def _check_decoded(self, decoded: Decoded) -> None:
        if not decoded.holds():
            index = decoded.signed.index
            raise BadFinalitySignature("the nodes did not sign this proof", index=index)
        self._remember(decoded.signed)

    def _prepare(self, tag: int, nonsigners: frozenset[str]) -> pairing.Lines:
        key = self._aggregate_key(nonsigners)
        if key is None:
            raise BadFinalitySignature("the signers' keys add up to the point at infinity", tag=tag)
        return pairing.prepare(key)

    def _recall(self, signed: Signed) -> bool:
        """Whether the signature is known to be valid."""
        with self._lock:
            if known := signed in self._known:
                del self._known[signed]
                self._known[signed] = None
            return known

    def _remember(self, signed: Signed) -> None:
        with self._lock:
            self._known[signed] = None
            if len(self._known) > MAX_REMEMBERED:
                del self._known[next(iter(self._known))]


def _hold_together(several: Sequence[Decoded], entropy: Entropy) -> bool:
    """Whether all signatures hold, but for a chance of one in 2¹²⁸ for each false one."""
    drawn = entropy(FACTOR_BYTES * len(several))
    if len(drawn) != FACTOR_BYTES * len(several):
        raise ValueError("the source of entropy returned another number of bytes")
    starts = range(0, len(drawn), FACTOR_BYTES)
    factors = [int.from_bytes(drawn[at : at + FACTOR_BYTES]) for at in starts]
    if not all(factors):  # a factor of 0 would verify nothing, as of a source that is broken
        return False
    of_sets: dict[tuple[int, frozenset[str]], tuple[pairing.Lines, list[G1], list[int]]] = {}
    for each, factor in zip(several, factors, strict=True):
        signers = each.signed.tag, each.signed.nonsigners
        _, points, weights = of_sets.setdefault(signers, (each.lines, [], []))
        points.append(each.point)
        weights.append(factor)
    total = weighted_sum([each.signature for each in several], factors)
    sums = [(weighted_sum(points, weights), lines) for lines, points, weights in of_sets.values()]
    sums.append((total and bn254.negate_g1(total), pairing.GENERATOR_LINES))
    return pairing.is_one([(point, lines) for point, lines in sums if point is not None])
