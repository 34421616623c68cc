"""The rules of the development sequencer: accept, order, finalize and serve batches.

One process simulates all nodes of a network: it holds their keys and signs for all that are not
silent. It starts no thread and uses the two clocks that it is given; the caller calls
`finalize_due` regularly.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import accumulate, count, pairwise, takewhile
from typing import Any, Final

from dragon.errors import DragonError
from dragon_sequencer import bn254
from dragon_sequencer.devnet.faults import Faults, LeaderChange, tampered
from dragon_sequencer.devnet.storage import Storage
from dragon_sequencer.finality import FINAL_STATE, Proof, extend, message
from dragon_sequencer.nodes import STATIC_TAG, Node

VERSION: Final = "v0.1.7"  # of the simulated node software
STATES: Final = ("sequenced", "locked", "finalized")


class Refusal(DragonError):
    """An error in the network's format: HTTP status, code and text."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text, code=code)
        self.status, self.code = status, code


@dataclass(frozen=True, slots=True)
class Rules:
    """The limits of a network, which its interface does not publish."""

    min_age: float = 0.25  # seconds from a batch's acceptance to its finality
    page_bytes: int = 256_000  # of bodies on a page, which has at least one batch
    max_batch_bytes: int = 5120
    max_segment: int = 1000  # batches covered by one proof
    max_queued_bytes: int = 16 << 20  # accepted, not final
    max_queued: int = 100_000  # batches, accepted, not final
    threshold_percent: float = 67  # stake that must sign to finalize


@dataclass(frozen=True, slots=True)
class Signer:
    """A node of the network and its secret key."""

    node: Node
    secret: int = field(repr=False)


@dataclass(frozen=True, slots=True)
class Accepted:
    """An accepted batch that is not final."""

    body: str
    due: float  # earliest time of its finality, on the monotonic clock


