"""Admits suspicions: genuine ones, and each only once."""

from __future__ import annotations

import threading

from dragon.errors import BadSignature, OffRound, UnknownSigner
from dragon.net.operator_keys import KeysOf
from dragon.protocol import bls
from dragon.protocol.committee import Committee, Seated, check_node_id
from dragon.protocol.messages import Suspicion


class SuspicionFilter:
    """Verifies suspicions, and remembers those of the current rounds."""

    def __init__(self, seated: Seated, keys_of: KeysOf) -> None:
        """`keys_of`: returns the keys with which an operator may sign; none for anyone else."""
        self._seated = seated
        self._keys_of = keys_of
        self._lock = threading.Lock()  # guards the next line
        self._seen: set[tuple[str, str, int]] = set()  # operator, node, round

    @property
    def _committee(self) -> Committee:
        """The committee that holds now."""
        return self._seated.committee

    def check(self, suspicion: Suspicion, signature: bytes, number: int) -> None:
        """Check that an operator signed the suspicion, and that it is about round `number` ± 1.

        Raises UnknownSigner, UnknownNode, OffRound, BadSignature.
        """
        if not (keys := self._keys_of(suspicion.operator)):
            message = f"{suspicion.operator} is not an operator of the committee"
            raise UnknownSigner(message)
        check_node_id(self._committee, suspicion.node_id)
        rounds, timestamp = self._committee.rounds, suspicion.timestamp
        if not rounds.starts_at(timestamp) or abs(number - rounds.number(timestamp)) > 1:
            message = f"the suspicion's timestamp, {timestamp}, is not the start of a current round"
            raise OffRound(message, timestamp=timestamp)
        root = suspicion.root(self._committee.network_id)
        if not any(bls.is_signed(key, root, signature) for key in keys):
            raise BadSignature(f"the suspicion is not signed by {suspicion.operator}")

    def is_first(self, suspicion: Suspicion, number: int) -> bool:
        """True for the first suspicion of an operator about a node in round `number`."""
        key = (suspicion.operator, suspicion.node_id, number)
        with self._lock:
            if key in self._seen:
                return False
            # On both sides: the clock may have been set back.
            self._seen = {seen for seen in self._seen if abs(seen[2] - number) <= 1} | {key}
            return True
