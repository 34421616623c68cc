"""Probe nodes: is a node up, as seen from this service, now?

Each node has at most one probe at a time. A result is shared by all callers for one second, so that
many requests cause few probes. Addresses come from the committee only.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor, Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from typing import Final

from prometheus_client import Counter, Histogram

from dragon.errors import PeerError
from dragon.net.operator_client import OperatorClient
from dragon.net.operator_keys import KeysOf, listed_keys
from dragon.net.runtime import Runtime
from dragon.protocol.claims.status import Status
from dragon.protocol.committee import Committee, Seated

RESULT_TTL_SECONDS: Final = 1.0  # how long a result is shared
NONCE_BYTES: Final = 16
_BUCKETS_SECONDS: Final = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
NOT_LISTED: Final = "not_listed"  # why a node is not probed: no committee lists it any more
STATUS_CODE: Final = "status_code"  # why an operator's answer is none: its HTTP status


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The result of one probe. The status is `down` if there was no valid answer in time."""

    node_id: str
    status: Status
    reason: str  # "answered", or a fault: timeout, refused, dns, tls, status_302, bad_signature, …
    begun: float  # monotonic seconds
    begun_at: float  # Unix seconds
    latency_ms: int
    offset_ms: int | None  # the node's clock minus the local one of `begun_at`; None if unsigned

    @property
    def certain_offset_ms(self) -> int | None:
        """The offset, reduced by the part that network latency can explain."""
        if self.offset_ms is None:
            return None
        certain = max(0, abs(self.offset_ms) - self.latency_ms // 2)
        return certain if self.offset_ms > 0 else -certain

    @property
    def answered(self) -> bool:
        return self.status is Status.UP


@dataclass(frozen=True, slots=True)
class _RunningProbe:
    future: Future[ProbeResult]
    begun: tuple[float, float]  # monotonic and Unix seconds


class Prober:
    """Probes the nodes of a committee, with one thread for each node.

    A probe that hangs, for example in a name lookup, delays only the results of that node.
    """

    def __init__(
        self,
        seated: Seated,
        runtime: Runtime,
        *,
        myself: str | None = None,
        on_result: Callable[[ProbeResult], None] = lambda _: None,
        keys_of: KeysOf | None = None,
    ) -> None:
        """Create a prober.

        Args:
            myself: the id of the local node, which is up without a probe.
            on_result: called with the result of each probe, on any thread.
            keys_of: returns the keys with which an operator may sign its answer; by default the
                one that the committee lists.
        """
        self._keys_of = keys_of or listed_keys(seated)
        self._seated = seated
        self._committee = seated.committee  # as of the last probe
        self._http = runtime.http
        self._workers = runtime.workers
        self._threads = len(seated.committee.urls)
        self._executor = runtime.workers(self._threads)
        self._wall = runtime.wall
        self._monotonic = runtime.monotonic
        self._entropy = runtime.entropy
        self._myself = myself
        self._on_result = on_result
        self.counter = Counter(
            "datadragon_probes", "Finished probes by result.", ["reason"], registry=None
        )
        self._seconds = Histogram(
            "datadragon_probe_seconds",
            "Response time of a node, in seconds, of the probes that it answered.",
            ["node_id"],
            buckets=_BUCKETS_SECONDS,
            registry=None,
        )
        self.counters = (self.counter, self._seconds)  # for Prometheus
        self._lock = threading.RLock()  # reentrant: an executor may run the probe within `submit`
        self._last: dict[str, ProbeResult] = {}
        self._running: dict[str, _RunningProbe] = {}

    def probe(
        self, node_ids: Iterable[str], max_age: float = RESULT_TTL_SECONDS
    ) -> Mapping[str, ProbeResult]:
        """Probe nodes in parallel.

        Args:
            node_ids: ids of nodes of the committee.
            max_age: seconds for which an earlier result may be returned instead; negative for a
                new probe in any case.

        Returns:
            The result of each node, after at most one probe deadline. A node that a handover has
            just removed is down with the reason `not_listed`.
        """
        committee = self._update_committee()
        begun = {node_id: self._begin(committee, node_id, max_age) for node_id in node_ids}
        ends = self._monotonic() + committee.rounds.probe_deadline_seconds
        return {node_id: self._await(node_id, seen, ends) for node_id, seen in begun.items()}

    def latest(self, node_id: str) -> ProbeResult | None:
        """Return the latest result of a node, at whose request it may be; None if there is none."""
        with self._lock:
            return self._last.get(node_id)

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _update_committee(self) -> Committee:
        """Return the committee that holds. Forget results of nodes that it moves or removes."""
        with self._lock:
            before, committee = self._committee, self._seated.committee
            if committee is not before:
                self._committee = committee
                for node_id in [
                    each for each, url in before.urls.items() if committee.urls.get(each) != url
                ]:
                    self._last.pop(node_id, None)
            return committee

    def _begin(
        self, committee: Committee, node_id: str, max_age: float
    ) -> ProbeResult | _RunningProbe:
        moment = (self._monotonic(), self._wall())
        if node_id == self._myself:
            return self._result(node_id, Status.UP, "myself", moment)
        if node_id not in committee.urls:
            return self._result(node_id, Status.DOWN, NOT_LISTED, moment)
        with self._lock:
            last, running = self._last.get(node_id), self._running.get(node_id)
            if running is not None:
                return running
            if last is not None and moment[0] - last.begun <= max_age:
                return last
            executor = self._enough_threads(len(committee.urls))
            future = executor.submit(self._run, committee, node_id, moment)
            running = self._running[node_id] = _RunningProbe(future, moment)
        running.future.add_done_callback(lambda _: self._remove_running(node_id))
        return running

    def _run(self, committee: Committee, node_id: str, begun: tuple[float, float]) -> ProbeResult:
        """Run the probe. Called on a thread of the executor."""
        result = self._probe_node(committee, node_id, begun)
        self.counter.labels(_without_number(result.reason)).inc()
        if result.answered:
            self._seconds.labels(node_id).observe(result.latency_ms / 1000)
        with self._lock:
            if self._committee.urls.get(node_id) == committee.urls[node_id]:
                self._last[node_id] = result
        self._on_result(result)
        return result

    def _remove_running(self, node_id: str) -> None:
        with self._lock:
            self._running.pop(node_id, None)

    def _enough_threads(self, nodes: int) -> Executor:
        """Return an executor with a thread for each node. The caller holds the lock.

        A handover may add nodes. What runs on the former threads ends there.
        """
        if nodes > self._threads:
            former, self._threads = self._executor, nodes
            self._executor = self._workers(nodes)
            former.shutdown(wait=False)
        return self._executor

    def _await(self, node_id: str, begun: ProbeResult | _RunningProbe, ends: float) -> ProbeResult:
        if isinstance(begun, ProbeResult):
            return begun
        try:
            return begun.future.result(timeout=max(0.0, ends - self._monotonic()))
        except FutureTimeout:
            result = self._result(node_id, Status.DOWN, "timeout", begun.begun)
            self._on_result(result)
            return result

    def _probe_node(
        self, committee: Committee, node_id: str, begun: tuple[float, float]
    ) -> ProbeResult:
        """Probe one node. Never raises: every failure is returned as a DOWN result."""
        try:
            if node_id in committee.keys:
                return self._probe_operator(committee, node_id, begun)
            return self._probe_target(committee, node_id, begun)
        except PeerError as error:
            reason = str(error.facts.get("reason", error.name))
            if reason == STATUS_CODE:
                reason = f"status_{error.facts['status']}"
            return self._result(node_id, Status.DOWN, reason, begun)

    def _probe_operator(
        self, committee: Committee, node_id: str, begun: tuple[float, float]
    ) -> ProbeResult:
        client = OperatorClient(committee, node_id, self._http, self._keys_of(node_id))
        answer = client.status(
            self._entropy(NONCE_BYTES), deadline=committee.rounds.probe_deadline_seconds
        )
        # Not by the wall clock, which may be set during the probe: the offset is that at its start.
        middle = begun[1] + (self._monotonic() - begun[0]) / 2
        reason = "answered" if answer.status is Status.UP else "says_down"
        offset = answer.time_ms - round(1000 * middle)
        return self._result(node_id, answer.status, reason, begun, offset)

    def _probe_target(
        self, committee: Committee, node_id: str, begun: tuple[float, float]
    ) -> ProbeResult:
        response = self._http.get(
            committee.urls[node_id], deadline=committee.rounds.probe_deadline_seconds
        )
        if response.status != 200:
            return self._result(node_id, Status.DOWN, f"status_{response.status}", begun)
        return self._result(node_id, Status.UP, "answered", begun)

    def _result(
        self,
        node_id: str,
        status: Status,
        reason: str,
        begun: tuple[float, float],
        offset_ms: int | None = None,
    ) -> ProbeResult:
        latency = round(1000 * (self._monotonic() - begun[0]))
        return ProbeResult(node_id, status, reason, *begun, latency, offset_ms)


def _without_number(reason: str) -> str:
    """The reason as a label of a metric, of which there may be few."""
    return STATUS_CODE if reason.startswith("status_") else reason
