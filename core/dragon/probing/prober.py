"""Probe nodes: is a node up, as seen from this service, now?

Each node has at most one probe at a time. A result is shared by all callers for one second, so that
many requests cause few probes. Addresses come from the committee only.

Nobody waits for a *slow* target longer than for other nodes: its check allows more time than the
probe of an operator has. Until its present look ends, the look before counts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor, Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import Counter, Histogram

from dragon.errors import PeerError
from dragon.net.operator_client import OperatorClient
from dragon.net.operator_keys import KeysOf, listed_keys
from dragon.net.runtime import Runtime
from dragon.probing.beats import LastBeat, no_beats
from dragon.probing.judgement import ANSWERED, STATUS_CODE, Judgement
from dragon.probing.probe_result import LOOKING, NOT_LISTED, ProbeResult
from dragon.probing.streaks import Streaks
from dragon.probing.target_look import TargetLooks, is_slow
from dragon.protocol.claims.status import Status
from dragon.protocol.committee import Committee, Seated

RESULT_TTL_SECONDS: Final = 1.0  # how long a result is shared
# How long the last look at a slow target counts: a look begins each round, and takes half a round.
SLOW_RESULT_TTL_ROUNDS: Final = 1.5
MAX_TARGET_THREADS: Final = 512  # beyond, a look begins when another one has ended
NONCE_BYTES: Final = 16
_BUCKETS_SECONDS: Final = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_MYSELF: Final = "myself"


@dataclass(slots=True)
class _RunningProbe:
    begun: tuple[float, float]  # monotonic and Unix seconds
    has_thread: bool = False
    future: Future[ProbeResult] = field(init=False)


class _Threads:
    """An executor that grows when a handover adds nodes."""

    def __init__(self, workers: Callable[[int], Executor], size: int) -> None:
        self._workers = workers
        self._size = size
        self._executor = workers(size)

    def enough(self, size: int) -> Executor:
        """Return an executor with that number of threads. What runs on the former one ends."""
        if size > self._size:
            former, self._size = self._executor, size
            self._executor = self._workers(size)
            former.shutdown(wait=False)
        return self._executor

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)


class Prober:
    """Probes the nodes of a committee, with one thread for each node.

    A probe that hangs, for example in a name lookup, delays only the results of that node. Targets
    have threads of their own, so that operators never wait for them.
    """

    def __init__(
        self,
        seated: Seated,
        runtime: Runtime,
        *,
        myself: str | None = None,
        on_result: Callable[[ProbeResult], None] = lambda _: None,
        keys_of: KeysOf | None = None,
        last_beat: LastBeat = no_beats,
    ) -> None:
        """Create a prober.

        Args:
            myself: the id of the local node, which is up without a probe.
            on_result: called with the result of each probe, on any thread.
            keys_of: returns the keys with which an operator may sign its answer; by default the
                one that the committee lists.
            last_beat: returns what is known of the newest beat of a target.
        """
        self._keys_of = keys_of or listed_keys(seated)
        self._seated = seated
        self._committee = committee = seated.committee  # as of the last probe
        self._http = runtime.http
        self._looks = TargetLooks(runtime, last_beat)
        self._operator_threads = _Threads(runtime.workers, len(committee.keys))
        self._target_threads = _Threads(runtime.workers, _target_threads(committee))
        self._wall = runtime.wall
        self._monotonic = runtime.monotonic
        self._entropy = runtime.entropy
        self._myself = myself
        self._on_result = on_result
        self.streaks = Streaks()
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
            just removed is down with the reason `not_listed`. The result of a slow target is that
            of its last finished look, or has the reason `looking`.
        """
        committee = self._update_committee()
        begun = {node_id: self._begin(committee, node_id, max_age) for node_id in node_ids}
        ends = self._monotonic() + committee.rounds.probe_deadline_seconds
        return {
            node_id: self._await(committee, node_id, seen, ends) for node_id, seen in begun.items()
        }

    def latest(self, node_id: str) -> ProbeResult | None:
        """Return the latest result of a node, at whose request it may be; None if there is none."""
        self._collect(node_id)
        with self._lock:
            return self._last.get(node_id)

    def supports(self, node_id: str, status: Status) -> bool:
        """Whether enough looks in a row have found the node so; see `Streaks.supports`."""
        return self.streaks.supports(self._seated.committee, node_id, status)

    def close(self) -> None:
        self._operator_threads.close()
        self._target_threads.close()

    def _update_committee(self) -> Committee:
        """Return the committee that holds. Forget results of nodes that it changes or removes."""
        with self._lock:
            before, committee = self._committee, self._seated.committee
            if committee is not before:
                self._committee = committee
                for node_id in before.urls:
                    if not _is_same(before, committee, node_id):
                        self._last.pop(node_id, None)
                        self._running.pop(node_id, None)  # its result does not count any more
                        self.streaks.forget(node_id)
            return committee

    def _begin(
        self, committee: Committee, node_id: str, max_age: float
    ) -> ProbeResult | _RunningProbe:
        moment = (self._monotonic(), self._wall())
        if node_id == self._myself:
            return self._result(node_id, Judgement(Status.UP, _MYSELF), moment)
        if node_id not in committee.urls:
            return self._result(node_id, Judgement.down(NOT_LISTED), moment)
        self._collect(node_id)
        with self._lock:
            last, running = self._last.get(node_id), self._running.get(node_id)
            if running is not None:
                return running
            if last is not None and moment[0] - last.begun <= max_age:
                return last
            running = self._running[node_id] = _RunningProbe(moment)
            executor = self._executor(committee, node_id)
            running.future = executor.submit(self._run, committee, node_id, running)
        return running

    def _run(self, committee: Committee, node_id: str, running: _RunningProbe) -> ProbeResult:
        """Run the probe. Called on a thread of the executor."""
        running.has_thread = True
        result = self._probe_node(committee, node_id, running.begun)
        self.counter.labels(_without_number(result.reason)).inc()
        if result.answered:
            self._seconds.labels(node_id).observe(result.latency_ms / 1000)
        return result

    def _executor(self, committee: Committee, node_id: str) -> Executor:
        """Return an executor with enough threads. The caller holds the lock."""
        if node_id in committee.keys:
            return self._operator_threads.enough(len(committee.keys))
        return self._target_threads.enough(_target_threads(committee))

    def _collect(self, node_id: str) -> None:
        """Take the result of a probe that has ended, even if nobody waits for it."""
        with self._lock:
            running = self._running.get(node_id)
        if running is not None and running.future.done():
            self._finish(node_id, running, timeout=0.0)

    def _finish(self, node_id: str, running: _RunningProbe, timeout: float) -> ProbeResult:
        """Wait for the result of a probe, and note it once. Raises TimeoutError."""
        try:
            result = running.future.result(timeout)
        except FutureTimeout:
            raise
        except BaseException:  # without this, no other probe of the node could begin
            with self._lock:
                self._running.pop(node_id, None)
            raise
        with self._lock:
            if self._running.get(node_id) is running:
                del self._running[node_id]
                self._last[node_id] = result
                self._note(result)
        return result

    def _note(self, result: ProbeResult) -> None:
        self.streaks.add(self._committee, result)
        self._on_result(result)

    def _await(
        self,
        committee: Committee,
        node_id: str,
        begun: ProbeResult | _RunningProbe,
        ends: float,
    ) -> ProbeResult:
        if isinstance(begun, ProbeResult):
            return begun
        try:
            return self._finish(node_id, begun, max(0.0, ends - self._monotonic()))
        except FutureTimeout:
            return self._unfinished(committee, node_id, begun)

    def _unfinished(
        self, committee: Committee, node_id: str, running: _RunningProbe
    ) -> ProbeResult:
        """Return what counts for a node that has not answered within the deadline."""
        if running.has_thread and not is_slow(committee, node_id):
            result = self._result(node_id, Judgement.down("timeout"), running.begun)
            self._note(result)
            return result
        with self._lock:
            last = self._last.get(node_id)
        oldest = self._monotonic() - SLOW_RESULT_TTL_ROUNDS * committee.rounds.seconds
        if last is not None and last.begun >= oldest:
            return last
        return self._result(node_id, Judgement.down(LOOKING), running.begun)

    def _probe_node(
        self, committee: Committee, node_id: str, begun: tuple[float, float]
    ) -> ProbeResult:
        """Probe one node. Never raises: every failure is returned as a DOWN result."""
        if (target := committee.targets_by_id.get(node_id)) is not None:
            return self._result(node_id, self._looks.look(target, committee), begun)
        try:
            return self._probe_operator(committee, node_id, begun)
        except PeerError as error:
            return self._result(node_id, Judgement.failed(error), begun)

    def _probe_operator(
        self, committee: Committee, node_id: str, begun: tuple[float, float]
    ) -> ProbeResult:
        client = OperatorClient(committee, node_id, self._http, self._keys_of(node_id))
        answer = client.status(
            self._entropy(NONCE_BYTES), deadline=committee.rounds.probe_deadline_seconds
        )
        # Not by the wall clock, which may be set during the probe: the offset is that at its start.
        middle = begun[1] + (self._monotonic() - begun[0]) / 2
        reason = ANSWERED if answer.status is Status.UP else "says_down"
        offset = answer.time_ms - round(1000 * middle)
        return self._result(node_id, Judgement(answer.status, reason), begun, offset)

    def _result(
        self,
        node_id: str,
        judgement: Judgement,
        begun: tuple[float, float],
        offset_ms: int | None = None,
    ) -> ProbeResult:
        return ProbeResult.of(node_id, judgement, begun, self._monotonic(), offset_ms)


def _target_threads(committee: Committee) -> int:
    return max(1, min(len(committee.targets), MAX_TARGET_THREADS))


def _is_same(before: Committee, after: Committee, node_id: str) -> bool:
    """Whether two committees list the same node, and look at it in the same way."""
    urls = before.urls.get(node_id), after.urls.get(node_id)
    targets = before.targets_by_id.get(node_id), after.targets_by_id.get(node_id)
    return urls[0] == urls[1] and targets[0] == targets[1]


def _without_number(reason: str) -> str:
    """The reason as a label of a metric, of which there may be few."""
    return STATUS_CODE if reason.startswith("status_") else reason
