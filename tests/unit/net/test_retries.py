"""Pauses between attempts: jittered, capped, and as long as the service asks for."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from dragon.errors import BadAnswer, PeerError, Unavailable, Unreachable
from dragon.net.retries import (
    FIRST_PAUSE_SECONDS,
    MAX_PAUSE_SECONDS,
    MAX_RETRY_AFTER_SECONDS,
    Retries,
    is_temporary,
)

AWAY = Unreachable("no answer", reason="unreachable")


@dataclass
class Service:
    """A service that raises errors before it answers, on a clock that only pauses advance."""

    errors: list[PeerError]
    now: float = 0.0
    slept: list[float] = field(default_factory=list)
    reported: list[str] = field(default_factory=list)

    def answer(self) -> str:
        if self.errors:
            raise self.errors.pop(0)
        return "done"

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def retries(self, patience: float | None = 600.0, draw: float = 1.0) -> Retries:
        return Retries(
            patience,
            on_outage=lambda error: self.reported.append(str(error)),
            on_recovery=lambda: self.reported.append("recovered"),
            monotonic=lambda: self.now,
            sleep=self.sleep,
            draw=lambda: draw,
        )


def test_pauses_double_up_to_a_limit() -> None:
    service = Service([AWAY] * 7)

    assert service.retries().call(service.answer) == "done"

    assert service.slept == [0.5, 1.0, 2.0, 4.0, 8.0, MAX_PAUSE_SECONDS, MAX_PAUSE_SECONDS]
    assert service.reported == ["no answer", "recovered"]


@pytest.mark.parametrize(("draw", "share"), [(0.0, 0.5), (0.5, 0.75), (1.0, 1.0)])
def test_half_of_each_pause_is_random(draw: float, share: float) -> None:
    service = Service([AWAY] * 2)

    service.retries(draw=draw).call(service.answer)

    assert service.slept == [share * FIRST_PAUSE_SECONDS, share * 2 * FIRST_PAUSE_SECONDS]


def test_retry_after_is_honoured_up_to_a_limit() -> None:
    busy = [Unavailable("busy", retry_after=seconds) for seconds in (7, 10**6)]
    service = Service([*busy])

    service.retries().call(service.answer)

    assert service.slept == [7.5, MAX_RETRY_AFTER_SECONDS + 1.0]


def test_without_patience_there_is_one_attempt() -> None:
    service = Service([AWAY])

    with pytest.raises(Unreachable):
        service.retries(patience=0.0).call(service.answer)

    assert (service.slept, service.reported) == ([], [])


def test_a_new_outage_begins_with_a_short_pause() -> None:
    service = Service([AWAY] * 3)
    retries = service.retries()
    retries.call(service.answer)
    service.errors = [AWAY]

    retries.call(service.answer)

    assert service.slept[-1] == FIRST_PAUSE_SECONDS
    assert service.reported == ["no answer", "recovered"] * 2


@pytest.mark.parametrize(
    ("error", "temporary"),
    [
        (AWAY, True),
        (Unreachable("no answer in time", reason="timeout"), True),
        (Unavailable("answered 503", status=503), True),
        (Unreachable("its certificate has expired", reason="tls"), False),
        (BadAnswer("answered 409", status=409), False),
    ],
    ids=str,
)
def test_only_temporary_failures_are_repeated(error: PeerError, temporary: bool) -> None:
    assert is_temporary(error) is temporary
    service = Service([error])

    if temporary:
        assert service.retries().call(service.answer) == "done"
    else:
        with pytest.raises(type(error)):
            service.retries().call(service.answer)
    assert len(service.slept) == int(temporary)
