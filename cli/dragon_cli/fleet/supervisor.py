"""Restarts the services of a fleet that have died, each after a pause that doubles."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

FIRST_PAUSE_SECONDS: Final = 1.0  # before the first restart; each further pause is twice as long
MAX_PAUSE_SECONDS: Final = 60.0  # between two attempts to start what cannot be started
MAX_DEATHS: Final = 5  # in a row; then the service is not restarted any more
MAX_OUTPUT_CHARS: Final = 200  # of the last output, in the announcement of a death
RECOVERED_SECONDS: Final = 60.0  # a service that has run for so long begins a new row of deaths


class Services(Protocol):
    """The part of a `Fleet` that a supervisor uses."""

    def started(self) -> Iterable[str]: ...
    def exit_code(self, name: str) -> int | None: ...
    def last_output(self, name: str) -> str: ...
    def restart(self, name: str) -> None: ...


@dataclass(slots=True)
class _Record:
    """The deaths of one service. All times are monotonic seconds."""

    started_at: float
    deaths: int = 0  # in a row
    noticed: bool = False  # whether the last step has found it dead
    restart_at: float | None = None  # while it is dead and will be restarted
    given_up: bool = False


class Supervisor:
    """Looks after the services of one fleet.

    A death is acted upon one step after it was noticed. A signal that ends the services may be
    meant for this program as well, as at the end of a session or a container: then there is no next
    step, and an ordinary stop raises no alarm.

    Args:
        say: prints one line for a person.
        monotonic: a clock in seconds.
    """

    def __init__(
        self, services: Services, say: Callable[[str], None], monotonic: Callable[[], float]
    ) -> None:
        self._services = services
        self._say = say
        self._monotonic = monotonic
        now = monotonic()
        self._records = {name: _Record(now) for name in services.started()}

    @property
    def given_up(self) -> list[str]:
        """The services that have died too often, and are not restarted any more."""
        return [name for name, record in self._records.items() if record.given_up]

    def step(self) -> None:
        """Notice deaths, and restart the services whose pause is over."""
        for name, record in self._records.items():
            code = self._services.exit_code(name)
            if record.given_up or code is None:
                continue
            if record.restart_at is not None:
                self._restart_if_due(name, record)
            elif record.noticed:
                self._plan(name, record, code)
            else:
                record.noticed = True

    def _plan(self, name: str, record: _Record, code: int) -> None:
        """Announce a death, and plan the restart if there were not too many."""
        now = self._monotonic()
        if now - record.started_at >= RECOVERED_SECONDS:
            record.deaths = 0
        record.deaths += 1
        ended = f"{name} has died ({_in_words(code)})"
        if code >= 0:  # a service that is killed does not say why
            ended += f"; last output: {self._services.last_output(name)[:MAX_OUTPUT_CHARS]}"
        if record.deaths >= MAX_DEATHS:
            record.given_up = True
            self._say(f"{ended}. It died {record.deaths} times in a row and stays down.")
            return
        pause = FIRST_PAUSE_SECONDS * 2 ** (record.deaths - 1)
        record.restart_at = now + pause
        self._say(f"{ended}. It restarts in {pause:.0f} s.")

    def _restart_if_due(self, name: str, record: _Record) -> None:
        now = self._monotonic()
        if record.restart_at is not None and now >= record.restart_at:
            try:
                self._services.restart(name)
            except OSError as error:  # such as a full disk; it is tried again
                record.restart_at = now + MAX_PAUSE_SECONDS
                self._say(
                    f"{name} cannot be started: {error.strerror or error}. It is tried again."
                )
                return
            record.noticed, record.restart_at, record.started_at = False, None, now


def _in_words(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
