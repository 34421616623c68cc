"""The options of `dragon maintenance add` that say when a window is."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import tzinfo

import click

from dragon_cli.recurrence import Recurrence, Window, shown
from dragon_cli.times import time_option


@dataclass(frozen=True, slots=True)
class WindowOptions:
    """The options that say when a window is."""

    begin: str | None
    end: str | None
    seconds: int | None
    zone: tzinfo

    def window(self, now: float) -> Window:
        """Return the single window. Raises UsageError, BadParameter."""
        if self.begin is None:
            raise click.UsageError("Say when it begins with `--from`, or use `--repeat`.")
        if (self.end is None) is (self.seconds is None):
            raise click.UsageError("Say how long it lasts with either `--for` or `--to`.")
        begin = time_option("--from", self.begin, self.zone, now).at
        if self.seconds is not None:
            return Window(begin, begin + self.seconds)
        end = time_option("--to", str(self.end), self.zone, now).at
        if end <= begin:
            message = f"`--from` ({self.begin}) must be earlier than `--to` ({self.end})."
            raise click.UsageError(message)
        return Window(begin, end)

    def recurrence(self, expression: str) -> Recurrence:
        """Return the recurring windows. Raises UsageError: they are not complete, or overlap."""
        if self.begin is not None or self.end is not None:
            raise click.UsageError("`--repeat` says when windows begin: omit `--from` and `--to`.")
        if self.seconds is None:
            raise click.UsageError("Say how long each window lasts with `--for`.")
        found = Recurrence(expression, self.zone, self.seconds)
        if overlap := found.overlap(int(time.time())):
            one, other = map(shown, overlap)
            raise click.UsageError(f"Windows overlap: {one} and {other}. Use a shorter `--for`.")
        return found
