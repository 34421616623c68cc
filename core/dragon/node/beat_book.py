"""The newest beat of each target that sends heartbeats, in memory.

A beat arrives when this service receives it, by its own monotonic clock. Nothing is stored, so a
service that has just started knows of no beats. It states how long it has been listening, so that
nobody takes that for a silence of the target (`dragon.probing.beats` judges).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client import Counter
from prometheus_client.metrics_core import Metric

from dragon.errors import DragonError, RateLimited, UnknownSigner
from dragon.node.admission import Client
from dragon.node.beat_verifier import BeatVerifier
from dragon.node.metrics import gauges
from dragon.protocol.beats import SignedBeat, heartbeat_check, heartbeat_checks
from dragon.protocol.committee import Committee, Seated
from dragon.protocol.target_checks import HeartbeatCheck

TICK_SECONDS: Final = 1.0  # between two looks at the committee and at the clock
MAX_TICK_SECONDS: Final = 5.0  # a longer pause: this process was suspended, and missed beats
MAX_CLOCK_STEP_SECONDS: Final = 5.0  # a larger one: the clock was wrong, and refused beats
MIN_GAP_SECONDS: Final = 0.25  # between two beats of a target; further ones are refused


@dataclass(frozen=True, slots=True)
class HeardBeat:
    """A genuine beat, and how it arrived."""

    signed: SignedBeat
    heard_at: float  # monotonic seconds
    offset_ms: int  # the machine's clock minus ours on arrival
    passed_on_by: str  # the operator that said so, unsigned; empty: it came from the target


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a beat."""

    is_new: bool  # False: the same beat was received before
    offset_ms: int  # the machine's clock minus ours
    every_seconds: int  # that the committee file allows without a beat


@dataclass(frozen=True, slots=True)
class NewestBeat:
    """What this service knows of the beats of a target."""

    listening_seconds: float  # for which its beats would have arrived here
    age_seconds: float | None = None  # since the newest beat arrived; None if there is none
    offset_ms: int | None = None  # the machine's clock minus ours when it arrived
    passed_on_by: str = ""  # as `HeardBeat`

    def to_json(self) -> dict[str, object] | None:
        """Return how it is shown; None if there is no beat."""
        if self.age_seconds is None:
            return None
        return {
            "age_seconds": int(self.age_seconds),
            "clock_offset_ms": self.offset_ms,
            "passed_on_by": self.passed_on_by or None,
        }


@dataclass(slots=True)
class _Target:
    check: HeartbeatCheck
    since: float  # monotonic seconds from which its beats would have arrived here
    heard: HeardBeat | None = None
    passed_on_ms: int = -1  # the time of the newest beat that was passed on


