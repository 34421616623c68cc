"""The provers of a stream service: which one makes the next proof, and which ones fail.

A proof is requested from the prover with the fewest requests of this service in flight. If that
fails, it is requested from another one. A prover that does not answer gets no requests until it
answers a health check, and a busy one gets none for a second. After a failure a prover is suspect
until it makes a proof: it gets requests only if no other prover has a free place, or one at a time
after a pause. So does one that is unavailable (503), such as one that still compiles its kernels.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from prometheus_client import Counter
from prometheus_client.metrics_core import Metric

from dragon.errors import BadAnswer, PeerError, ProofRefused, Unreachable
from dragon.net.prover_client import ProverClient
from dragon.node.metrics import gauges

DEFAULT_REQUESTS: Final = 4  # concurrent requests to each prover
CHECK_PAUSE_SECONDS: Final = 1.0  # between two checks of a prover that does not answer
CHECK_TIMEOUT_SECONDS: Final = 2.0
TRIAL_PAUSE_SECONDS: Final = 10.0  # after a failure, while others have places
BUSY_PAUSE_SECONDS: Final = 1.0  # after the answer that a prover is busy, unless it asks for more
MAX_BUSY_PAUSE_SECONDS: Final = 10.0
PLACE_TIMEOUT_SECONDS: Final = 15.0  # to wait for a place at a prover
_BUSY: Final = frozenset((HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE))


@dataclass(slots=True)
class _Prover:
    client: ProverClient
    name: str  # host and port, for metrics and messages
    in_flight: int = 0  # our requests that it has not answered
    error: str = ""  # of the last request; empty after a success
    is_silent: bool = False  # gave no answer; gets no request until a check succeeds
    is_suspect: bool = False  # has failed, and made no proof since
    busy_until: float = 0.0  # gets no request before
    trial_at: float = 0.0  # when a suspect prover is preferred for one request

    def load(self, now: float) -> tuple[bool, int]:
        """The key by which provers are chosen, the smallest first."""
        is_last = self.is_suspect and (now < self.trial_at or self.in_flight > 0)
        return is_last, self.in_flight

    def takes(self, now: float) -> bool:
        """Whether it may get a request now, if it has a place."""
        return not self.is_silent and now >= self.busy_until


class Provers:
    """All provers of a service. The first in the list is the first to be used."""

    def __init__(
        self,
        clients: Sequence[ProverClient],
        monotonic: Callable[[], float],
        requests: int = DEFAULT_REQUESTS,
    ) -> None:
        """Args: `monotonic` returns seconds; `requests` bounds those to each prover."""
        self._provers = [_Prover(each, urlsplit(each.url).netloc) for each in clients]
        self._monotonic = monotonic
        self._requests = requests
        self._changed = threading.Condition()  # guards the provers; notified of a free place
        self.counter = Counter(
            "datadragon_stream_proofs",
            "Proofs that were requested from each prover, by outcome.",
            ["prover", "outcome"],
            registry=None,
        )

    @property
    def places(self) -> int:
        """How many proofs are requested at the same time."""
        return self._requests * len(self._provers)

    @property
    def faults(self) -> Mapping[str, str]:
        """Why provers do not work, by name; without those that work."""
        return {each.name: each.error for each in self._provers if each.error}

    @property
    def has_working(self) -> bool:
        """Whether at least one prover has not failed at its last request."""
        return len(self.faults) < len(self._provers)

    @property
    def is_available(self) -> bool:
        """Whether a prover takes requests now."""
        now = self._monotonic()
        return any(each.takes(now) for each in self._provers)

    def prove(self, request: Callable[[ProverClient], bytes]) -> bytes:
        """Return a proof, from the first prover that makes it. Each one is asked at most once.

        Args: `request`, requests the proof from a prover and verifies it.

        Raises:
            PeerError, ProofRefused: the error of the last prover.
            Unreachable: no prover takes requests, or has a place in time.
        """
        asked: list[_Prover] = []
        last_error: PeerError | ProofRefused | None = None
        while (prover := self._acquire(asked)) is not None:
            asked.append(prover)
            try:
                proof = request(prover.client)
            except (PeerError, ProofRefused) as error:
                last_error = error
                self._on_error(prover, error)
            else:
                self._on_success(prover)
                return proof
            finally:
                self._release(prover)
        raise last_error or Unreachable("no prover takes requests now", reason="provers")

    @property
    def silent(self) -> Sequence[int]:
        """The provers that do not answer, by their place in the list."""
        return [place for place, each in enumerate(self._provers) if each.is_silent]

    def check(self, place: int) -> float:
        """Check whether a prover that did not answer does now.

        Args: `place`, its place in the list.

        Returns the seconds until the next check.
        """
        prover = self._provers[place]
        try:
            prover.client.check(deadline=CHECK_TIMEOUT_SECONDS)
        except PeerError as error:
            prover.error = str(error)
        else:
            with self._changed:
                prover.is_silent, prover.error = False, ""
                self._changed.notify_all()
        return CHECK_PAUSE_SECONDS

    def metrics(self) -> Iterator[Metric]:
        """Metrics of each prover."""
        yield gauges(
            "stream_prover_works",
            "1 if the prover has not failed at its last request or check, by prover.",
            "prover",
            {each.name: not each.error for each in self._provers},
        )
        yield gauges(
            "stream_proofs_in_flight",
            "Proofs that are requested from the prover now, by prover.",
            "prover",
            {each.name: each.in_flight for each in self._provers},
        )

    def _acquire(self, asked: Collection[_Prover]) -> _Prover | None:
        """Take a place at the prover with the least load, or wait for one.

        Returns None if all that take requests were asked, or have no place in time.
        """
        ends = self._monotonic() + PLACE_TIMEOUT_SECONDS
        with self._changed:
            while candidates := self._candidates(asked):
                now = self._monotonic()
                free = [each for each in candidates if each.in_flight < self._requests]
                if free:
                    chosen = min(free, key=lambda each: each.load(now))
                    chosen.in_flight += 1
                    return chosen
                if now >= ends:
                    break
                self._changed.wait(ends - now)
        return None

    def _candidates(self, asked: Collection[_Prover]) -> list[_Prover]:
        now = self._monotonic()
        return [each for each in self._provers if each.takes(now) and each not in asked]

    def _release(self, prover: _Prover) -> None:
        with self._changed:
            prover.in_flight -= 1
            self._changed.notify_all()

    def _on_success(self, prover: _Prover) -> None:
        self.counter.labels(prover.name, "done").inc()
        with self._changed:
            prover.error, prover.is_silent, prover.is_suspect = "", False, False

    def _on_error(self, prover: _Prover, error: PeerError | ProofRefused) -> None:
        status = error.facts.get("status") if isinstance(error, BadAnswer) else None
        is_busy = status in _BUSY
        self.counter.labels(prover.name, "busy" if is_busy else error.name).inc()
        now = self._monotonic()
        with self._changed:
            prover.error = str(error)
            if is_busy:
                asked = error.facts.get("retry_after")
                pause = float(asked) if isinstance(asked, int) else BUSY_PAUSE_SECONDS
                prover.busy_until = now + min(pause, MAX_BUSY_PAUSE_SECONDS)
            if status != HTTPStatus.TOO_MANY_REQUESTS:  # one that answers 503 may be unable to
                prover.is_silent = isinstance(error, Unreachable)
                prover.is_suspect, prover.trial_at = True, now + TRIAL_PAUSE_SECONDS
