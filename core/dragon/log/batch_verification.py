"""Verification of many certificates: with few pairings if they are valid, else on two processors.

A pairing check takes about 2 ms, so the ledger can contain more forged signatures than one
processor can check. Pairings release the interpreter lock: other threads answer requests meanwhile.
The threads have the usual priority. With a lower one they wait longer for a processor while they
hold the interpreter lock, and requests wait for them (measured: 250 ms instead of 50 ms at worst).
"""

from __future__ import annotations

import io
import os
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, TypeAlias

from dragon.errors import CertificateError
from dragon.log.refused_events import Reason
from dragon.protocol import bls
from dragon.protocol.committee import Committee
from dragon.protocol.event import Event

GROUP_SIZE: Final = 16  # signatures that one thread verifies together
MAX_THREADS: Final = 2  # that verify signatures of one log
MAX_REMEMBERED_FORGERIES: Final = 16_384  # about 400 bytes each, so at most 7 MiB


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


Verdict: TypeAlias = Reason | None  # None: the certificate is valid


class Verifier:
    """Verifies events of one committee. Remembers forged ones, by the hash of the whole event.

    Only one thread may use it. The verdict on an event depends on the event and the committee
    alone, so what is remembered never changes a verdict.
    """

    def __init__(self, committee: Committee, entropy: Callable[[int], bytes]) -> None:
        self._committee = committee
        self._entropy = entropy
        self._forgeries: OrderedDict[bytes, Reason] = OrderedDict()

    def remembered(self, digest: bytes) -> Reason | None:
        """Return why this event was refused before, if it was and is still remembered."""
        if (known := self._forgeries.get(digest)) is not None:
            self._forgeries.move_to_end(digest)
        return known

    def verify(self, events: Mapping[bytes, Event], *, together: bool) -> dict[bytes, Verdict]:
        """Return the verdict on every event.

        Args:
            events: by their digests.
            together: whether most are expected to be valid. Their signatures are then verified in
                groups, which takes half the time, and one by one only in a group that fails.
        """
        digests, size = list(events), GROUP_SIZE if together else 1
        groups = [digests[at : at + size] for at in range(0, len(digests), size)]
        work = [self._prepared([events[digest] for digest in group]) for group in groups]
        found = [verdict for verdicts in _on_threads(work) for verdict in verdicts]
        for digest, verdict in zip(digests, found, strict=True):
            if verdict is not None:
                self._remember(digest, verdict)
        return dict(zip(digests, found, strict=True))

    def _prepared(self, events: Sequence[Event]) -> Callable[[], list[Verdict]]:
        # Entropy is drawn here and not on another thread, so that its order is always the same.
        size = bls.FACTOR_BYTES * len(events) if len(events) > 1 else 0
        return partial(_verify_group, events, self._committee, self._entropy(size) if size else b"")

    def _remember(self, digest: bytes, reason: Reason) -> None:
        self._forgeries[digest] = reason
        if len(self._forgeries) > MAX_REMEMBERED_FORGERIES:
            self._forgeries.popitem(last=False)


def _on_threads(work: Sequence[Callable[[], list[Verdict]]]) -> list[list[Verdict]]:
    """Do the work, on several threads if there is enough of it."""
    threads = min(MAX_THREADS, len(work), os.cpu_count() or 1)
    if threads < 2:
        return [each() for each in work]
    with ThreadPoolExecutor(threads, "verify") as executor:
        return list(executor.map(lambda each: each(), work))


def _verify_group(events: Sequence[Event], committee: Committee, factors: bytes) -> list[Verdict]:
    if len(events) > 1 and _are_valid(events, committee, factors):
        return [None] * len(events)
    return [_verify_one(event, committee) for event in events]


def _are_valid(events: Sequence[Event], committee: Committee, factors: bytes) -> bool:
    verifier = BatchVerifier(io.BytesIO(factors).read)
    try:
        for event in events:
            verifier(event, committee)
    except CertificateError:
        return False
    return verifier.verify()


def _verify_one(event: Event, committee: Committee) -> Verdict:
    try:
        event.verify(committee)
    except CertificateError as error:
        return Reason.of(error)
    return None
