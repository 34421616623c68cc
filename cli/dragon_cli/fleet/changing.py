"""Change the committee of a running fleet whose owners all have their keys in one home."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from dragon import errors
from dragon.encoding import to_hex
from dragon.net.http_client import HttpClient
from dragon.protocol.committee import Committee
from dragon.protocol.founding import Change, succeed
from dragon.protocol.lineage import Lineage
from dragon_cli.errors import KeysElsewhere, LogNotCurrent
from dragon_cli.fleet import approvals, approving, lineages, own_operators, queries
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.own_operators import OwnOperator
from dragon_cli.hints import with_hint

POLL_SECONDS: Final = 0.25
MIN_WAIT_SECONDS: Final = 60  # or these rounds, if they take longer
WAIT_ROUNDS: Final = 20  # three until a handover, and twelve until the next checkpoint
LATER_HINT: Final = (
    "The approval stays: `dragon committee show --live` shows who has approved; `dragon committee "
    "withdraw --all` takes it back."
)

Say = Callable[[str], object]  # takes a line of progress


@dataclass(frozen=True, slots=True)
class Clock:
    """Time, for waiting. All values are seconds."""

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = time.sleep


@dataclass(frozen=True, slots=True)
class Changer:
    """Approves a change with all operators of a home, and waits until it is applied."""

    home: Home
    http: HttpClient
    say: Say
    clock: Clock = Clock()

    def change(self, change: Change) -> Lineage:
        """Assemble the next committee, approve it, wait for the handover, and extend the home.

        Returns the lineage that the home holds then.

        Raises:
            KeysElsewhere: too few operators of the committee have their keys in this home.
            Unreachable, LogNotCurrent: the fleet is not running, or has only begun.
            InvalidCommittee, UnknownMember: the change is not acceptable.
            ApprovedAnother: another change is under way.
            StepFailed: it was approved, and not applied in time.
        """
        now = self.clock.wall()
        before, ready = self._ready(now)
        following = succeed(before, change)
        listed = {*before.newest.keys, *following.keys}
        ready = [operator for operator in ready if operator.id in listed]
        for operator in ready:
            approving.check_fit(operator, before, following)
            approving.check_no_other(operator, before, following, now)
        approving.approve(ready, following, now)
        return self._wait(before.newest, following)

    def _ready(self, now: float) -> tuple[Lineage, list[OwnOperator]]:
        """Return the lineage, and the operators of this home whose logs show that it is current."""
        own = own_operators.all_of(self.home)
        holding = self.home.committee()
        needed = holding.quorum("handover")
        if len(mine := [each.id for each in own if each.id in holding.keys]) < needed:
            message = (
                f"{self.home.path} has the keys of {len(mine)} operators of the committee, and "
                f"{needed} must approve."
            )
            raise KeysElsewhere(message, here=len(mine), needed=needed)
        self._check_running({name: holding.urls[name] for name in mine}, needed)
        lineages_: list[Lineage] = []
        ready: list[OwnOperator] = []
        failed: list[LogNotCurrent] = []
        for operator in own:
            try:
                lineages_.append(approving.current_lineage(operator, now))
                ready.append(operator)
            except LogNotCurrent as error:
                failed.append(error)
        if len(ready) < needed:
            raise failed[0]
        return max(lineages_, key=lambda each: each.newest.epoch), ready

    def _check_running(self, operators: dict[str, str], needed: int) -> None:
        said = approvals.ask(self.http, operators)
        if (answered := sum(not each.error for each in said)) < needed:
            message = f"{answered} of {len(said)} operators of this home answer; {needed} must."
            raise errors.Unreachable(message, answered=answered, needed=needed)

    def _wait(self, holding: Committee, following: Committee) -> Lineage:
        """Wait until a quorum of the next committee follows, and a checkpoint proves it."""
        seconds = max(MIN_WAIT_SECONDS, WAIT_ROUNDS * following.rounds.seconds)
        ends = self.clock.monotonic() + seconds
        while True:
            said = approvals.ask(self.http, queries.operators(following, None))
            follow = sum(each.committee == to_hex(following.id) for each in said)
            has_begun = follow >= following.quorum("handover")
            self.say(_progress(following, has_begun=has_begun))
            if has_begun and (found := self._proven(following)):
                return found
            if self.clock.monotonic() > ends:
                message = (
                    f"The committee of epoch {following.epoch} is not in force after {seconds} s: "
                    f"{follow} of {len(said)} operators follow it."
                )
                raise with_hint(errors.StepFailed(message, epoch=following.epoch), LATER_HINT)
            self.clock.sleep(POLL_SECONDS)

    def _proven(self, following: Committee) -> Lineage | None:
        """Return the extended lineage once a checkpoint of the next committee proves it."""
        try:
            asked = queries.operators(following, None)
            found = lineages.fetch_all(self.http, asked, following.network_id)
        except (errors.LineageUnproven, errors.PeerError):
            return None
        extended = lineages.extend(self.home, found).after
        return extended if extended.newest.epoch >= following.epoch else None


def _progress(following: Committee, *, has_begun: bool) -> str:
    if has_begun:
        return f"epoch {following.epoch} has begun; its first checkpoint proves it"
    return f"waiting until epoch {following.epoch} begins"
