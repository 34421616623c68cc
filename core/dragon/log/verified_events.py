"""Certificates that this process has verified, so that its log need not verify them again.

An aggregator verifies each certificate that it combines, and reads it from the ledger soon after.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from typing import Final, TypeAlias

from dragon.protocol.certificate import Certificate
from dragon.protocol.committee import Committee
from dragon.protocol.event import Event

MAX_VERIFIED: Final = 1024  # certificates that are remembered, about 300 bytes each

_Key: TypeAlias = tuple[bytes, bytes]  # digest of the certificate, id of the committee


def digest(event: Event) -> bytes:
    """Return the SHA-256 of the event's JSON with sorted members, signature included."""
    # Not `canonical`, which is slower: only this process compares these digests.
    return hashlib.sha256(json.dumps(event.to_json(), sort_keys=True).encode()).digest()


class VerifiedEvents:
    """The newest certificates that were found valid. Any thread may use it.

    The verdict on a certificate depends on the certificate and the committee alone. Both are in the
    key as a whole: the digest covers claim, signers, key, signature and committee id, and the id of
    a committee is the hash of its file. So what is remembered never changes a verdict.
    """

    def __init__(self, most: int = MAX_VERIFIED) -> None:
        self._most = most
        self._lock = threading.Lock()  # guards the next line
        self._valid: OrderedDict[_Key, None] = OrderedDict()

    def verify(self, certificate: Certificate, committee: Committee) -> None:
        """Verify a certificate, and remember that it is valid. Raises CertificateError."""
        certificate.verify(committee)
        with self._lock:
            self._valid[digest(certificate), committee.id] = None
            if len(self._valid) > self._most:
                self._valid.popitem(last=False)

    def knows(self, event_digest: bytes, committee: Committee) -> bool:
        """Whether `verify` has found the event with this digest valid for this committee."""
        with self._lock:
            return (event_digest, committee.id) in self._valid
