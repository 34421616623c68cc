"""Verifies the signatures of beats, with a limit for what strangers can cost.

Anybody may send beats with false signatures. They must neither take much processor time, nor keep
out the beats of the machine itself, which may send from any address. So an address is familiar from
its last genuine beat, and only the beats from other addresses share a limit.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import Final

from dragon.node.admission import Client
from dragon.node.rate_limits import ProcessorShare, Rate
from dragon.protocol.beats import SignedBeat
from dragon.protocol.target_checks import HeartbeatCheck

# Processor time, in milliseconds at once and in milliseconds for each second, for signatures of
# beats from unknown addresses.
UNKNOWN_BURST_MS: Final = 25.0  # at once, for beats from one unknown address
UNKNOWN_MS_PER_SECOND: Final = 5.0  # for beats from one unknown address
UNKNOWNS_BURST_MS: Final = 250.0  # at once, for beats from all unknown addresses together
UNKNOWNS_MS_PER_SECOND: Final = 50.0  # for beats from all unknown addresses together


class BeatVerifier:
    """Verifies signatures of beats. Thread-safe."""

    def __init__(self, monotonic: Callable[[], float], processor: Callable[[], float]) -> None:
        """Args: `monotonic` returns seconds; `processor`, the processor seconds of this thread."""
        self._processor = processor
        self._unknown = ProcessorShare(
            "beats",
            Rate(UNKNOWN_BURST_MS, UNKNOWN_MS_PER_SECOND),
            Rate(UNKNOWNS_BURST_MS, UNKNOWNS_MS_PER_SECOND),
            monotonic,
        )
        self._lock = threading.Lock()  # guards the next line
        # The address of the last genuine beat, by the target or by the operator that passed it on.
        self._addresses: dict[str, str] = {}

    def verify(
        self,
        signed: SignedBeat,
        check: HeartbeatCheck,
        network_id: bytes,
        *,
        sender: Client,
        passed_on_by: str,
    ) -> None:
        """Verify a signature.

        Args:
            sender: the client that sent the beat.
            passed_on_by: the operator that says it has passed the beat on; empty: no operator.

        Raises RateLimited, InvalidSignature, BadSignature.
        """
        source = passed_on_by or signed.node_id
        if sender.is_member or self._is_familiar(source, sender):
            signed.verify(check, network_id)
        else:
            self._verify_unknown(signed, check, network_id, sender)
        with self._lock:
            self._addresses[source] = sender.share

    def keep(self, ids: Collection[str]) -> None:
        """Forget the addresses of all other nodes."""
        with self._lock:
            self._addresses = {
                each: address for each, address in self._addresses.items() if each in ids
            }

    def _is_familiar(self, source: str, sender: Client) -> bool:
        with self._lock:
            return self._addresses.get(source) == sender.share

    def _verify_unknown(
        self, signed: SignedBeat, check: HeartbeatCheck, network_id: bytes, sender: Client
    ) -> None:
        buckets, begun = self._unknown.admit(sender.share), self._processor()
        try:
            signed.verify(check, network_id)
        finally:
            self._unknown.settle(buckets, 1000 * (self._processor() - begun))
