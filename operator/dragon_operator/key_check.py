"""Notices at the start that another service answers with this operator's key.

Two services with one key could sign the opposite of each other: each has a journal of its own. So
this one asks for a signed status at the operator's listed URL before it signs any claim. An answer
that this process has given itself shows that the URL leads here, through whatever proxy. An answer
that has the same key and was given elsewhere ends this process.

No other operator is needed, so a whole fleet can start at once. An operator that does not reach its
own URL, as behind some routers, signs after two rounds.
"""

from __future__ import annotations

import threading
from typing import Final

import structlog

from dragon.encoding import to_hex
from dragon.errors import DragonError, KeyInUse
from dragon.net.operator_client import decode_status
from dragon.net.runtime import Runtime
from dragon.probing.prober import NONCE_BYTES
from dragon.protocol import bls
from dragon.protocol.committee import Seated
from dragon.protocol.messages import StatusAnswer
from dragon_operator.approvals import Approvals
from dragon_operator.seat import Seat

WAIT_ROUNDS: Final = 2  # for which to look, and to wait while the own URL gives no own answer
MAX_WAIT_SECONDS: Final = 60.0  # with long rounds
OWN_ANSWERS: Final = 3  # in a row; a load balancer would lead some of them to the other service
PAUSE_SECONDS: Final = 0.25  # between two looks, while nothing is signed
CLEAR_PAUSE_SECONDS: Final = 1.0  # between two looks, later
DEADLINE_SECONDS: Final = 1.0  # for one answer
# A new connection for each request: a load balancer may choose by connection.
_NEW_CONNECTION: Final = {"Connection": "close"}

logger = structlog.stdlib.get_logger(__name__)


class KeyCheck:
    """Looks for another service with this operator's key. Any thread may ask `why_wait`."""

    def __init__(self, seated: Seated, seat: Seat, approvals: Approvals, runtime: Runtime) -> None:
        self._seated = seated
        self._seat = seat
        self._approvals = approvals
        self._http = runtime.http
        self._entropy = runtime.entropy
        self._monotonic = runtime.monotonic
        self._wait = min(float(WAIT_ROUNDS * seated.committee.rounds.seconds), MAX_WAIT_SECONDS)
        # The wait begins with the first look: reading a long log may take longer than all of it.
        self._ends: float | None = None
        self._is_clear = False  # whether our URL leads here
        self._lock = threading.Lock()  # guards the next line
        self._given: dict[bytes, set[bytes]] = {}  # by own nonce: signatures of our answers

    def note_answer(self, nonce: bytes, signature: bytes) -> None:
        """Note that this process has answered a status request with this signature."""
        with self._lock:
            if nonce in self._given:
                self._given[nonce].add(signature)

    def why_wait(self) -> str:
        """Return why no claim may be signed yet; empty if it may."""
        left = self._seconds_left()
        if left <= 0 or self._is_clear:
            return ""
        url = self._url()
        expected = f"until {url} leads here" if url else "until a committee lists this operator"
        return f"not known to be used here only; nothing is signed for {left:.0f} s, or {expected}"

    def run(self, stop: threading.Event) -> None:
        """Look until two rounds have passed. Raises KeyInUse."""
        while not stop.is_set() and self._seconds_left() > 0:
            self.look()
            stop.wait(CLEAR_PAUSE_SECONDS if not self.why_wait() else PAUSE_SECONDS)

    def look(self) -> None:
        """Ask at our URL. Nothing is signed before enough answers were our own. Raises KeyInUse."""
        if self._ends is None:
            self._ends = self._monotonic() + self._wait
        for _ in range(1 if self._is_clear else OWN_ANSWERS):
            url = self._url()
            if url is None or not self._is_own_answer(url):
                return
        self._is_clear = True

    def _seconds_left(self) -> float:
        return self._wait if self._ends is None else self._ends - self._monotonic()

    def _url(self) -> str | None:
        """Return where the committee that holds, or the approved next one, lists this operator."""
        for committee in (self._seated.committee, self._approvals.current()):
            if committee is not None and self._seat.operator in committee.keys:
                return committee.urls[self._seat.operator]
        return None

    def _is_own_answer(self, url: str) -> bool:
        """Ask for a signed status; return whether this process has answered. Raises KeyInUse."""
        nonce = self._entropy(NONCE_BYTES)
        with self._lock:
            self._given[nonce] = set()
        try:
            found = self._ask(url, nonce)
        finally:
            with self._lock:
                given = self._given.pop(nonce)
        if found is None or found[1] in given:
            return found is not None
        if found[0].nonce != nonce or not self._is_ours(*found):
            return False
        message = (
            f"another service answers at {url} with the key of {self._seat.operator}, and two "
            "services with one key could sign opposite claims; run only one of them: stop that "
            "service for good first, or do not start this one"
        )
        logger.error("key_in_use", url=url)
        raise KeyInUse(message, operator=self._seat.operator, url=url)

    def _ask(self, url: str, nonce: bytes) -> tuple[StatusAnswer, bytes] | None:
        """Return a status answer and its signature, not verified; None without one."""
        try:
            response = self._http.send(
                "GET",
                f"{url}/status",
                deadline=DEADLINE_SECONDS,
                params={"nonce": to_hex(nonce)},
                headers=_NEW_CONNECTION,
            )
            return decode_status(response.json())
        except DragonError:
            return None

    def _is_ours(self, answer: StatusAnswer, signature: bytes) -> bool:
        """Whether the answer has our id, and one of our keys has signed it."""
        root = answer.root(self._seated.committee.network_id)
        return answer.node_id == self._seat.operator and any(
            bls.is_signed(secret.public_key(), root, signature) for secret in self._seat.secrets
        )
