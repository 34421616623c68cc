"""What a check of a stream service's data folder finds."""

from __future__ import annotations

from dataclasses import dataclass, field

from dragon_stream.damage import Damage


@dataclass(slots=True)
class StreamReport:
    """What was found of one stream."""

    stream: str  # id (0x…)
    name: str
    segments: int = 0
    chunks: int = 0  # whole ones
    bytes: int = 0  # of data in them
    windows: int = 0  # whole ones
    archived: int = 0  # objects that the archive should have
    unread: int = 0  # of these, objects that were not read
    hides_sizes: bool = False  # whether it has readings, whose sizes nothing tells
    damages: list[Damage] = field(default_factory=list)

    def add(self, damage: Damage) -> None:
        if damage not in self.damages:
            self.damages.append(damage)


@dataclass(slots=True)
class Report:
    """What was found in a data folder."""

    streams: list[StreamReport] = field(default_factory=list)
    damages: list[Damage] = field(default_factory=list)  # that belong to no stream

    @property
    def is_whole(self) -> bool:
        return not self.damages and not any(stream.damages for stream in self.streams)
