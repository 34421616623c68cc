"""Submits batches: chooses a gateway, and decides which errors are worth another attempt."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from typing import Final

from dragon.errors import LedgerUnavailable
from dragon_sequencer.errors import GatewayError, GatewayRefused, SubmissionRefused
from dragon_sequencer.gateway import Gateway
from dragon_sequencer.gateway_pool import GatewayPool, Timeouts


class Retry(enum.Enum):
    """Where and when to submit the same batch again after an error."""

    LATER = "later"  # at any gateway, after a pause
    ELSEWHERE = "elsewhere"  # at any gateway but this one
    ONCE_ELSEWHERE = "once elsewhere"  # at one other: the batch may have crashed this one
    NEVER = "never"  # an honest gateway says that none will accept this batch


_BY_CODE: Final = {
    "IsPausedError": Retry.LATER,
    "NotSyncedError": Retry.LATER,
    "BatchesLimitExceededError": Retry.LATER,
    "IsNotPostingNodeError": Retry.ELSEWHERE,
    "BatchSizeExceededError": Retry.NEVER,  # permanent, despite its status 429
    "InvalidRequestError": Retry.NEVER,
    "InvalidNodeVersionError": Retry.NEVER,
}
_MAX_REMEMBERED_EVENTS: Final = 4096
ENOUGH_REFUSALS: Final = 2  # gateways that refuse a batch for good before it is given up
_TRANSIENT_STATUSES: Final = frozenset({408, 425, 429})


def classify(error: GatewayError) -> Retry:
    """Decide by the error's code if it is known, otherwise by the HTTP status."""
    if not isinstance(error, GatewayRefused):
        return Retry.LATER  # the batch may have arrived: it must be submitted unchanged
    if error.code in _BY_CODE:
        return _BY_CODE[error.code]
    if error.status == 500:
        return Retry.ONCE_ELSEWHERE
    if error.status > 500 or (error.status in _TRANSIENT_STATUSES and not error.code):
        return Retry.LATER
    return Retry.NEVER


class Sender:
    """Submits to one gateway after the other until a batch is accepted."""

    def __init__(
        self,
        app: str,
        gateways: GatewayPool,
        timeouts: Timeouts,
        *,
        monotonic: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._app, self._gateways, self._timeouts = app, gateways, timeouts
        self._monotonic, self._sleep = monotonic, sleep
        self._sent: dict[int, None] = {}  # hashes of sent events, the newest last

    def begin(self, events: Iterable[bytes]) -> None:
        """Choose the gateway for these events: another one if any of them was sent before.

        An event is sent again because it did not appear in the log; the gateway that accepted it
        may not forward batches. Otherwise the gateway stays the same, which preserves the order.
        """
        hashes = [hash(event) for event in events]
        if any(known in self._sent for known in hashes):
            self._gateways.leave(self._gateways.current, "sent_again")
        for known in hashes:
            self._sent.pop(known, None)
            self._sent[known] = None
        for oldest in list(self._sent)[:-_MAX_REMEMBERED_EVENTS]:
            del self._sent[oldest]

    def submit(self, batch: str, *, deadline: float, accepted: int) -> None:
        """Submit one batch.

        Args:
            batch: its text.
            deadline: on the monotonic clock, in seconds.
            accepted: number of earlier batches of the same call, for the facts of an error.

        Raises:
            SubmissionRefused: two gateways, or the only one, will never accept this batch. One of
                several may refuse it because it is faulty or lies.
            LedgerUnavailable: no gateway accepted it in time.
        """
        left = list(self._gateways.circle())
        refusals: list[GatewayError] = []
        while True:
            for gateway in list(left):
                seconds = min(deadline - self._monotonic(), self._timeouts.request_seconds)
                if seconds <= 0:
                    raise _too_late(refusals, accepted)
                error = self._try(gateway, batch, seconds)
                if error is None:
                    return
                retry = classify(error)
                if retry is not Retry.LATER:
                    left.remove(gateway)
                if retry in {Retry.NEVER, Retry.ONCE_ELSEWHERE}:
                    refusals.append(error)
                if len(refusals) == ENOUGH_REFUSALS or not left:
                    raise _refused(error, len(refusals), accepted)
            self._sleep(self._timeouts.retry_seconds)

    def _try(self, gateway: Gateway, batch: str, seconds: float) -> GatewayError | None:
        try:
            gateway.submit(self._app, batch, seconds=seconds)
        except GatewayError as error:
            self._gateways.leave(gateway, error.name)
            return error
        self._gateways.use(gateway)
        return None


def _refused(error: GatewayError, refusals: int, accepted: int) -> SubmissionRefused:
    number = {0: "every gateway", 1: "the only gateway that takes batches"}
    who = number.get(refusals, f"{refusals} gateways")
    return SubmissionRefused(f"{who} refused the batch: {error}", accepted=accepted, **error.facts)


def _too_late(refusals: list[GatewayError], accepted: int) -> LedgerUnavailable:
    why = f"; one gateway refused it: {refusals[0]}" if refusals else ""
    return LedgerUnavailable(
        f"no gateway accepted the batch in time; send it again later{why}", accepted=accepted
    )
