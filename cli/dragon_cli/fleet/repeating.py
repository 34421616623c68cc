"""Announce recurring windows ahead, as long as this process runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from dragon import errors
from dragon.errors import DragonError
from dragon.protocol.claims.maintenance import MAX_AHEAD_SECONDS
from dragon.protocol.committee import Committee
from dragon_cli.recurrence import Recurrence, Window, shown

REFRESH_SECONDS: Final = 300  # until the logs are asked again
RETRY_SECONDS: Final = 30  # after a failure
# Windows that have not ended, by this program or by hand. A node may have 16: the others stay free
# for windows that are added by hand, because none can be cancelled.
MAX_OPEN: Final = 12
MAX_CONSIDERED: Final = 64  # windows of the expression, in each pass
MIN_RESEND_SECONDS: Final = 120  # an accepted window is handed over again if no log has it then
# The window cannot be announced, and the next one may.
REFUSED: Final = (errors.TooLate, errors.TooFar, errors.EnoughAnnounced)


@dataclass(frozen=True, slots=True)
class Fleet:
    """What the helper asks of the network. All of these raise DragonError."""

    committee: Callable[[], Committee]  # the one that holds now
    check_key: Callable[[Committee], None]  # whether it lists our key as the one that speaks
    announced: Callable[[Committee], Sequence[Window]]  # what the logs announce
    announce: Callable[[Committee, Window, int], str]  # with the place of the first aggregator


@dataclass(frozen=True, slots=True)
class Refusal:
    """A window that cannot be announced, and why."""

    window: Window
    error: DragonError


@dataclass(slots=True)
class Pass:
    """What one pass has found and done. All windows are those of the expression."""

    announced: list[Window] = field(default_factory=list)  # accepted by an aggregator now
    known: list[Window] = field(default_factory=list)  # in the logs already, or on their way there
    refused: list[Refusal] = field(default_factory=list)


class Repeater:
    """Announces the windows of an expression. Several at once do no harm.

    Everything is read from the logs again in each pass, so nothing has to be stored. A window that
    lies in an announced one needs no announcement.
    """

    def __init__(
        self, fleet: Fleet, recurrence: Recurrence, ahead: int, say: Callable[[str], object]
    ) -> None:
        """Args: `ahead`, seconds from now within which windows are announced; or the notice."""
        self._fleet = fleet
        self._recurrence = recurrence
        self._ahead = ahead
        self._say = say
        self._sent: dict[Window, int] = {}  # when an aggregator accepted it, Unix seconds
        self._first = 0  # place of the aggregator that is asked first
        self._said: set[Window] = set()  # refused windows that were named

    def run(self, wall: Callable[[], float], wait: Callable[[float], bool]) -> None:
        """Announce until `wait` (which takes seconds) returns True.

        Raises DragonError, as `check_key`: only the owner can help. What services answer never
        ends it.
        """
        pause = 0.0
        while not wait(pause):
            try:
                committee = self._fleet.committee()
            except DragonError as error:
                pause = self._failed(error)
                continue
            self._fleet.check_key(committee)
            try:
                self._announce_due(committee, int(wall()))
                pause = RETRY_SECONDS if self._sent else REFRESH_SECONDS
            except DragonError as error:
                pause = self._failed(error)

    def _failed(self, error: DragonError) -> float:
        self._say(f"{error} Trying again in {RETRY_SECONDS} s.")
        return RETRY_SECONDS

    def once(self, now: int) -> Pass:
        """Announce what is to be announced now (Unix seconds).

        Raises DragonError: the key does not speak for the node, or services cannot be asked.
        """
        committee = self._fleet.committee()
        self._fleet.check_key(committee)
        return self._announce_due(committee, now)

    def _announce_due(self, committee: Committee, now: int) -> Pass:
        listed = [each for each in self._fleet.announced(committee) if each.end > now]
        self._forget(committee, listed, now)
        known, done = {*listed, *self._sent}, Pass()
        for window in islice(self._due(committee, now), MAX_CONSIDERED):
            if any(each.covers(window) for each in known):
                done.known.append(window)
            elif len(known) + len(done.announced) < MAX_OPEN:
                self._announce(committee, window, now, done)
        return done

    def _due(self, committee: Committee, now: int) -> Iterator[Window]:
        """Yield the windows that may be announced now. Log time is earlier than `now` by a lag."""
        notice, lag = committee.maintenance_notice, committee.rounds.unknown_after
        first = now + max(0, notice - lag)
        # A window must be seen in some pass before it is too late.
        last = now + min(MAX_AHEAD_SECONDS - lag, max(self._ahead, notice + 2 * REFRESH_SECONDS))
        return self._recurrence.windows(first, last)

    def _forget(self, committee: Committee, listed: Sequence[Window], now: int) -> None:
        """Forget what is in the logs, or should be by now and is not."""
        oldest = now - max(MIN_RESEND_SECONDS, committee.rounds.unknown_after)
        missing = {each: at for each, at in self._sent.items() if each not in listed}
        self._sent = {each: at for each, at in missing.items() if at > oldest}
        if len(self._sent) < len(missing):
            self._first += 1  # that aggregator accepts windows, and does not publish them
        self._said = {each for each in self._said if each.end > now}

    def _announce(self, committee: Committee, window: Window, now: int, done: Pass) -> None:
        """Announce a window, and note what came of it. Raises DragonError, as `once`."""
        try:
            by = self._fleet.announce(committee, window, self._first)
        except errors.AppliedAlready:
            done.known.append(window)
        except REFUSED as error:
            done.refused.append(Refusal(window, error))
            if window not in self._said:
                self._said.add(window)
                self._say(f"Not announced: {shown(window)}. {error}")
        else:
            self._sent[window] = now
            done.announced.append(window)
            self._say(f"Announced: {shown(window)}. Accepted by {by}.")