class BeatBook:
    """Receives the beats of all targets of the committee that holds. Thread-safe."""

    def __init__(
        self,
        seated: Seated,
        wall: Callable[[], float],
        monotonic: Callable[[], float],
        *,
        pass_on: Callable[[SignedBeat], None] = lambda _: None,
        processor: Callable[[], float] = time.thread_time,
    ) -> None:
        """Create an empty book.

        Args:
            wall: returns Unix seconds.
            monotonic: returns seconds.
            pass_on: called once with each beat that came from the target itself.
            processor: returns the processor seconds that this thread has used.
        """
        self._seated = seated
        self._wall = wall
        self._monotonic = monotonic
        self._pass_on = pass_on
        self._verifier = BeatVerifier(monotonic, processor)
        self._lock = threading.Lock()  # guards everything below
        self._committee: Committee | None = None  # that `_targets` are of
        self._targets: dict[str, _Target] = {}
        self._ticked = monotonic()
        self._clock_offset = wall() - self._ticked  # seconds
        self.counter = Counter(
            "datadragon_beats",
            "Beats of targets that were received: new, known, or the name of the refusal.",
            ["result"],
            registry=None,
        )
        with self._lock:
            self._update()

    # Receiving

    def take(self, signed: SignedBeat, sender: Client, passed_on_by: str = "") -> Taken:
        """Receive a beat, cheap checks first. A beat that is known already changes nothing.

        Args:
            sender: the client that sent it.
            passed_on_by: the operator that says it has passed the beat on; empty: no operator.

        Raises:
            UnknownNode, NotHeartbeatTarget: the committee lists no such target.
            UnknownSigner: `passed_on_by` is not an operator.
            BeatTooOld, BeatTooEarly: the machine's clock differs too much from ours.
            BeatNotLater: a later beat has been received.
            RateLimited: beats of the target, or of unknown senders, come too fast.
            InvalidSignature, BadSignature: the target has not signed it.
        """
        try:
            taken = self._take(signed, sender, passed_on_by)
        except DragonError as error:
            self.counter.labels(error.name).inc()
            raise
        self.counter.labels("new" if taken.is_new else "known").inc()
        return taken

    def _take(self, signed: SignedBeat, sender: Client, passed_on_by: str) -> Taken:
        committee = self._seated.committee
        check = heartbeat_check(committee, signed.node_id)
        if passed_on_by and passed_on_by not in committee.keys:
            message = f"{passed_on_by} is not an operator of the committee"
            raise UnknownSigner(message, signer=passed_on_by)
        now_ms = round(1000 * self._wall())
        signed.check_time(now_ms)
        offset_ms = signed.time_ms - now_ms
        is_new = not self._is_known(signed)
        if is_new:
            self._verifier.verify(
                signed, check, committee.network_id, sender=sender, passed_on_by=passed_on_by
            )
            self._note(HeardBeat(signed, self._monotonic(), offset_ms, passed_on_by))
        if not passed_on_by and self._is_first_direct(signed):
            self._pass_on(signed)
        return Taken(is_new, offset_ms, check.every_seconds)

    def _is_known(self, signed: SignedBeat) -> bool:
        """Whether this very beat is the newest one.

        Raises BeatNotLater: it is an older one; RateLimited: the newest one has just come.
        """
        with self._lock:
            heard = self._target(signed.node_id).heard
        if heard is None or heard.signed == signed:
            return heard is not None
        signed.check_later(heard.signed.time_ms)
        if self._monotonic() - heard.heard_at < MIN_GAP_SECONDS:
            message = f"{signed.node_id} sends more than one beat in {MIN_GAP_SECONDS} s"
            raise RateLimited(message, retry_after=1)
        return False

    def _note(self, heard: HeardBeat) -> None:
        """Keep a genuine beat, unless it or a later one came meanwhile. Raises BeatNotLater."""
        with self._lock:
            target = self._target(heard.signed.node_id)
            if target.heard is not None:
                if target.heard.signed == heard.signed:
                    return
                heard.signed.check_later(target.heard.signed.time_ms)
            target.heard = heard

    def _is_first_direct(self, signed: SignedBeat) -> bool:
        """Whether the beat has to be passed on: only once, and none after a later one."""
        with self._lock:
            target = self._target(signed.node_id)
            is_first = signed.time_ms > target.passed_on_ms
            target.passed_on_ms = max(target.passed_on_ms, signed.time_ms)
            return is_first

    # Reading

    def newest(self, node_id: str) -> NewestBeat:
        """Return what is known of a target's beats; of any other node, that nothing is."""
        with self._lock:
            self._update()
            target = self._targets.get(node_id)
            return NewestBeat(0.0) if target is None else _newest(target, self._monotonic())

    def shown(self, node_id: str) -> dict[str, object] | None:
        """Return the newest beat of a node in the published form; None if there is none."""
        return self.newest(node_id).to_json()

    def all(self) -> Mapping[str, NewestBeat]:
        """Return what is known of each target that sends beats, by id."""
        with self._lock:
            self._update()
            now = self._monotonic()
            return {node_id: _newest(each, now) for node_id, each in self._targets.items()}

    # The committee that holds, and time that was missed

    def run(self, stop: threading.Event) -> None:
        """Notice handovers, and suspensions of this process, until `stop` is set."""
        while not stop.wait(TICK_SECONDS):
            self.tick()

    def tick(self) -> None:
        """Begin anew to wait for beats if this process may have missed some.

        While it was suspended, nobody could deliver any. While its clock was wrong, it refused
        them; that is known when the clock is set.
        """
        with self._lock:
            self._update()
            now, before = self._monotonic(), self._clock_offset
            self._clock_offset = self._wall() - now
            was_set = abs(self._clock_offset - before) > MAX_CLOCK_STEP_SECONDS
            if was_set or now - self._ticked > MAX_TICK_SECONDS:
                for target in self._targets.values():
                    target.since = now
            self._ticked = now

    def metrics(self) -> Iterator[Metric]:
        """The age of the newest beat of each target."""
        yield gauges(
            "beat_age_seconds",
            "Seconds since the newest beat of a target arrived; no value before the first one.",
            "node_id",
            {
                node_id: newest.age_seconds
                for node_id, newest in self.all().items()
                if newest.age_seconds is not None
            },
        )

    def _target(self, node_id: str) -> _Target:
        """Return a target that is listed now. The caller holds the lock.

        Raises UnknownNode, NotHeartbeatTarget: a handover has just removed it.
        """
        self._update()
        check = heartbeat_check(self._seated.committee, node_id)
        return self._targets.setdefault(node_id, _Target(check, self._monotonic()))

    def _update(self) -> None:
        """Follow a handover. The caller holds the lock.

        What a target has sent counts on as long as its key is the same.
        """
        committee = self._seated.committee
        if committee is self._committee:
            return
        now, before = self._monotonic(), self._targets
        self._committee, self._targets = committee, {}
        self._verifier.keep(committee.urls)
        for node_id, check in heartbeat_checks(committee).items():
            kept = before.get(node_id)
            if kept is None or kept.check.public_key != check.public_key:
                kept = _Target(check, now)
            kept.check = check
            self._targets[node_id] = kept


def _newest(target: _Target, now: float) -> NewestBeat:
    listening = now - target.since
    if (heard := target.heard) is None:
        return NewestBeat(listening)
    return NewestBeat(listening, now - heard.heard_at, heard.offset_ms, heard.passed_on_by)
