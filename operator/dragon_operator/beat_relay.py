"""Passes beats of targets on to the other operators, and to the aggregators that are listed.

Only beats that came from the target itself are passed on, each once, so none goes in circles. Each
member has one thread and the newest beat of each target. What cannot be delivered is dropped: a
target sends its next beat soon, to other operators too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Final

from prometheus_client import Counter

from dragon.errors import BeatNotLater, DragonError, PeerError
from dragon.net.beat_client import BeatClient
from dragon.net.http_client import HttpClient
from dragon.net.per_member import PerMember
from dragon.net.runtime import Runtime
from dragon.protocol.beats import SignedBeat
from dragon.protocol.committee import Committee, Seated

DELIVERY_TIMEOUT_SECONDS: Final = 2.0  # for one member to take a beat
MAX_WAIT_SECONDS: Final = 10.0  # a beat that has waited longer for a member is dropped


class _Queue:
    """The beats that wait for one member, at most one of each target, and its thread."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self.waiting: dict[str, tuple[SignedBeat, float]] = {}  # with monotonic seconds
        self.is_running = False


class BeatRelay:
    """Passes beats on, without delaying the target that sends them."""

    def __init__(self, seated: Seated, myself: str, runtime: Runtime) -> None:
        self._seated = seated
        self._myself = myself
        self._http: HttpClient = runtime.http
        self._monotonic = runtime.monotonic
        self._queues: PerMember[_Queue] = PerMember(
            lambda _: _Queue(runtime.workers(1)),
            lambda queue: queue.executor.shutdown(wait=False, cancel_futures=True),
        )
        # Reentrant: an executor may run the work within `submit`.
        self._lock = threading.RLock()  # guards the contents of the queues
        self.counter = Counter(
            "datadragon_beats_passed_on",
            "Beats passed on to members: delivered, known, refused, failed, or dropped unsent.",
            ["result"],
            registry=None,
        )

    @property
    def _committee(self) -> Committee:
        """The committee that holds now."""
        return self._seated.committee

    def pass_on(self, signed: SignedBeat) -> None:
        """Queue a beat for all other operators and all aggregators. Returns at once."""
        urls = self._urls()
        self._queues.keep(urls)
        for url in urls:
            self._queues.use(url, self._adding(url, signed))

    def _urls(self) -> list[str]:
        operators = [each.url for each in self._committee.operators if each.id != self._myself]
        aggregators = [each.url for each in self._committee.aggregators]
        return list(dict.fromkeys([*operators, *aggregators]))

    def _adding(self, url: str, signed: SignedBeat) -> Callable[[_Queue], None]:
        def add(queue: _Queue) -> None:
            with self._lock:
                if queue.waiting.pop(signed.node_id, None) is not None:
                    self.counter.labels("dropped").inc()  # a newer beat says the same
                queue.waiting[signed.node_id] = signed, self._monotonic()
                if queue.is_running:
                    return
                queue.is_running = True
            queue.executor.submit(self._empty, url, queue)

        return add

    def _empty(self, url: str, queue: _Queue) -> None:
        """Deliver what waits for a member, oldest first. Called on the member's thread."""
        try:
            while (signed := self._next(queue)) is not None:
                self.counter.labels(self._deliver(url, signed)).inc()
        finally:
            with self._lock:
                queue.is_running = False

    def _deliver(self, url: str, signed: SignedBeat) -> str:
        """Send a beat to one member. Return the result for the metric."""
        client = BeatClient(url, self._http)
        # Without a seat, this operator sends it as the target does: others pass it on.
        name = self._myself if self._myself in self._committee.keys else ""
        try:
            client.send(signed, deadline=DELIVERY_TIMEOUT_SECONDS, passed_on_by=name)
        except PeerError:
            return "failed"
        except BeatNotLater:
            return "known"  # another operator was faster with a later beat
        except DragonError:
            return "refused"
        return "delivered"

    def _next(self, queue: _Queue) -> SignedBeat | None:
        with self._lock:
            while queue.waiting:
                signed, since = queue.waiting.pop(next(iter(queue.waiting)))
                if self._monotonic() - since <= MAX_WAIT_SECONDS:
                    return signed
                self.counter.labels("dropped").inc()
            queue.is_running = False
            return None
