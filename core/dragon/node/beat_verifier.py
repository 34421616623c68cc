"""Verifies the signatures of beats, with a limit for what strangers can cost.

Anybody may send beats with false signatures. They must neither take much processor time, nor keep
out the beats of the machine itself, which may send from any address. So an address is familiar from
its last genuine beat, and only the beats from other addresses share a limit.

Who passed a beat on is not signed. The owner of one target can name any operator, and must not make
others forget the address of that operator. So each source has several familiar addresses.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
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
MAX_FAMILIAR: Final = 3  # addresses of one target, or of one operator that passes beats on
_SEVERAL: Final = ""  # instead of a target: beats of several targets came from an address


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
        # The addresses of the last genuine beats, by the target or by the operator that passed them
        # on; with the target.
        self._addresses: dict[str, OrderedDict[str, str]] = {}

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
            _note(self._addresses.setdefault(source, OrderedDict()), sender.share, signed.node_id)

    def keep(self, ids: Collection[str]) -> None:
        """Forget the addresses of all other nodes."""
        with self._lock:
            self._addresses = {
                each: familiar for each, familiar in self._addresses.items() if each in ids
            }

    def _is_familiar(self, source: str, sender: Client) -> bool:
        with self._lock:
            return sender.share in self._addresses.get(source, ())

    def _verify_unknown(
        self, signed: SignedBeat, check: HeartbeatCheck, network_id: bytes, sender: Client
    ) -> None:
        buckets, begun = self._unknown.admit(sender.share), self._processor()
        try:
            signed.verify(check, network_id)
        finally:
            self._unknown.settle(buckets, 1000 * (self._processor() - begun))


def _note(familiar: OrderedDict[str, str], address: str, node_id: str) -> None:
    """Add an address, from which a genuine beat of the target came.

    Beyond `MAX_FAMILIAR`, an address of the same target alone is forgotten first, and one from
    which beats of several targets came last.
    """
    others = [each for each in familiar if each != address]
    if len(others) >= MAX_FAMILIAR:
        order = {node_id: 0, _SEVERAL: 2}
        del familiar[min(others, key=lambda each: order.get(familiar[each], 1))]
    before = familiar.pop(address, node_id)
    familiar[address] = node_id if before == node_id else _SEVERAL