class Network:
    """The network as any of its gateways shows it. Thread-safe."""

    def __init__(
        self,
        apps: Sequence[str],
        signers: Sequence[Signer],
        storage: Storage,
        *,
        monotonic: Callable[[], float],
        wall: Callable[[], float],
        rules: Rules = Rules(),
        faults: Faults | None = None,
    ) -> None:
        self.apps, self.rules = tuple(apps), rules
        self._signers, self._storage = tuple(signers), storage
        self._monotonic, self._wall = monotonic, wall
        self._faults = faults or Faults()
        self._faults.check_signers(len(signers))
        self._queues: dict[str, deque[Accepted]] = {app: deque() for app in apps}
        self._queued_bytes = 0
        self._requests = 0
        self._changed = threading.Condition(threading.RLock())  # guards the lines above

    # Requests of clients

    def check_accepting(self) -> None:
        """Raises Refusal: the network accepts no submissions now."""
        faults = self.faults
        if faults.unsynced:
            raise Refusal(503, "NotSyncedError", "The node is not synced with the sequencer.")
        if faults.paused:
            raise Refusal(503, "IsPausedError", "This node is paused.")

    def submit(self, app: str, body: str) -> None:
        """Accept a batch, which will usually become final. Raises Refusal."""
        if app not in self._queues:
            raise Refusal(400, "InvalidRequestError", f"Invalid app name: {app}.")
        size = len(body.encode())
        if size > self.rules.max_batch_bytes:
            text = "The batch exceeds the maximum allowed size."
            raise Refusal(429, "BatchSizeExceededError", text)
        with self._changed:
            self._check_capacity(size)
            if self._consume("drop"):
                return
            for _ in range(1 + self._consume("repeat")):
                self._queues[app].append(Accepted(body, self._monotonic() + self.rules.min_age))
                self._queued_bytes += size

    def page(self, app: str, after: int, gateway: int = 0) -> dict[str, Any] | None:
        """The batches after that index and their proofs; None if there are no batches."""
        self._check_app(app)
        with self._changed:
            faults = self._faults.at(gateway)
            rows = self._storage.batches(app, after, max_bytes=self.rules.page_bytes)
            proofs = self._shown(app, after + 1, after + len(rows), faults.shown)
        if not rows:
            return None
        page = {
            "batches": [body for _, body, _ in rows],
            "first_chaining_hash": rows[0][2],
            "finalized_signatures": [
                asdict(proof) | {"nonsigners": list(proof.nonsigners)} for proof in proofs
            ],
        }
        return tampered(page, faults.tamper)

    def _shown(self, app: str, first: int, last: int, shown: str) -> list[Proof]:
        """The proofs with an index in [first, last] that a gateway shows, ascending."""
        if shown == "alternate":
            self._requests += 1
            shown = ("newest", "first")[self._requests % 2]
        proofs = self._storage.proofs(app, first, last)
        for later in self._storage.later_proofs(app, first, last) if shown != "first" else ():
            if shown == "newest":
                again = range(later[0].parent_index + 1, later[-1].index + 1)
                proofs = [proof for proof in proofs if proof.index not in again]
            proofs += [proof for proof in later if first <= proof.index <= last]
        return sorted(proofs, key=lambda proof: proof.index)

    def last(self, app: str, state: str = "finalized", gateway: int = 0) -> dict[str, Any] | None:
        """The record of the newest batch, with that `state`; None if there is no batch."""
        self._check_app(app)
        with self._changed:
            proof = self._storage.newest_proof(app)
            if proof:
                shown = self._faults.at(gateway).shown
                proof = self._shown(app, proof.index, proof.index, shown)[-1]
            body = self._storage.body(app, proof.index) if proof else ""
        return _record(app, state, body, proof) if proof else None

    def state(self) -> dict[str, Any]:
        """The state of a node. It is never the leader: some clients only use followers."""
        node = self._signers[0].node
        with self._changed:
            indices = {app: self._storage.tip(app).index for app in self.apps}
        (x0, x1), (y0, y1) = node.public_key
        names = [f"last_{state}_index" for state in STATES]
        return {
            "sequencer": False,
            "version": VERSION,
            "sequencer_id": node.id,
            "node_id": node.id,
            "pubkeyG2_X": [x1, x0],
            "pubkeyG2_Y": [y1, y0],
            "address": node.address,
            "apps": {app: dict.fromkeys(names, index) for app, index in indices.items()},
        }

    def wait(self, app: str, after: int, seconds: float) -> None:
        """Wait until a batch after that index is final, at most `seconds`."""
        with self._changed:
            self._changed.wait_for(lambda: self._storage.tip(app).index > after, seconds)

    # Finality

    def finalize_due(self, now: float | None = None) -> int:
        """Finalize the batches that are due, one segment for each app.

        `now` is on the monotonic clock. Segments are on disk before they are served.

        Returns the number of batches.
        """
        with self._changed:
            now = self._monotonic() if now is None else now
            finalized = sum(self._finalize(app, now) for app in self.apps)
            if finalized:
                self._changed.notify_all()
        return finalized

    def _finalize(self, app: str, now: float) -> int:
        queue = self._queues[app]
        due = list(takewhile(lambda batch: batch.due <= now, queue))[: self.rules.max_segment]
        if not due or self._faults.stalled or not self._can_finalize():
            return 0
        bodies = [batch.body for batch in due]
        tip = self._storage.tip(app)
        ordered = bodies[::-1] if self._faults.reorder else bodies
        hashes = list(accumulate(ordered, extend, initial=tip.chaining_hash))[1:]
        links = list(zip(count(tip.index + 1), ordered, hashes, strict=False))
        time = max(int(self._wall()), tip.time)
        proof = self._prove(app, parent=tip.index, index=links[-1][0], hash_=hashes[-1], time=time)
        self._storage.append(app, links, proof)
        for body in bodies:
            queue.popleft()
            self._queued_bytes -= len(body.encode())
        return len(bodies)

    def _can_finalize(self) -> bool:
        """Whether enough stake signs, by the condition of `NodeList.check_quorum`."""
        if self._faults.without_quorum:
            return True
        stakes = [signer.node.stake for signer in self._signers]
        absent = sum(stakes[at] for at in set(self._faults.silent) & set(range(len(stakes))))
        return 100 * absent / sum(stakes) <= 100 - self.rules.threshold_percent

    def _prove(self, app: str, *, parent: int, index: int, hash_: str, time: int) -> Proof:
        silent = set(self._faults.silent)
        signing = [signer.secret for at, signer in enumerate(self._signers) if at not in silent]
        absent = [signer.node.id for at, signer in enumerate(self._signers) if at in silent]
        signed = message(
            app=app,
            chaining_hash=hash_,
            index=index,
            parent_index=parent,
            state=FINAL_STATE,
            timestamp=time,
        )
        signature = bn254.encode_signature(bn254.sign(signing, signed))
        return Proof(index, parent, hash_, time, FINAL_STATE, signature, tuple(absent), STATIC_TAG)

    # Control by tests

    @property
    def faults(self) -> Faults:
        with self._changed:
            return self._faults

    @property
    def signers(self) -> tuple[Signer, ...]:
        """The nodes that sign."""
        with self._changed:
            return self._signers

    def replace_signers(self, *signers: Signer) -> None:
        """From now on other nodes sign, as if the network had replaced all of its nodes."""
        with self._changed:
            self._signers = signers

    def set_faults(self, **changes: object) -> Faults:
        """Change faults. Raises SettingsError: a fault is not valid."""
        with self._changed:
            faults = self._faults.changed(changes)
            faults.check_signers(len(self._signers))
            self._faults = faults
            return faults

    def set_min_age(self, seconds: float) -> None:
        """Set the minimum age of the batches that are accepted from now on."""
        with self._changed:
            self.rules = replace(self.rules, min_age=seconds)

    def change_leader(self, change: LeaderChange) -> None:
        """Finalize the newest batches of every app again. Without a quorum, nothing happens."""
        with self._changed:
            for app in self.apps if self._can_finalize() else ():
                tip = self._storage.tip(app)
                first = max(0, tip.index - change.batches)
                bounds = [*range(first, tip.index, change.segment), tip.index]
                proofs = [
                    self._prove(
                        app,
                        parent=parent,
                        index=index,
                        hash_=self._storage.chaining_hash(app, index),
                        time=max(0, tip.time + change.seconds),
                    )
                    for parent, index in pairwise(bounds)
                ]
                self._storage.append_later(app, proofs)

    def reset(self) -> None:
        """Lose all batches, like a network after a crash of all nodes: indices start again."""
        with self._changed:
            self._storage.clear()
            for queue in self._queues.values():
                queue.clear()
            self._queued_bytes = 0

    def _consume(self, fault: str) -> bool:
        """Whether the fault applies to the next batch; counts it down."""
        left: int = getattr(self._faults, fault)
        if left > 0:
            self._faults = self._faults.changed({fault: left - 1})
        return left != 0

    def _check_capacity(self, size: int) -> None:
        queued = sum(map(len, self._queues.values()))
        full = self._queued_bytes + size > self.rules.max_queued_bytes
        if full or queued >= self.rules.max_queued:
            raise Refusal(429, "BatchesLimitExceededError", "Batches limit volume exceeded.")

    def _check_app(self, app: str) -> None:
        if app not in self._queues:
            raise Refusal(400, "InvalidRequestError", "Invalid app name.")


def _record(app: str, state: str, body: str, proof: Proof) -> dict[str, Any]:
    return {
        "app_name": app,
        "body": body,
        "chaining_hash": proof.chaining_hash,
        "parent_index": proof.parent_index,
        "next_index": None,
        "timestamp": proof.timestamp,
        "locked_signature": None,
        "locked_nonsigners": None,
        "locked_tag": None,
        "finalized_signature": proof.signature,
        "finalized_nonsigners": list(proof.nonsigners),
        "finalized_tag": proof.tag,
        "index": proof.index,
        "state": state,
    }
