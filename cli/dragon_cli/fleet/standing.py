"""Which committee holds, and which may follow, as the operators say. Answers are not verified."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from dragon.encoding import Json
from dragon.protocol.committee import Committee
from dragon_cli.fleet import approvals
from dragon_cli.fleet.approvals import Said

MAX_PENDING = 3  # next committees that are named


@dataclass(frozen=True, slots=True)
class Standing:
    """What most operators say about the committee."""

    epoch: int | None  # None: no operator answers
    committee: str  # its id; empty if no operator answers
    seat: int | None  # when it took its seat, Unix seconds
    logs: int  # operators with this committee
    operators: int  # that were asked
    needed: int  # approvals for a handover
    pending: tuple[tuple[str, int], ...]  # id of a next committee, and how many have approved it

    @classmethod
    def of(cls, committee: Committee, said: Sequence[Said]) -> Self:
        """Return what most of the operators of a committee say."""
        answered = [each for each in said if not each.error]
        held = Counter((each.epoch, each.committee) for each in answered).most_common(1)
        (epoch, holds), logs = held[0] if held else ((None, ""), 0)
        seat = next((each.seat for each in answered if each.committee == holds), None)
        there = [each for each in answered if each.committee == holds]
        pending = approvals.tally(there, committee)[:MAX_PENDING]
        needed = committee.quorum("handover")
        return cls(epoch, holds, seat, logs, len(said), needed, tuple(pending))

    def to_json(self) -> dict[str, Json]:
        return {
            "epoch": self.epoch,
            "committee": self.committee or None,
            "seat": self.seat,
            "logs": self.logs,
            "pending": [
                {
                    "committee": named,
                    "short_id": approvals.short(named),
                    "approved": approved,
                    "needed": self.needed,
                }
                for named, approved in self.pending
            ],
        }
