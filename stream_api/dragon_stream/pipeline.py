"""From safe chunks to certified windows: close, announce, prove, submit, and see it in the log.

Every step can be done again. What has been done is on disk, so a start goes on where a crash left
it; what a prover or an aggregator that is down holds up is tried again, and never lost.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Final

import structlog
from prometheus_client import Counter

from dragon.clients.edges import Edges
from dragon.clients.prover_client import ProverClient
from dragon.clients.submission_client import Standing
from dragon.encoding import to_hex
from dragon.errors import DragonError, PeerError, ProofRefused
from dragon.log.follow import Follower
from dragon.log.repository import Log
from dragon.log.rows import Applied, StreamRecords
from dragon.stream.chunks import decode_chunks
from dragon.stream_claim import Fault, Verdict, WindowClaim
from dragon_stream.events import Events
from dragon_stream.intake import Intake
from dragon_stream.store import State, Store, WindowHead, WindowRow
from dragon_stream.streams import Stream, Streams
from dragon_stream.submitting import Aggregators, LastVotes, announcement, submission
from dragon_stream.windows import window_openings

AT_ONCE: Final = 8  # jobs
PROVING: Final = 4  # proofs that are asked for at once
AHEAD: Final = 16  # windows of a stream that are on their way at once
ANNOUNCED: Final = 8  # unfinished windows up to which a new one is announced by itself
PROVE_SECONDS: Final = 15.0
MOST_PROOFS: Final = 3  # for one window, if those before were refuted
PAUSE: Final = 0.1
AGAIN: Final = 1.0  # seconds after a step that failed
POLL: Final = 0.5  # seconds between two looks at how the next window stands
RESEND: Final = 3.0  # and at those behind it
TIDY: Final = 60.0

logger = structlog.stdlib.get_logger(__name__)


class Pipeline:
    """Owns the threads that do the steps. Of one stream, closing and submitting are each done by
    one at a time."""

    def __init__(
        self,
        store: Store,
        log: Log,
        follower: Follower,
        records: StreamRecords,
        *,
        prover: ProverClient,
        aggregators: Aggregators,
        events: Events,
        edges: Edges,
        most_waiting: int,
    ) -> None:
        self.votes = LastVotes()
        self.prover_trouble = self.aggregator_trouble = ""
        self._store = store
        self._log = log
        self._follower = follower
        self._records = records
        self._prover = prover
        self._aggregators = aggregators
        self._events = events
        self._edges = edges
        self._most_waiting = most_waiting
        self._jobs = edges.workers(AT_ONCE)
        self._proving = edges.workers(PROVING)
        self._news = threading.Event()
        self._lock = threading.Lock()  # guards what follows
        self._busy: set[Hashable] = set()
        self._not_before: dict[Hashable, float] = {}
        self._unfinished: dict[bytes, int] = {}
        self._looked: dict[bytes, float] = {}  # when the windows of each stream were looked at
        self._tidied = edges.monotonic()
        steps = ["step", "outcome"]
        self.counter = Counter("datadragon_stream_steps", "Steps done.", steps, registry=None)

    def notice(self, _: Intake | None = None) -> None:
        """Something may have to be done."""
        self._news.set()

    def waiting(self, stream: bytes) -> int:
        """Closed windows that the log does not have yet."""
        return self._unfinished.get(stream, 0)

    def has_room(self, stream: bytes) -> bool:
        """Whether more data may be taken in."""
        return self.waiting(stream) < self._most_waiting

    def begin(self, streams: Streams) -> None:
        """After a start: what is unfinished."""
        for stream in streams.all():
            self._count(stream.id)

    def step(self, streams: Streams) -> None:
        """Begin whatever can be begun, for every stream."""
        now_ms = round(1000 * self._edges.wall())
        for stream in streams.all():
            if kept := stream.intake.ripe(now_ms):
                self._begin((stream.id, "close"), self._jobs, partial(self._close, stream))
            if self._unfinished.get(stream.id) and self._is_due(stream):
                self._settle(streams, stream)
                self._go_on(stream)
            if kept or self.has_room(stream.id):
                stream.intake.encourage()
        now = self._edges.monotonic()
        if now - self._tidied >= TIDY:
            self._tidied = now
            self._begin("tidy", self._jobs, partial(self.tidy, streams))

    def run(self, streams: Streams, stop: threading.Event) -> None:
        while not stop.is_set():
            self._news.wait(PAUSE)
            self._news.clear()
            self.step(streams)

    def close(self) -> None:
        for pool in (self._jobs, self._proving):
            pool.shutdown(wait=False, cancel_futures=True)

    def _is_due(self, stream: Stream) -> bool:
        """Chunks come far more often than anything happens to windows."""
        now = self._edges.monotonic()
        if now - self._looked.get(stream.id, float("-inf")) < PAUSE:
            return False
        self._looked[stream.id] = now
        return True

    # Jobs

    def _begin(self, key: Hashable, pool: Executor, job: Callable[[], float]) -> None:
        """Do it on a thread, unless it is being done or is to wait. A job returns after how many
        seconds it may be begun again."""
        now = self._edges.monotonic()
        with self._lock:
            if key in self._busy or now < self._not_before.get(key, now):
                return
            self._busy.add(key)
        pool.submit(self._run, key, job)

    def _run(self, key: Hashable, job: Callable[[], float]) -> None:
        pause = AGAIN
        try:
            pause = job()
        except DragonError as error:
            logger.warning("step_failed", step=str(key), reason=error.name, detail=str(error))
        except Exception:
            logger.exception("step_failed", step=str(key))
        finally:
            with self._lock:
                self._busy.discard(key)
                self._not_before[key] = self._edges.monotonic() + pause
                if not pause:
                    del self._not_before[key]
                    self._looked.clear()
                    self._news.set()

    # Closing

    def _close(self, stream: Stream) -> float:
        while kept := stream.intake.ripe(round(1000 * self._edges.wall())):
            now_ms = round(1000 * self._edges.wall())
            row = stream.windows.close(self._store, kept, now_ms)
            self.counter.labels("close", "done").inc()
            with self._lock:
                waiting = self._unfinished[stream.id] = self._unfinished.get(stream.id, 0) + 1
            header = row.header
            told = {"window": row.number, "first": header.first, "count": header.count}
            self._events.tell(stream.id, "closed", **told)
            if waiting <= ANNOUNCED:
                key = (stream.id, "announce", row.number)
                self._begin(key, self._jobs, partial(self._announce, stream, row.number))
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

    def _go_on(self, stream: Stream) -> None:
        heads = self._store.unfinished(stream.id, AHEAD)
        for head in heads:
            if head.state is State.CLOSED:
                key = (stream.id, "prove", head.number)
                self._begin(key, self._proving, partial(self._prove, stream, head.number))
        if any(head.state is State.PROVEN for head in heads):
            self._begin((stream.id, "submit"), self._jobs, partial(self._submit, stream))

    def _prove(self, stream: Stream, number: int) -> float:
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
            return AGAIN
        self.prover_trouble = ""
        self._store.prove(stream.id, number, proof)
        self.counter.labels("prove", "done").inc()
        self._events.tell(stream.id, "proven", window=number, bytes=len(proof))
        return 0.0

    def _submit(self, stream: Stream) -> float:
        """Hand over what is proven, in order, as far as it is proven without a gap."""
        now = self._edges.monotonic()
        for place, head in enumerate(self._store.unfinished(stream.id, AHEAD)):
            if head.state is not State.PROVEN:
                break
            key = (stream.id, "submitted", head.number)
            if now < self._not_before.get(key, now):
                continue
            if not self._submit_one(stream, head):
                return AGAIN
            with self._lock:
                self._not_before[key] = now + (POLL if place == 0 else RESEND)
        return POLL

    def _submit_one(self, stream: Stream, head: WindowHead) -> bool:
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

    def _settle(self, streams: Streams, stream: Stream) -> None:
        """Certified, refuted, or gone from the ledger: only the own log says so."""
        known = self._log.state.stream(stream.id)
        heads = self._store.unfinished(stream.id, AHEAD)
        if not heads:
            self._count(stream.id)
            return
        first = heads[0].number
        if known.windows > first:
            claims = self._records.windows(stream.id, first, limit=4 * AHEAD)
            for head in heads:
                if head.number < known.windows:
                    self._certified(streams, stream, head, claims)
            self._count(stream.id)
        elif known.refuted:
            self._refuted(streams, stream, heads[0])
        elif not known.windows and first and self._follower.caught_up and not self._log.alarm():
            streams.stop(stream, "the ledger has begun anew, without the windows of this stream")

    def _certified(
        self, streams: Streams, stream: Stream, head: WindowHead, claims: Sequence[Applied]
    ) -> None:
        found = _find(claims, head.number, Verdict.VALID)
        row = self._store.window(stream.id, head.number)
        if found is None or row is None:
            return
        position, claim = found
        if claim.header != row.header.hash:
            streams.stop(stream, f"the ledger has another window {head.number} of this stream")
            return
        self._store.certify(stream.id, head.number, position)
        self._forget(stream.id, head.number)
        told = {"window": head.number, "position": position, "timestamp": claim.timestamp}
        self._events.tell(stream.id, "certified", **told)
        logger.info("window_certified", stream=to_hex(stream.id), number=head.number)
        key = (stream.id, "votes", head.number)
        self._begin(key, self._jobs, partial(self._ask_votes, stream, row))

    def _ask_votes(self, stream: Stream, row: WindowRow) -> float:
        """What each operator had said in the end; an aggregator remembers it for a while."""
        try:
            standing = self._aggregators.submit(announcement(stream.keys, row))
        except PeerError:
            return 0.0
        self._note_votes(stream, row.number, standing)
        return 0.0

    def _note_votes(self, stream: Stream, number: int, standing: Standing) -> None:
        if self.votes.note(stream.id, number, standing.votes):
            votes = {"state": standing.state, "votes": list(standing.votes)}
            self._events.tell(stream.id, "votes", window=number, **votes)

    def _refuted(self, streams: Streams, stream: Stream, head: WindowHead) -> None:
        """The majority has found our proof invalid, or the window itself."""
        row = self._store.window(stream.id, head.number)
        if row is None or row.proof is None:
            return
        digest = hashlib.sha256(row.proof).digest()
        if (head.number, digest) not in self._log.state.stream(stream.id).refuted:
            return
        claims = self._records.windows(stream.id, head.number, limit=4 * AHEAD)
        found = _find(claims, head.number, Verdict.INVALID, digest)
        reason = found[1].reason if found else Fault.STARK
        final = reason is not Fault.STARK or row.proofs >= MOST_PROOFS
        self._store.refute(stream.id, head.number, final=final)
        self._forget(stream.id, head.number)
        self._events.tell(stream.id, "invalid", window=head.number, reason=str(reason))
        if final:
            streams.stop(stream, f"window {head.number} was found invalid ({reason})")
            self._count(stream.id)

    def _forget(self, stream: bytes, number: int) -> None:
        with self._lock:
            for step in ("submitted", "prove", "announce"):
                self._not_before.pop((stream, step, number), None)

    def _count(self, stream: bytes) -> None:
        with self._lock:
            self._unfinished[stream] = self._store.count_unfinished(stream)

    # Retention

    def tidy(self, streams: Streams) -> float:
        """Data and proofs of certified windows go when their time is over."""
        for stream in streams.all():
            kept_ms = 1000 * stream.row.retention_seconds
            now_ms = round(1000 * self._edges.wall())
            forgotten = self._store.forget_proofs(stream.id, now_ms - kept_ms)
            stream.intake.forget(forgotten, now_ms - kept_ms // 4)
        return TIDY


def _find(
    claims: Sequence[Applied], number: int, verdict: Verdict, proof: bytes | None = None
) -> tuple[int, WindowClaim] | None:
    for each in claims:
        claim = each.claim
        if not isinstance(claim, WindowClaim) or claim.number != number:
            continue
        if claim.verdict is verdict and proof in {None, claim.proof}:
            return each.position, claim
    return None
