"""Announced maintenance, below the tables of `dragon status` and `dragon nodes`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dragon_cli.recurrence import Window, shown
from dragon_cli.render.output import plain


def maintenance_lines(found: Iterable[tuple[str, Sequence[Window]]], now: int) -> list[str]:
    """Return a line for each node with a window that has not ended, below a heading.

    Args:
        found: nodes, and their windows in order.
        now: Unix seconds.
    """
    lines = []
    for node_id, windows in found:
        if left := [each for each in windows if each.end > now]:
            state = " [yellow](now)[/]" if left[0].begin <= now else ""
            more = f", and {len(left) - 1} more" if len(left) > 1 else ""
            lines.append(f"  {plain(node_id)}: {shown(left[0])}{state}{more}")
    return ["", "announced maintenance:", *lines] if lines else []
