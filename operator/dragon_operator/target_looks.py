"""An operator's own looks at the targets, once a round.

The committee file may want several looks in a row before a target is suspected. An operator signs
what its own looks support, so it cannot wait for claims.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Final

from dragon.net.runtime import Runtime
from dragon.probing.probe_result import ProbeResult
from dragon.probing.prober import Prober
from dragon.probing.socket_look import DAY_SECONDS
from dragon.protocol.committee import Seated
from dragon.protocol.target_checks import TlsCheck

# When in a round the looks begin, as a share of it. The aggregators look at its start. A look that
# takes half a round ends before the next round.
BEGIN_SHARE: Final = 0.4
MAX_WAIT_SECONDS: Final = 5.0  # a handover may shorten the rounds


class TargetLooks:
    """Looks at all targets of the committee that holds."""

    def __init__(self, seated: Seated, prober: Prober, runtime: Runtime) -> None:
        self._seated = seated
        self._prober = prober
        self._wall = runtime.wall
        self._last = (0, 0.0)  # round length, and start of the last round in which we looked

    def step(self) -> Mapping[str, ProbeResult]:
        """Look at every target once. Takes at most the probe deadline of an operator."""
        return self._prober.probe(self._seated.committee.targets_by_id, max_age=0)

    def latest(self) -> dict[str, ProbeResult]:
        """Return the latest look at each target, of those that say anything about it."""
        found = {each: self._prober.latest(each) for each in self._seated.committee.targets_by_id}
        return {
            node_id: result
            for node_id, result in found.items()
            if result is not None and result.is_evidence
        }

    def warn_seconds(self) -> dict[str, float]:
        """Return how long before the end of its certificate a `tls` target is warned of."""
        return {
            target.id: target.check.warn_days * DAY_SECONDS
            for target in self._seated.committee.targets
            if isinstance(target.check, TlsCheck)
        }

    def run(self, stop: threading.Event) -> None:
        """Look once a round until `stop` is set."""
        while not stop.is_set():
            rounds = self._seated.committee.rounds
            moment = self._wall() - BEGIN_SHARE * rounds.seconds
            number = rounds.number(moment)
            if self._last != (rounds.seconds, rounds.start(number)):
                self._last = (rounds.seconds, rounds.start(number))
                self.step()
            following = rounds.start(number + 1) + BEGIN_SHARE * rounds.seconds
            stop.wait(min(MAX_WAIT_SECONDS, max(0.01, following - self._wall())))
