"""Probe nodes: is a node up, as seen from this service, now?

Each node has at most one probe at a time. A result is shared by all callers for one second, so that
many requests cause few probes. Addresses come from the committee only.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from typing import Final

from prometheus_client import Counter, Histogram

from dragon.errors import PeerError
from dragon.net.operator_client import OperatorClient
from dragon.net.runtime import Runtime
from dragon.protocol.claims.status import Status
from dragon.protocol.committee import Committee

RESULT_TTL_SECONDS: Final = 1.0  # how long a result is shared
NONCE_BYTES: Final = 16
_BUCKETS_SECONDS: Final = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
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
        committee: Committee,
        runtime: Runtime,
        *,
        myself: str | None = None,
        on_result: Callable[[ProbeResult], None] = lambda _: None,
    ) -> None:
        """Args: `myself`, the id of the local node, which is up without a probe; `on_result`,
        called with the result of each probe, on any thread.
        """
        self._committee = committee
        self._http = runtime.http
        self._executor = runtime.workers(len(committee.urls))
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
            The result of each node, after at most one probe deadline.
        """
        begun = {node_id: self._begin(node_id, max_age) for node_id in node_ids}
        ends = self._monotonic() + self._committee.rounds.probe_deadline_seconds
        return {node_id: self._await(node_id, seen, ends) for node_id, seen in begun.items()}

    def latest(self, node_id: str) -> ProbeResult | None:
        """Return the latest result of a node, at whose request it may be; None if there is none."""
        with self._lock:
            return self._last.get(node_id)

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _begin(self, node_id: str, max_age: float) -> ProbeResult | _RunningProbe:
        if node_id == self._myself:
            return self._result(node_id, Status.UP, "myself", (self._monotonic(), self._wall()))
        with self._lock:
            last, running = self._last.get(node_id), self._running.get(node_id)
            if running is not None:
                return running
            begun = (self._monotonic(), self._wall())
            if last is not None and begun[0] - last.begun <= max_age:
                return last
            running = _RunningProbe(self._executor.submit(self._run, node_id, begun), begun)
            self._running[node_id] = running
        running.future.add_done_callback(lambda _: self._remove_running(node_id))
        return running

    def _run(self, node_id: str, begun: tuple[float, float]) -> ProbeResult:
        """Run the probe. Called on a thread of the executor."""
        result = self._probe_node(node_id, begun)
        self.counter.labels(_without_number(result.reason)).inc()
        if result.answered:
            self._seconds.labels(node_id).observe(result.latency_ms / 1000)
        with self._lock:
            self._last[node_id] = result
        self._on_result(result)
        return result

    def _remove_running(self, node_id: str) -> None:
        with self._lock:
            self._running.pop(node_id, None)

    def _await(self, node_id: str, begun: ProbeResult | _RunningProbe, ends: float) -> ProbeResult:
        if isinstance(begun, ProbeResult):
            return begun
        try:
            return begun.future.result(timeout=max(0.0, ends - self._monotonic()))
        except FutureTimeout:
            result = self._result(node_id, Status.DOWN, "timeout", begun.begun)
            self._on_result(result)
            return result

    def _probe_node(self, node_id: str, begun: tuple[float, float]) -> ProbeResult:
        """Probe one node. Never raises: every failure is returned as a DOWN result."""
        deadline = self._committee.rounds.probe_deadline_seconds
        try:
            if node_id in self._committee.keys:
                return self._probe_operator(node_id, begun, deadline)
            return self._probe_target(node_id, begun, deadline)
        except PeerError as error:
            reason = str(error.facts.get("reason", error.name))
            if reason == STATUS_CODE:
                reason = f"status_{error.facts['status']}"
            return self._result(node_id, Status.DOWN, reason, begun)

    def _probe_operator(
        self, node_id: str, begun: tuple[float, float], deadline: float
    ) -> ProbeResult:
        client = OperatorClient(self._committee, node_id, self._http)
        answer = client.status(self._entropy(NONCE_BYTES), deadline=deadline)
        # Not by the wall clock, which may be set during the probe: the offset is that at its start.
        middle = begun[1] + (self._monotonic() - begun[0]) / 2
        reason = "answered" if answer.status is Status.UP else "says_down"
        offset = answer.time_ms - round(1000 * middle)
        return self._result(node_id, answer.status, reason, begun, offset)

    def _probe_target(
        self, node_id: str, begun: tuple[float, float], deadline: float
    ) -> ProbeResult:
        response = self._http.get(self._committee.urls[node_id], deadline=deadline)
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
