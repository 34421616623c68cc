"""Handing in a batch: at which gateway, and which refusals are worth another try."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from typing import Final

from dragon.errors import LedgerUnavailable
from dragon_sequencer.errors import GatewayError, GatewayRefused, SubmissionRefused
from dragon_sequencer.gateway import Gateway
from dragon_sequencer.gateway_pool import Gateways, Patience


class Verdict(enum.Enum):
    """What an answer to a submission means for the next try of the same text."""

    LATER = "later"  # here or elsewhere, after a while
    ELSEWHERE = "elsewhere"  # never again at this gateway
    ONCE_ELSEWHERE = "once elsewhere"  # it crashed; perhaps because of this very text
    NEVER = "never"  # no gateway will ever take it


_BY_CODE: Final = {
    "IsPausedError": Verdict.LATER,
    "NotSyncedError": Verdict.LATER,
    "BatchesLimitExceededError": Verdict.LATER,
    "IsNotPostingNodeError": Verdict.ELSEWHERE,
    "BatchSizeExceededError": Verdict.NEVER,  # it comes with status 429 and is permanent
    "InvalidRequestError": Verdict.NEVER,
    "InvalidNodeVersionError": Verdict.NEVER,
}
_REMEMBERED: Final = 4096  # events
_PASSING: Final = frozenset({408, 425, 429})


def judge(error: GatewayError) -> Verdict:
    """By the error's code if it has one that we know, else by the status."""
    if not isinstance(error, GatewayRefused):
        return Verdict.LATER  # nobody knows whether it arrived: the same text goes out again
    if error.code in _BY_CODE:
        return _BY_CODE[error.code]
    if error.status == 500:
        return Verdict.ONCE_ELSEWHERE
    if error.status > 500 or (error.status in _PASSING and not error.code):
        return Verdict.LATER
    return Verdict.NEVER


class Sender:
    """Tries one gateway after the other until a batch is taken."""

    def __init__(
        self,
        app: str,
        gateways: Gateways,
        patience: Patience,
        *,
        monotonic: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._app, self._gateways, self._patience = app, gateways, patience
        self._monotonic, self._sleep = monotonic, sleep
        self._sent: dict[int, None] = {}  # hashes of events, the latest last

    def begin(self, events: Iterable[bytes]) -> None:
        """Choose the gateway for these events: another one if any of them is sent again.

        Who sends an event again has not seen it in the log, and the gateway that took it may be one
        that hands nothing on. Apart from that a sender keeps its gateway, and thereby its order.
        """
        hashes = [hash(event) for event in events]
        if any(known in self._sent for known in hashes):
            self._gateways.leave(self._gateways.current, "sent_again")
        for known in hashes:
            self._sent.pop(known, None)
            self._sent[known] = None
        for oldest in list(self._sent)[:-_REMEMBERED]:
            del self._sent[oldest]

    def submit(self, batch: str, *, deadline: float, accepted: int) -> None:
        """Hand in one batch, by `deadline` on the monotonic clock.

        `accepted` is how many batches of the same call were taken before, for the error's facts.

        Raises:
            SubmissionRefused: this batch will never be taken.
            LedgerUnavailable: nobody took it in time.
        """
        left = list(self._gateways.circle())
        crashes = 0
        while True:
            for gateway in list(left):
                seconds = min(deadline - self._monotonic(), self._patience.request_seconds)
                if seconds <= 0:
                    raise LedgerUnavailable("no gateway took the batch in time", accepted=accepted)
                error = self._try(gateway, batch, seconds)
                if error is None:
                    return
                verdict = judge(error)
                crashes += verdict is Verdict.ONCE_ELSEWHERE
                if verdict in {Verdict.ELSEWHERE, Verdict.ONCE_ELSEWHERE}:
                    left.remove(gateway)
                if verdict is Verdict.NEVER or crashes == 2 or not left:
                    raise SubmissionRefused(str(error), accepted=accepted, **error.facts)
            self._sleep(self._patience.retry_pause)

    def _try(self, gateway: Gateway, batch: str, seconds: float) -> GatewayError | None:
        try:
            gateway.submit(self._app, batch, seconds=seconds)
        except GatewayError as error:
            self._gateways.leave(gateway, error.name)
            return error
        self._gateways.use(gateway)
        return None
