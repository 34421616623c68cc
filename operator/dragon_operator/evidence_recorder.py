"""Keeps the operator's own signed record of what it saw and answered.

Looks and answers are noted in memory. Once a second, what is new is sealed: one signature, and one
transaction that is on disk before anybody can read it. So a record is fixed about a second after
what it says, and attesting never waits for it. A crash loses the last second; a certificate with
the operator's signature proves what it signed then.

Only answers about status claims of listed nodes are noted, for rounds that can be signed now, and
only those that the operator has come to itself: see `RECORDED_REASONS`. A first signature is noted
when it is made, even if nobody waits for it any more. Without its record, an earlier refusal in the
same round would accuse this operator.

A disk that is full or a file that is damaged stops nothing else: what is new waits in memory, and
the oldest is dropped beyond `MAX_PENDING`.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Final

import structlog

from dragon.errors import DiskError, LogDamaged
from dragon.log.store import Log
from dragon.net.runtime import Runtime
from dragon.probing.probe_result import ProbeResult
from dragon.protocol import bls
from dragon.protocol.claims.status import StatusClaim
from dragon.protocol.committee import Committee
from dragon.protocol.evidence.record import ATTESTED, RECORDED_REASONS, Record
from dragon.protocol.evidence.seal import CHAIN_BYTES, MAX_RECORDS_PER_SEAL, Seal, SignedSeal
from dragon.protocol.log_entry import LogEntry
from dragon.protocol.merkle import Tree
from dragon_operator.evidence_chain import Chain
from dragon_operator.evidence_runs import Runs
from dragon_operator.evidence_store import EvidenceStore
from dragon_operator.seat import Seat

SEAL_SECONDS: Final = 1.0  # between two seals, at least
SWEEP_SECONDS: Final = 60.0  # between two searches for runs that are old enough to end
MAX_PENDING: Final = 32_768  # records that wait for the disk; beyond, the oldest are lost

logger = structlog.stdlib.get_logger(__name__)


class EvidenceRecorder:
    """Notes looks and answers on any thread; seals them on one."""

    def __init__(self, seat: Seat, log: Log, store: EvidenceStore, runtime: Runtime) -> None:
        self._seat = seat
        self._log = log
        self.store = store
        self._wall = runtime.wall
        self._monotonic = runtime.monotonic
        self._entropy = runtime.entropy
        self._lock = threading.Lock()  # guards the next two lines
        self._runs = Runs()
        self._pending: deque[Record] = deque()
        self._swept_at = runtime.monotonic()
        self._chain: Chain | None = None  # None: the next seal begins one
        self.stored = 0  # records since the start
        self.lost = 0  # records that were dropped since the start
        self.fault = ""  # why nothing can be stored now

    def note_look(self, result: ProbeResult) -> None:
        """Note the result of a probe, if it says anything about the node."""
        if not result.is_evidence:
            return
        time_ms = round(1000 * result.begun_at)
        with self._lock:
            self._runs.add_look(
                result.node_id, result.status, result.reason, result.detail, time_ms
            )

    def note_signature(self, claim: StatusClaim) -> None:
        """Note that the operator has just signed a claim, which it was asked for in time.

        Its own probe may have lasted beyond the time in which the round can be signed.
        """
        with self._lock:
            self._runs.add_answer(claim, ATTESTED, "", round(1000 * self._wall()))

    def note_repetition(self, claim: StatusClaim) -> None:
        """Note that the operator has signed a claim, unless that is noted: a crash loses it."""
        self._note(claim, ATTESTED, "")

    def note_refusal(self, claim: StatusClaim, reason: str, detail: str) -> None:
        """Note that the operator refuses to sign a claim, if such refusals are recorded."""
        if reason in RECORDED_REASONS:
            self._note(claim, str(reason), detail)

    def note_entries(self, entries: Sequence[LogEntry]) -> None:
        """End the runs about nodes of which the log now says that their status has changed."""
        claims = [each.event.claim for each in entries]
        with self._lock:
            for claim in claims:
                if isinstance(claim, StatusClaim):
                    self._runs.end_node(claim.node_id)

    def _note(self, claim: StatusClaim, answer: str, detail: str) -> None:
        committee, now = self._log.committee, self._wall()
        rounds = committee.rounds
        if claim.node_id not in committee.urls or not rounds.starts_at(claim.timestamp):
            return
        if not rounds.in_signing_span(rounds.number(claim.timestamp), now):
            return
        with self._lock:
            self._runs.add_answer(claim, answer, detail, round(1000 * now))

    @property
    def pending(self) -> int:
        """Number of records that are not stored yet."""
        return len(self._pending)

    def run(self, stop: threading.Event) -> None:
        """Seal once a second; at the end, all that is open."""
        while not stop.wait(SEAL_SECONDS):
            self.step()
        with self._lock:
            self._runs.end_all()
        self.step()

    def step(self) -> None:
        """Seal and store what is new. Never raises an error of the disk or of the file."""
        committee = self._log.committee
        with self._lock:
            self._sweep(committee)
            self._pending += self._runs.take()
            self._drop(max(0, len(self._pending) - MAX_PENDING))
        secret = self._seat.secret_in(committee)
        if secret is None:  # nobody could verify the signature
            self._forget()
            return
        while self._pending and self._seal(committee, secret):
            pass

    def _sweep(self, committee: Committee) -> None:
        if (now := self._monotonic()) - self._swept_at >= SWEEP_SECONDS:
            self._swept_at = now
            self._runs.end_old(round(1000 * self._wall()), committee.urls)

    def _forget(self) -> None:
        """Begin anew: an operator without a seat is asked for nothing."""
        with self._lock:
            self._runs = Runs()
        self._pending.clear()
        self._chain = None

    def _drop(self, count: int) -> None:
        """Lose the oldest records. What follows begins a chain, so that the loss can be seen."""
        for _ in range(count):
            self._pending.popleft()
        if count:
            self.lost += count
            self._chain = None

    def _seal(self, committee: Committee, secret: bls.SecretKey) -> bool:
        """Seal the oldest records that wait. Returns whether they are stored."""
        try:
            chain = self._chain or self._begin()
            waiting = list(islice(self._pending, MAX_RECORDS_PER_SEAL))
            leaves = chain.leaves(waiting)
            tree = Tree(leaf.hash for leaf in leaves)
            signed = SignedSeal.sign(
                Seal(
                    self._seat.operator,
                    chain.id,
                    chain.seals,
                    chain.last_seal,
                    round(1000 * self._wall()),
                    len(leaves),
                    tree.root(),
                ),
                secret,
                committee.id,
            )
            paths = [tree.inclusion(index) for index in range(len(leaves))]
            self.store.add(signed, leaves, paths, self._log.state.log_time)
        except (DiskError, LogDamaged) as error:
            self._note_fault(str(error))
            return False
        self._chain = chain.after(signed.hash, leaves)
        for _ in leaves:
            self._pending.popleft()
        self.stored += len(leaves)
        self._note_fault("")
        return True

    def _begin(self) -> Chain:
        """Return another chain, which continues what is stored. Raises LogDamaged, DiskError."""
        chain_id = self._entropy(CHAIN_BYTES)
        return Chain(chain_id, self.store.last_seal(), self.store.last_records())

    def _note_fault(self, why: str) -> None:
        if bool(why) != bool(self.fault):
            event = "evidence_not_stored" if why else "evidence_stored_again"
            (logger.error if why else logger.info)(event, detail=why or self.fault)
        self.fault = why
