"""Marks: the checkpoints and handovers that were applied to a log. They make its time."""

from __future__ import annotations

from dataclasses import dataclass, field

from dragon.protocol.rounds import Rounds


@dataclass(frozen=True, slots=True)
class Mark:
    """An applied checkpoint or handover.

    The time between two marks is that of the committee which signed the second one. Marks ascend
    by timestamp, size and position.
    """

    size: int  # entries that the mark covers
    log_root: bytes  # RFC 6962, 32 bytes
    timestamp: int  # Unix seconds
    position: int = field(default=0, compare=False)  # of its event in the log
    rounds: Rounds = field(default=Rounds(0, 5), compare=False)  # of the committee that signed
    next: bytes | None = None  # id of the committee that a handover seated; None: a checkpoint

    @property
    def is_checkpoint(self) -> bool:
        return self.next is None
