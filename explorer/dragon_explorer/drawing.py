"""The geometry of the drawings on pages: paths of SVG, as short as possible.

A bar has one path for all days of one status. Equal days beside each other are one line, which a
dash pattern cuts into days, so a bar of 90 days takes about 100 bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from dragon_explorer.index import DOWN, MAINTENANCE, UNKNOWN, UP
from dragon_explorer.views.node import Chart
from dragon_explorer.views.probes import ObserverRounds, RecentProbes
from dragon_explorer.views.uptime import DayRow

DAY_WIDTH: Final = 4  # of a bar's day with the gap of 1 behind it
# The class of a letter, and where the line of its days runs in a bar of height 20.
LINES: Final = {UP: ("u", 10), DOWN: ("d", 10), UNKNOWN: ("q", 17), MAINTENANCE: ("m", 10)}
ANNOUNCED_LINE: Final = 24  # where it runs: below the bar
SPARK_STEP: Final = 4  # between two rounds of a small chart
SPARK_HEIGHT: Final = 20  # of a small chart
PLOT_WIDTH: Final = 720  # of the chart of response times
PLOT_HEIGHT: Final = 160
NICE_STEPS: Final = (1, 2, 5, 10)


ROUND_WIDTH: Final = 14  # of a round in a row of the grid, with the gap of 1 behind it
ROUND_MIDDLE: Final = 8  # of a row of the grid, which has a height of 16
# How a fault is written into a cell; other faults are an "x".
FAULT_LETTERS: Final = {
    "timeout": "T",
    "refused": "R",
    "dns": "D",
    "no_such_name": "N",
    "tls": "C",
    "unreachable": "U",
    "bad_signature": "B",
    "says_down": "O",
    "bad_answer": "A",
}
STATUS_CODE: Final = "status_"  # of a reason that names an HTTP status
OTHER_LETTER: Final = "x"
MAX_NAMED: Final = 4  # faults that are named for one letter


@dataclass(frozen=True, slots=True)
class PlotLine:
    """One observer's line in a plot."""

    observer: str
    d: str


@dataclass(frozen=True, slots=True)
class Plot:
    """A chart drawn by the server. It is replaced by an interactive one where scripts run."""

    top_ms: int  # at the upper edge
    lines: tuple[PlotLine, ...]


def bar_paths(letters: str) -> list[tuple[str, str]]:
    """Return the class and path of each status that occurs in a bar."""
    paths: dict[str, str] = {}
    place = 0
    for letter, run in groupby(letters):
        length = len(list(run))
        name, y = LINES.get(letter, LINES[UNKNOWN])
        paths[name] = f"{paths.get(name, '')}M{place * DAY_WIDTH} {y}h{length * DAY_WIDTH - 1}"
        place += length
    return list(paths.items())


def announced_path(days: Sequence[DayRow]) -> str:
    """Return the line below a bar that marks the days with announced maintenance."""
    path, place = "", 0
    for is_announced, run in groupby(days, lambda each: each.seconds_announced > 0):
        length = len(list(run))
        if is_announced:
            path += f"M{place * DAY_WIDTH} {ANNOUNCED_LINE}h{length * DAY_WIDTH - 1}"
        place += length
    return path


def bar_days(letters: str) -> str:
    """Return the text alternative of a bar."""
    names = (
        (UP, "up"),
        (DOWN, "with downtime"),
        (MAINTENANCE, "down in announced maintenance only"),
        (UNKNOWN, "unknown"),
    )
    counts = [f"{letters.count(letter)} {name}" for letter, name in names if letter in letters]
    return f"{len(letters)} days: {', '.join(counts)}"


def spark(values: Sequence[int | None]) -> tuple[str, str]:
    """Return the line of response times, and the marks of rounds in which it was seen down."""
    most = max((each for each in values if each is not None), default=0) or 1
    line, marks, drawing = "", "", False
    for place, value in enumerate(values):
        x = place * SPARK_STEP
        if value is None:
            marks, drawing = f"{marks}M{x} 4v12", False
            continue
        y = SPARK_HEIGHT - 2 - round((SPARK_HEIGHT - 4) * value / most)
        # A single value becomes a line of no length, which a round cap makes a point.
        line += f"L{x} {y}" if drawing else f"M{x} {y}h0"
        drawing = True
    return line, marks


def round_paths(row: ObserverRounds) -> list[tuple[str, str]]:
    """Return the class and path of each state of an observer's rounds."""
    paths: dict[str, str] = {}
    for place, name in enumerate(_states(row)):
        x = place * ROUND_WIDTH
        paths[name] = f"{paths.get(name, '')}M{x} {ROUND_MIDDLE}h{ROUND_WIDTH - 1}"
    return list(paths.items())


def round_faults(row: ObserverRounds) -> list[tuple[int, str, str]]:
    """Return the place, letter and name of the fault of each round in which it was seen down."""
    middle = (ROUND_WIDTH - 1) / 2
    return [
        (round(place * ROUND_WIDTH + middle), fault_letter(outcome), outcome)
        for place, (name, outcome) in enumerate(zip(_states(row), row.outcomes, strict=True))
        if name == "d" and outcome is not None
    ]


def rounds_text(row: ObserverRounds) -> str:
    """Return the text alternative of an observer's rounds."""
    states = list(_states(row))
    names = (("u", "answered"), ("d", "seen down"), ("q", "not heard"))
    counts = [f"{states.count(state)} {name}" for state, name in names if state in states]
    return f"{row.observer}, {len(states)} rounds: {', '.join(counts)}"


def fault_letter(reason: str) -> str:
    """Return the letter of a fault."""
    if reason.startswith(STATUS_CODE):
        return "S"
    return FAULT_LETTERS.get(reason, OTHER_LETTER)


def fault_letters(recent: RecentProbes) -> list[tuple[str, str]]:
    """Return the letters that the rows of a grid contain, each with its faults in words."""
    found: dict[str, set[str]] = {}
    for row in recent.observers:
        for _, letter, reason in round_faults(row):
            found.setdefault(letter, set()).add(reason.replace("_", " "))
    return [(letter, ", ".join(sorted(found[letter])[:MAX_NAMED])) for letter in sorted(found)]


def _states(row: ObserverRounds) -> Iterator[str]:
    for outcome, latency in zip(row.outcomes, row.latencies_ms, strict=True):
        yield "q" if outcome is None else "d" if latency is None else "u"


def plot(chart: Chart) -> Plot:
    """Return the paths of a chart of response times."""
    values = [value for line in chart.lines for value in line.mean_ms if value is not None]
    top = _round_up(max(values, default=1))
    width = PLOT_WIDTH / max(1, len(chart.times) - 1)
    return Plot(
        top, tuple(PlotLine(each.observer, _line(each.mean_ms, width, top)) for each in chart.lines)
    )


def _line(values: Sequence[int | None], width: float, top: int) -> str:
    return "".join(_steps(values, width, top))


def _steps(values: Sequence[int | None], width: float, top: int) -> Iterator[str]:
    drawing = False
    for place, value in enumerate(values):
        if value is not None:
            x, y = round(place * width), PLOT_HEIGHT - round(PLOT_HEIGHT * value / top)
            yield f"L{x} {y}" if drawing else f"M{x} {y}h0"
        drawing = value is not None


def _round_up(value: int) -> int:
    """Return the next of 1, 2, 5, 10, 20, … that is not smaller."""
    scale = 1
    while True:
        for step in NICE_STEPS:
            if value <= step * scale:
                return step * scale
        scale *= 10
