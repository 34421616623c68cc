"""Token buckets of processor time: how much of it the requests of an address may use.

A bucket holds milliseconds of processor time and is refilled at a fixed rate. A request is admitted
while the buckets that it uses are not empty. It is charged afterwards with the time that it took,
so that expensive input costs its sender more. A bucket may fall below zero; then it is empty until
the debt is repaid.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from dragon.errors import RateLimited

MAX_ADDRESSES: Final = 4096  # addresses whose buckets are remembered, the last used ones
ADVANCE_MS: Final = 5.0  # charged on admission, so that concurrent requests do not go unnoticed
MIN_COST_MS: Final = 1.0  # of a request: what parsing and routing take


@dataclass(frozen=True, slots=True)
class Rate:
    """How much processor time a bucket holds, and how quickly it is refilled."""

    capacity_ms: float
    per_second_ms: float


@dataclass(slots=True)
class Bucket:
    """A token bucket. `now` is in monotonic seconds."""

    rate: Rate
    refilled_at: float
    level_ms: float = field(init=False)

    def __post_init__(self) -> None:
        self.level_ms = self.rate.capacity_ms

    def refill(self, now: float) -> None:
        gained = max(0.0, now - self.refilled_at) * self.rate.per_second_ms
        self.refilled_at = now
        self.add(gained)

    def add(self, milliseconds: float) -> None:
        """Add or, if negative, take milliseconds."""
        self.level_ms = min(self.rate.capacity_ms, self.level_ms + milliseconds)

    def seconds_until_open(self) -> float:
        """Seconds until the bucket has enough for a request; 0 if it is not empty."""
        if self.level_ms > 0:
            return 0.0
        return (ADVANCE_MS - self.level_ms) / self.rate.per_second_ms


class ProcessorShare:
    """The processor time that a group of clients may use: each address, and all together.

    A million addresses cannot take more than the total, and one address cannot take all of it.
    """

    def __init__(
        self,
        name: str,
        per_address: Rate,
        total: Rate | None,
        monotonic: Callable[[], float],
    ) -> None:
        """Make full buckets; `total` None: only each address is limited."""
        self.name = name
        self._per_address = per_address
        self._monotonic = monotonic
        self._lock = threading.Lock()  # guards the buckets
        self._total = None if total is None else Bucket(total, monotonic())
        self._addresses: OrderedDict[str, Bucket] = OrderedDict()

    def __len__(self) -> int:
        """The number of remembered addresses."""
        return len(self._addresses)

    def admit(self, address: str) -> Sequence[Bucket]:
        """Charge a new request of an address in advance. Returns the buckets for `settle`.

        Raises RateLimited: a bucket is empty. `retry_after` is in seconds.
        """
        with self._lock:
            now = self._monotonic()
            buckets = [self._bucket(address, now)]
            if self._total is not None:
                buckets.append(self._total)
            for bucket in buckets:
                bucket.refill(now)
            if (wait := max(bucket.seconds_until_open() for bucket in buckets)) > 0:
                raise _refusal(own=buckets[0].level_ms <= 0, seconds=math.ceil(wait))
            for bucket in buckets:
                bucket.add(-ADVANCE_MS)
        return buckets

    def settle(self, buckets: Sequence[Bucket], milliseconds: float) -> None:
        """Charge what an admitted request took, in place of the advance."""
        with self._lock:
            for bucket in buckets:
                bucket.add(ADVANCE_MS - max(MIN_COST_MS, milliseconds))

    def _bucket(self, address: str, now: float) -> Bucket:
        if (bucket := self._addresses.get(address)) is None:
            bucket = self._addresses[address] = Bucket(self._per_address, now)
        self._addresses.move_to_end(address)
        if len(self._addresses) > MAX_ADDRESSES:
            self._addresses.popitem(last=False)
        return bucket


def _refusal(*, own: bool, seconds: int) -> RateLimited:
    whose = "this address" if own else "all clients outside the committee together"
    message = (
        f"the requests of {whose} have used their processor time; try again in {seconds} seconds"
    )
    return RateLimited(message, retry_after=seconds)
