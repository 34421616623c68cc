"""Verification of many certificates: with few pairings if they are valid, else one by one.

A check of one signature takes 1.4 ms and keeps the interpreter lock. A second thread would
therefore save no time. Between two checks the thread pauses, so that other threads can answer
requests. Without the pause each of them waits for the switch interval of the interpreter, 5 ms,
whenever it needs the lock.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from time import sleep
from typing import Final, TypeAlias

from dragon.errors import CertificateError
from dragon.log.refusal_reason import Reason
from dragon.log.verified_events import VerifiedEvents
from dragon.protocol import bls
from dragon.protocol.committee import Committee
from dragon.protocol.event import Event
from dragon.protocol.handover import Handover

GROUP_SIZE: Final = 16  # signatures that are verified together
PAUSE_MICROSECONDS: Final = 50  # after a check; with 0 the lock is seldom passed on
MAX_REMEMBERED_FORGERIES: Final = 16_384  # about 400 bytes each, so at most 7 MiB
MAX_REMEMBERED_ACCEPTANCES: Final = 256


class BatchVerifier:
    """Checks certificates, and postpones their signatures to verify all of them together.

    Pass it as `verify` to `dragon.protocol.transition.transition`, and call `verify` at the end. If
    that returns False, discard the results and apply the events again, one by one.
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
    """Verifies events. Remembers forged ones, by the hash of the whole event.

    Only one thread may use it. The verdict on an event depends on the event and the committee
    alone, and the event names its committee, so what is remembered never changes a verdict.
    """

    def __init__(
        self, entropy: Callable[[int], bytes], verified: VerifiedEvents | None = None
    ) -> None:
        """`verified`: certificates that were found valid elsewhere in this process."""
        self.verified = verified or VerifiedEvents()
        self._entropy = entropy
        self._acceptances: OrderedDict[tuple[Handover, bytes], Verdict] = OrderedDict()
        self._forgeries: OrderedDict[bytes, Reason] = OrderedDict()

    def remembered(self, digest: bytes) -> Reason | None:
        """Return why this event was refused before, if it was and is still remembered."""
        if (known := self._forgeries.get(digest)) is not None:
            self._forgeries.move_to_end(digest)
        return known

    def verify_acceptance(
        self, event: Handover, committee: Committee, following: Committee
    ) -> Verdict:
        """Return the verdict on a handover's acceptance. The newest verdicts are remembered."""
        key = event, following.id
        if key not in self._acceptances:
            try:
                event.verify_acceptance(committee, following)
                self._acceptances[key] = None
            except CertificateError as error:
                self._acceptances[key] = Reason.of(error)
            if len(self._acceptances) > MAX_REMEMBERED_ACCEPTANCES:
                self._acceptances.popitem(last=False)
            _pause()
        return self._acceptances[key]

    def verify(
        self, events: Mapping[bytes, tuple[Event, Committee]], *, together: bool
    ) -> dict[bytes, Verdict]:
        """Return the verdict on every event.

        Args:
            events: each with the committee that it must be of, by their digests.
            together: whether most are expected to be valid. Their signatures are then verified in
                groups, which takes half the time, and one by one only in a group that fails.
        """
        digests, size = list(events), GROUP_SIZE if together else 1
        verdicts: dict[bytes, Verdict] = {}
        for at in range(0, len(digests), size):
            group = digests[at : at + size]
            found = self._verify_group([events[digest] for digest in group])
            verdicts.update(zip(group, found, strict=True))
        for digest, verdict in verdicts.items():
            if verdict is not None:
                self._remember(digest, verdict)
        return verdicts

    def _verify_group(self, events: Sequence[tuple[Event, Committee]]) -> list[Verdict]:
        if len(events) > 1 and self._are_valid(events):
            return [None] * len(events)
        return [self._verify_one(event, committee) for event, committee in events]

    def _are_valid(self, events: Sequence[tuple[Event, Committee]]) -> bool:
        verifier = BatchVerifier(self._entropy)
        try:
            for event, committee in events:
                verifier(event, committee)
        except CertificateError:
            return False
        valid = verifier.verify()
        _pause()
        return valid

    def _verify_one(self, event: Event, committee: Committee) -> Verdict:
        try:
            event.verify(committee)
        except CertificateError as error:
            return Reason.of(error)
        finally:
            _pause()
        return None

    def _remember(self, digest: bytes, reason: Reason) -> None:
        self._forgeries[digest] = reason
        if len(self._forgeries) > MAX_REMEMBERED_FORGERIES:
            self._forgeries.popitem(last=False)


def _pause() -> None:
    """Give the interpreter lock to a thread that waits for it."""
    sleep(PAUSE_MICROSECONDS / 1_000_000)
