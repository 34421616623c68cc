"""Takes windows from chunks on disk to certificates: close, announce, prove, submit, confirm.

Every step can be repeated, and its result is on disk, so a restart continues where a crash
interrupted. Steps that fail because a prover or an aggregator is down are retried.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from prometheus_client import Counter, Histogram

from dragon.errors import ChunkDamaged, PeerError, ProofRefused
from dragon.net.prover_client import ProverClient
from dragon.net.runtime import Runtime
from dragon.protocol.log_entry import LogEntry
from dragon_stream.chunker import Chunker
from dragon_stream.confirmation import MAX_LOOKAHEAD, Confirmation
from dragon_stream.events import Events
from dragon_stream.keyed_executor import DAMAGE_RETRY_SECONDS, RETRY_SECONDS, KeyedExecutor
from dragon_stream.keys import StreamKeys
from dragon_stream.proof_request import ProofRequest
from dragon_stream.provers import Provers
from dragon_stream.store import Store, WindowRow
from dragon_stream.streams import Stream, Streams
from dragon_stream.submission import Aggregators
from dragon_stream.submitter import SUBMITTING_THREADS, Submitter
from dragon_stream.unfinished_windows import WindowSummary
from dragon_stream.window_sizes import Backlog
from dragon_stream.window_state import WindowState

CLOSING_THREADS: Final = 2  # threads that close windows, which takes processor time
MAX_WINDOWS_PER_TURN: Final = 8  # windows of a stream that are closed before another stream's
MAX_ANNOUNCED_WINDOWS: Final = 8  # with more unfinished windows, a new one is not announced
PROOF_TIMEOUT_SECONDS: Final = 15.0  # time to make a proof
STEP_SECONDS: Final = 0.1  # time between two checks of a stream's windows
RETENTION_SECONDS: Final = 60.0  # time between two deletions of old data
_BUCKETS_SECONDS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0)


class Pipeline:
    """Starts the steps of all streams on threads.

    Of each stream, one thread closes windows and one submits them; proofs are made concurrently.
    """

    def __init__(
        self,
        store: Store,
        confirmation: Confirmation,
        *,
        provers: Provers,
        aggregators: Aggregators,
        events: Events,
        runtime: Runtime,
        max_pending_windows: int,
        needed_votes: Callable[[], int],
        has_room: Callable[[], bool] = lambda: True,
    ) -> None:
        """Create the pipeline.

        Args:
            max_pending_windows: bounds the uncertified windows of a stream; see `has_capacity`.
            needed_votes: how many operators must vote alike for a certificate.
            has_room: whether the disk may take more data.
        """
        self._has_room = has_room
        self._store = store
        self._confirmation = confirmation
        self.provers = provers
        self._events = events
        self._runtime = runtime
        self._max_pending_windows = max_pending_windows
        self._closing_pool = runtime.workers(CLOSING_THREADS)
        self._submitting_pool = runtime.workers(SUBMITTING_THREADS)
        self._proving_pool = runtime.workers(provers.places)
        self._wake = threading.Event()
        self.has_proofs = False  # whether a proof was made since the start
        self._jobs = KeyedExecutor(runtime.monotonic, self._on_progress)
        self._lock = threading.Lock()  # guards the next line
        self._unfinished: dict[bytes, int] = {}  # windows of each stream
        self._queued = 0  # windows of all streams that wait for their proof or for votes
        self._checked_at: dict[bytes, float] = {}  # when each stream's windows were checked
        self._retention_checked_at = runtime.monotonic()
        self.counter = Counter(
            "datadragon_stream_steps",
            "Steps in the processing of windows, by outcome.",
            ["step", "outcome"],
            registry=None,
        )
        self.prove_seconds = Histogram(
            "datadragon_stream_prove_seconds",
            "Seconds from requesting a proof of a window until it is verified.",
            buckets=_BUCKETS_SECONDS,
            registry=None,
        )
        self.submitter = Submitter(
            store,
            aggregators,
            events,
            jobs=self._jobs,
            pool=self._submitting_pool,
            counter=self.counter,
            monotonic=runtime.monotonic,
            needed_votes=needed_votes,
        )

    def _on_progress(self, key: Hashable) -> None:
        if isinstance(key, tuple):
            self._checked_at.pop(key[0], None)  # the stream's next step may be possible
        self._wake.set()

    def wake(self, _: Chunker | None = None) -> None:
        """Check soon whether a step can be started."""
        self._wake.set()

    def on_entries(self, _: Sequence[LogEntry] = ()) -> None:
        """Check windows soon: the log has new entries. Any thread may call it.

        Streams with damaged data still wait, because nothing can be done for them.
        """
        now = self._runtime.monotonic()
        for stream, at in list(self._checked_at.items()):
            if at <= now:
                self._checked_at.pop(stream, None)
        self._wake.set()

    def unfinished(self, stream: bytes) -> int:
        """The number of closed windows that the log does not contain."""
        return self._unfinished.get(stream, 0)

    def backlog(self, stream: bytes) -> Backlog:
        """The windows that wait for their proof or for votes.

        Others are certified and wait for the ledger only, however long that takes.
        """
        own = self.unfinished(stream) - self.submitter.awaited.count(stream)
        return Backlog(max(0, own), self._queued >= self.provers.places)

    def _count_queued(self, streams: Streams) -> int:
        """The number of windows that `backlog` means, of all streams that have not stopped."""
        running = [stream.id for stream in streams.all() if not stream.chunker.last_error]
        return sum(map(self.unfinished, running)) - sum(map(self.submitter.awaited.count, running))

    def has_capacity(self, stream: Stream) -> bool:
        """Whether more data may be accepted: uncertified windows and data on disk are bounded."""
        pending = self.unfinished(stream.id) + stream.chunker.pending_windows
        return pending < self._max_pending_windows and self._has_room()

    def load(self, streams: Streams) -> None:
        """Count the unfinished windows after a start."""
        for stream in streams.all():
            with suppress(ChunkDamaged):
                self._unfinished[stream.id] = self._store.count_unfinished(stream.id)

    def step(self, streams: Streams) -> None:
        """Start every step that can be started now."""
        now_ms = round(1000 * self._runtime.wall())
        self._queued = self._count_queued(streams)
        for stream in streams.all():
            self._check_age(stream)
            if due := stream.chunker.is_due(now_ms, self.backlog(stream.id)):
                key = (stream.id, "close")
                self._jobs.start(key, self._closing_pool, partial(self._close, stream))
            if self._unfinished.get(stream.id) and self._is_check_due(stream):
                try:
                    self._start_steps(stream, self._confirm(streams, stream))
                except ChunkDamaged:  # reported where it was found
                    self._checked_at[stream.id] = self._runtime.monotonic() + DAMAGE_RETRY_SECONDS
            if due or self.has_capacity(stream):
                stream.chunker.resume_source()
        for place in self.provers.silent:
            check = partial(self.provers.check, place)
            self._jobs.start(("prover", place), self._proving_pool, check)
        now = self._runtime.monotonic()
        if now - self._retention_checked_at >= RETENTION_SECONDS:
            self._retention_checked_at = now
            job = partial(self.delete_expired, streams)
            self._jobs.start("retention", self._closing_pool, job)

    def run(self, streams: Streams, stop: threading.Event) -> None:
        """Call `step` until `stop` is set."""
        while not stop.is_set():
            self._wake.wait(STEP_SECONDS)
            self._wake.clear()
            self.step(streams)

    def close(self) -> None:
        """Release the threads, without waiting for them."""
        for pool in (self._closing_pool, self._submitting_pool, self._proving_pool):
            pool.shutdown(wait=False, cancel_futures=True)

    def _check_age(self, stream: Stream) -> None:
        """An old copy of the database would give new windows numbers that are taken."""
        if not stream.chunker.is_damaged and (damage := self._confirmation.check_age(stream)):
            stream.chunker.on_damaged(damage)

    def _is_check_due(self, stream: Stream) -> bool:
        """Chunks wake the pipeline far more often than windows change, so checks are limited."""
        now = self._runtime.monotonic()
        if now - self._checked_at.get(stream.id, float("-inf")) < STEP_SECONDS:
            return False
        self._checked_at[stream.id] = now
        return True

    def _confirm(self, streams: Streams, stream: Stream) -> list[WindowSummary]:
        """Store what the log says. Return the windows that are unfinished after that."""
        unfinished = self._store.unfinished(stream.id, MAX_LOOKAHEAD)
        changed = self._confirmation.update(streams, stream, unfinished)
        if changed is None:
            return unfinished
        with self._lock:
            self._unfinished[stream.id] = self._store.count_unfinished(stream.id)
        for row in changed:
            self.submitter.finish(stream, row)
        return self._store.unfinished(stream.id, MAX_LOOKAHEAD)

    def _start_steps(self, stream: Stream, unfinished: Sequence[WindowSummary]) -> None:
        for window in unfinished:
            if window.state is WindowState.CLOSED:
                key = (stream.id, "prove", window.number)
                job = partial(self._prove, stream, window.number)
                self._jobs.start(key, self._proving_pool, job)
        if any(window.state is WindowState.PROVEN for window in unfinished):
            self.submitter.submit(stream)

    def _close(self, stream: Stream) -> float:
        for _ in range(MAX_WINDOWS_PER_TURN):
            now_ms = round(1000 * self._runtime.wall())
            if not (due := stream.chunker.due_chunks(now_ms, self.backlog(stream.id))):
                break
            row = stream.sealer.close(self._store, due, now_ms)
            self.counter.labels("close", "done").inc()
            with self._lock:
                # Counted, because `_confirm` may have counted this window already.
                unfinished = self._store.count_unfinished(stream.id)
                self._unfinished[stream.id] = unfinished
            self._events.publish(stream.id, "closed", **_closed_facts(row))
            if unfinished <= MAX_ANNOUNCED_WINDOWS:
                self.submitter.announce(stream, row.number)
        return 0.0

    def _prove(self, stream: Stream, number: int) -> float:
        if not self.provers.is_available:
            return RETRY_SECONDS  # read no window while no prover can take it
        row = self._store.window(stream.id, number)
        if row is None or row.state is not WindowState.CLOSED:
            return 0.0
        begun = self._runtime.monotonic()
        try:
            proof = self.provers.prove(partial(self._request_proof, stream.keys, row))
        except (PeerError, ProofRefused) as error:
            self.counter.labels("prove", error.name).inc()
            return RETRY_SECONDS
        self.has_proofs = True
        self.prove_seconds.observe(self._runtime.monotonic() - begun)
        self._store.prove(stream.id, number, proof)
        self.counter.labels("prove", "done").inc()
        self._events.publish(stream.id, "proven", window=number, bytes=len(proof))
        return 0.0

    def _request_proof(self, keys: StreamKeys, row: WindowRow, prover: ProverClient) -> bytes:
        """Raises PeerError, ProofRefused, ChunkDamaged."""
        wanted = ProofRequest.of(self._store, keys, row)
        return prover.prove(
            keys.descriptor.parameters,
            (keys.descriptor.identity, wanted.commitments),
            row.header.hash,
            (keys.identity, wanted.openings),
            readings=wanted.statement,
            deadline=PROOF_TIMEOUT_SECONDS,
        )

    def delete_expired(self, streams: Streams) -> float:
        """Delete data and proofs of certified windows after their retention time."""
        for stream in streams.all():
            with suppress(ChunkDamaged):  # reported where it was found; the other streams go on
                self._delete_expired(stream)
        return RETENTION_SECONDS

    def _delete_expired(self, stream: Stream) -> None:
        retention_ms = 1000 * stream.row.retention_seconds
        now_ms = round(1000 * self._runtime.wall())
        sequence = self._store.forget_proofs(stream.id, now_ms - retention_ms)
        stream.chunker.forget(sequence, now_ms - retention_ms // 4)


def _closed_facts(row: WindowRow) -> dict[str, object]:
    """The facts of the event `closed`."""
    header = row.header
    facts = {"window": row.number, "first": header.first, "count": header.count}
    return {**facts, "statement": row.statement} if row.statement else {**facts}
