"""Whether anything is being certified: the age of the last checkpoint and of the last round.

Silence looks like health: without an aggregator no operator has anything to refuse, and no probe
fails. A committee certifies a checkpoint every twelve rounds even if nothing happens, so its
absence shows that nothing is certified.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from prometheus_client.metrics_core import Metric

from dragon.log.follower import Follower
from dragon.log.store import Log
from dragon.net.runtime import Runtime
from dragon.node.metrics import gauge
from dragon.protocol.committee import Seated
from dragon.protocol.rounds import Rounds


class LastRound:
    """When the last round was heard of, and whether a later one has failed."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._last = monotonic()  # until the first round: the start of the service
        self.is_known = False  # whether there was one since the start
        self._failed_at: float | None = None

    def note(self) -> None:
        """Note that a round was heard of, or has succeeded."""
        self._last, self._failed_at, self.is_known = self._monotonic(), None, True

    def note_failure(self) -> None:
        """Note that a round has failed."""
        if self._failed_at is None:
            self._failed_at = self._monotonic()

    @property
    def age(self) -> float:
        """Seconds since the last round, or since the start of the service."""
        return self._monotonic() - self._last

    @property
    def failing_seconds(self) -> float:
        """Seconds since the first failure after the last success; 0 if there was none."""
        failed_at = self._failed_at
        return 0.0 if failed_at is None else self._monotonic() - failed_at


class Certification:
    """Judges the age of the last checkpoint in one log, and of the last round.

    Args:
        last_round: the last round that this service has heard of; None if it hears of none.
    """

    def __init__(
        self,
        seated: Seated,
        log: Log,
        follower: Follower,
        runtime: Runtime,
        last_round: LastRound | None = None,
    ) -> None:
        self._seated = seated
        self._log = log
        self._follower = follower
        self._wall = runtime.wall
        self.last_round = last_round

    @property
    def _rounds(self) -> Rounds:
        return self._seated.committee.rounds

    @property
    def checkpoint_age(self) -> float:
        """Seconds since the last checkpoint in the log, or since genesis while there is none."""
        return max(0.0, self._wall() - self._log.state.log_time)

    @property
    def is_judged(self) -> bool:
        """Whether the log has been up to date for so long that it has the newest checkpoint.

        After a start or an outage of the ledger, the first one is certified within the grace.
        """
        return self._follower.caught_up_seconds > self._rounds.certification_grace

    @property
    def late_after(self) -> int:
        """Seconds after which a checkpoint or a round is late."""
        return self._rounds.certification_late_after

    def reasons(self, about_rounds: str = "") -> Iterator[str]:
        """Yield the reason `not_certifying`, if nothing is certified.

        `about_rounds`: what is wrong with the rounds; empty if nothing is.
        """
        if not self.is_judged:
            return
        if why := "; ".join(filter(None, (self._about_checkpoint(), about_rounds))):
            yield f"not_certifying: {why}"

    def _about_checkpoint(self) -> str:
        if (age := self.checkpoint_age) <= self.late_after:
            return ""
        since = self._since(age)
        if self._log.state.checkpoint is None:
            since = f"genesis at {since}"
        return (
            f"no checkpoint has been certified since {since} ({age:.0f} s ago; one is due every "
            f"{self._rounds.checkpoint_every} s)"
        )

    def no_round_heard(self) -> str:
        """Say since when no round was heard of; empty if the last one is recent."""
        if self.last_round is None or self.last_round.age <= self.late_after:
            return ""
        return f"no aggregator has requested a signature since {self._since_round(self.last_round)}"

    def rounds_fail(self) -> str:
        """Say since when all rounds have failed; empty if they have not, or not for long."""
        if self.last_round is None or self.last_round.failing_seconds <= self.late_after:
            return ""
        return f"no claim has reached its quorum since {self._since_round(self.last_round)}"

    def _since_round(self, last_round: LastRound) -> str:
        start = "" if last_round.is_known else "the start of this service at "
        return f"{start}{self._since(last_round.age)} ({last_round.age:.0f} s ago)"

    def _since(self, age: float) -> str:
        since = datetime.fromtimestamp(self._wall() - age, UTC)
        return since.strftime("%Y-%m-%d %H:%M:%S UTC")

    def to_json(self) -> dict[str, int]:
        """The member `certification` of `/readyz`."""
        ages = {"checkpoint_age_seconds": round(self.checkpoint_age)}
        if self.last_round is not None:
            ages["round_age_seconds"] = round(self.last_round.age)
        return ages | {"late_after_seconds": self.late_after}

    def metrics(self) -> Iterator[Metric]:
        """The same as metrics."""
        yield gauge(
            "checkpoint_age_seconds",
            "Seconds since the last certified checkpoint in the log, or since genesis.",
            self.checkpoint_age,
        )
        yield gauge(
            "checkpoint_interval_seconds",
            "Seconds after which the next checkpoint is due: twelve rounds.",
            self._rounds.checkpoint_every,
        )
        if self.last_round is not None:
            yield gauge(
                "round_age_seconds",
                "Seconds since an aggregator last requested a signature (operator), or since a "
                "claim last reached its quorum (aggregator), or else since the start.",
                self.last_round.age,
            )
