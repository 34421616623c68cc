"""From safe chunks to certified windows: close, announce, prove, submit, and see it in the log.

Every step can be done again. What has been done is on disk, so a start goes on where a crash left
it; what a prover or an aggregator that is down holds up is tried again, and never lost.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Sequence
from functools import partial
from typing import Final

from prometheus_client import Counter

from dragon.errors import PeerError, ProofRefused, Unreachable
from dragon.net.prover_client import ProverClient
from dragon.net.runtime import Runtime
from dragon.net.submission_client import WindowStatus
from dragon.protocol.streams.chunks import decode_chunks
from dragon_stream.chunker import Intake
from dragon_stream.confirmation import AHEAD, Settlement
from dragon_stream.events import Events
from dragon_stream.keyed_executor import AGAIN, Jobs
from dragon_stream.store import State, Store, WindowRow, WindowSummary
from dragon_stream.streams import Stream, Streams
from dragon_stream.submission import Aggregators, LastVotes, announcement, submission
from dragon_stream.window_sealer import window_openings

CLOSING: Final = 2  # windows that are closed at once, which takes the processor
IN_TURN: Final = 8  # windows of a stream that are closed before it is another's turn
AT_ONCE: Final = 8  # jobs that wait for an aggregator
PROVING: Final = 4  # proofs that are asked for at once
ANNOUNCED: Final = 8  # unfinished windows up to which a new one is announced by itself
PROVE_SECONDS: Final = 15.0
PAUSE: Final = 0.1
POLL: Final = 0.5  # seconds between two looks at how the next window stands
RESEND: Final = 3.0  # and at those behind it
TIDY: Final = 60.0
PROVER_UNAVAILABLE: Final = "prover"  # a key that waits while no prover is there


class Pipeline:
    """Owns the threads that do the steps. Of one stream, closing and submitting are each done by
    one at a time."""

    def __init__(
        self,
        store: Store,
        settlement: Settlement,
        *,
        prover: ProverClient,
        aggregators: Aggregators,
        events: Events,
        runtime: Runtime,
        most_waiting: int,
    ) -> None:
        self.votes = LastVotes()
        self.prover_trouble = self.aggregator_trouble = ""
        self._store = store
        self._settlement = settlement
        self._prover = prover
        self._aggregators = aggregators
        self._events = events
        self._runtime = runtime
        self._most_waiting = most_waiting
        self._closing = runtime.workers(CLOSING)
        self._working = runtime.workers(AT_ONCE)
        self._proving = runtime.workers(PROVING)
        self._news = threading.Event()
        self._jobs = Jobs(runtime.monotonic, self._job_is_done)
        self._lock = threading.Lock()  # guards the next line
        self._unfinished: dict[bytes, int] = {}
        self._looked: dict[bytes, float] = {}  # when the windows of each stream were looked at
        self._tidied = runtime.monotonic()
        steps = ["step", "outcome"]
        self.counter = Counter("datadragon_stream_steps", "Steps done.", steps, registry=None)

    def _job_is_done(self, key: Hashable) -> None:
        if isinstance(key, tuple):
            self._looked.pop(key[0], None)  # its stream's windows may have got further
        self._news.set()

    def notice(self, _: Intake | None = None) -> None:
        """Something may have to be done."""
        self._news.set()

    def waiting(self, stream: bytes) -> int:
        """Closed windows that the log does not have yet."""
        return self._unfinished.get(stream, 0)

    def has_room(self, stream: Stream) -> bool:
        """Whether more data may be taken in: windows that wait, closed or not, are bounded."""
        return self.waiting(stream.id) + stream.intake.unclosed < self._most_waiting

    def begin(self, streams: Streams) -> None:
        """After a start: what is unfinished."""
        for stream in streams.all():
            self._unfinished[stream.id] = self._store.count_unfinished(stream.id)

    def step(self, streams: Streams) -> None:
        """Begin whatever can be begun, for every stream."""
        now_ms = round(1000 * self._runtime.wall())
        for stream in streams.all():
            if kept := stream.intake.ripe(now_ms):
                self._jobs.begin((stream.id, "close"), self._closing, partial(self._close, stream))
            if self._unfinished.get(stream.id) and self._is_due(stream):
                self._go_on(stream, self._settle(streams, stream))
            if kept or self.has_room(stream):
                stream.intake.encourage()
        now = self._runtime.monotonic()
        if now - self._tidied >= TIDY:
            self._tidied = now
            self._jobs.begin("tidy", self._closing, partial(self.tidy, streams))

    def run(self, streams: Streams, stop: threading.Event) -> None:
        while not stop.is_set():
            self._news.wait(PAUSE)
            self._news.clear()
            self.step(streams)

    def close(self) -> None:
        for pool in (self._closing, self._working, self._proving):
            pool.shutdown(wait=False, cancel_futures=True)

    def _is_due(self, stream: Stream) -> bool:
        """Chunks come far more often than anything happens to windows."""
        now = self._runtime.monotonic()
        if now - self._looked.get(stream.id, float("-inf")) < PAUSE:
            return False
        self._looked[stream.id] = now
        return True

    # Closing

    def _close(self, stream: Stream) -> float:
        for _ in range(IN_TURN):
            now_ms = round(1000 * self._runtime.wall())
            if not (kept := stream.intake.ripe(now_ms)):
                break
            row = stream.windows.close(self._store, kept, now_ms)
            self.counter.labels("close", "done").inc()
            with self._lock:
                waiting = self._unfinished[stream.id] = self._unfinished.get(stream.id, 0) + 1
            header = row.header
            told = {"window": row.number, "first": header.first, "count": header.count}
            self._events.tell(stream.id, "closed", **told)
            if waiting <= ANNOUNCED:
                key = (stream.id, "announce", row.number)
                self._jobs.begin(key, self._working, partial(self._announce, stream, row.number))
        return 0.0

    def _announce(self, stream: Stream, number: int) -> float:
        """Tell of the header at once. Who misses it learns of it with the proof."""
        row = self._store.window(stream.id, number)
        if row is None or row.state is not State.CLOSED:
            return 0.0
        try:
            self._aggregators.submit(announcement(stream.keys, row))
        except PeerError as error:
            self.aggregator_trouble = str(error)
            return 0.0
        self._events.tell(stream.id, "announced", window=number)
        return 0.0

    # Proving and submitting

    def _go_on(self, stream: Stream, heads: Sequence[WindowSummary]) -> None:
        for head in heads:
            if head.state is State.CLOSED:
                key = (stream.id, "prove", head.number)
                self._jobs.begin(key, self._proving, partial(self._prove, stream, head.number))
        if any(head.state is State.PROVEN for head in heads):
            self._jobs.begin((stream.id, "submit"), self._working, partial(self._submit, stream))

    def _prove(self, stream: Stream, number: int) -> float:
        if self._jobs.is_to_wait(PROVER_UNAVAILABLE):
            return AGAIN  # making openings for nobody takes time from whoever sends data
        row = self._store.window(stream.id, number)
        if row is None or row.state is not State.CLOSED:
            return 0.0
        keys = stream.keys
        commitments = [chunk.commitment for chunk in decode_chunks(row.chunks)]
        try:
            proof = self._prover.prove(
                keys.descriptor.parameters,
                (keys.descriptor.identity, commitments),
                row.header.hash,
                (keys.identity, window_openings(keys, row)),
                deadline=PROVE_SECONDS,
            )
        except (PeerError, ProofRefused) as error:
            self.counter.labels("prove", error.name).inc()
            self.prover_trouble = str(error)
            if isinstance(error, Unreachable):
                self._jobs.hold(PROVER_UNAVAILABLE, AGAIN)
            return AGAIN
        self.prover_trouble = ""
        self._store.prove(stream.id, number, proof)
        self.counter.labels("prove", "done").inc()
        self._events.tell(stream.id, "proven", window=number, bytes=len(proof))
        return 0.0

    def _submit(self, stream: Stream) -> float:
        """Hand over what is proven, in order, as far as it is proven without a gap."""
        for place, head in enumerate(self._store.unfinished(stream.id, AHEAD)):
            if head.state is not State.PROVEN:
                break
            key = (stream.id, "submitted", head.number)
            if self._jobs.is_to_wait(key):
                continue
            if not self._submit_one(stream, head):
                return AGAIN
            self._jobs.hold(key, RESEND if place else POLL)
        return POLL

    def _submit_one(self, stream: Stream, head: WindowSummary) -> bool:
        row = self._store.window(stream.id, head.number)
        if row is None or row.proof is None:
            return False
        try:
            submitted = submission(stream.keys, row, row.proof)
            standing = self._aggregators.submit(submitted, (row.chunks, row.proof))
        except PeerError as error:
            self.counter.labels("submit", error.name).inc()
            self.aggregator_trouble = str(error)
            return False
        self.aggregator_trouble = ""
        self.counter.labels("submit", "done").inc()
        self._note_votes(stream, head.number, standing)
        return True

    # What the log says

    def _settle(self, streams: Streams, stream: Stream) -> list[WindowSummary]:
        """Note what the log says of unfinished windows; what is unfinished after that."""
        heads = self._store.unfinished(stream.id, AHEAD)
        settled = self._settlement.look(streams, stream, heads)
        if settled is None:
            return heads
        with self._lock:
            self._unfinished[stream.id] = self._store.count_unfinished(stream.id)
        for row in settled:
            steps = ("submitted", "prove", "announce")
            self._jobs.forget((stream.id, step, row.number) for step in steps)
            key = (stream.id, "votes", row.number)
            self._jobs.begin(key, self._working, partial(self._ask_votes, stream, row))
        return self._store.unfinished(stream.id, AHEAD)

    def _ask_votes(self, stream: Stream, row: WindowRow) -> float:
        """What each operator had said in the end; an aggregator remembers it for a while."""
        try:
            standing = self._aggregators.submit(announcement(stream.keys, row))
        except PeerError:
            return 0.0
        self._note_votes(stream, row.number, standing)
        return 0.0

    def _note_votes(self, stream: Stream, number: int, standing: WindowStatus) -> None:
        if self.votes.note(stream.id, number, standing.votes):
            votes = {"state": standing.state, "votes": list(standing.votes)}
            self._events.tell(stream.id, "votes", window=number, **votes)

    # Retention

    def tidy(self, streams: Streams) -> float:
        """Data and proofs of certified windows go when their time is over."""
        for stream in streams.all():
            kept_ms = 1000 * stream.row.retention_seconds
            now_ms = round(1000 * self._runtime.wall())
            forgotten = self._store.forget_proofs(stream.id, now_ms - kept_ms)
            stream.intake.forget(forgotten, now_ms - kept_ms // 4)
        return TIDY
