"""What a stream's readings are, and what its windows claim about them, for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from dragon.protocol.streams.reading_rule import Rounding
from dragon.protocol.streams.reading_sums import MeanSum, StatedSum, TotalSum
from dragon.protocol.streams.reading_text import decimal_text
from dragon.protocol.streams.readings import Readings
from dragon_cli.render.output import plain

NO_CLAIM: Final = "no claim"
STATEMENTS: Final = {"readings": "readings", "blocks": NO_CLAIM, "none": NO_CLAIM}


def statement_text(statement: object) -> str:
    """Return what a window says about its readings: `readings`, `no claim`, or empty for neither.

    Args: `statement`, the member of a window's claim (`readings`, `blocks`) or header (`none`).
    """
    return STATEMENTS.get(str(statement), "")


def readings_lines(readings: Readings) -> Iterator[str]:
    """Yield what a message is, and each part of the claim of a window."""
    rule, unit = readings.rule, plain(readings.unit)
    decimals = f"{rule.scale} decimal{'' if rule.scale == 1 else 's'}"
    exactly = f"with at most {decimals}"
    number = exactly if rule.rounding is Rounding.EXACT else f"rounded to {decimals}"
    where = "" if rule.pointer is None else f", at {plain(rule.pointer or '/')} of its JSON"
    yield (
        f"Each message of up to {readings.length} bytes is one reading: a number in {unit} "
        f"{number}{where}."
    )
    yield "The proof of a window shows, without showing a reading:"
    for part in _claims(readings):
        yield f"  {part}"
    yield "A window in which one of these does not hold carries no claim, for everybody to see."


def _claims(readings: Readings) -> Iterator[str]:
    scale, unit, total = readings.rule.scale, plain(readings.unit), readings.sum
    low, high = (decimal_text(each, scale) for each in (readings.low, readings.high))
    yield f"every committed reading is from {low} to {high} {unit}"
    yield from _steps(readings)
    if isinstance(total, MeanSum):
        first, last = (decimal_text(each, scale) for each in (total.low, total.high))
        yield f"the mean of its committed readings is from {first} to {last} {unit}"
    elif isinstance(total, TotalSum):
        first, last = (decimal_text(each, scale) for each in (total.low, total.high))
        yield f"the sum of its committed readings is from {first} to {last} {unit}"
        yield "(of a window, whose end the owner chooses: no statement about a period of time)"
    elif isinstance(total, StatedSum):
        width = decimal_text(total.width, scale)
        exact = "exactly" if total.width == 0 else f"within an interval of {width} {unit}"
        yield f"the sum of its committed readings is {exact} what its header states"


def _steps(readings: Readings) -> Iterator[str]:
    scale, unit, width = readings.rule.scale, plain(readings.unit), readings.high - readings.low
    for step, verb, never in (
        (readings.fall, "below", "falls below"),
        (readings.rise, "above", "rises above"),
    ):
        if step == width:
            continue
        if step < 0:
            least = decimal_text(-step, scale)
            other = "above" if verb == "below" else "below"
            yield f"every committed reading is at least {least} {unit} {other} the one before"
        elif step == 0:
            yield f"no committed reading {never} the one before"
        else:
            most = decimal_text(step, scale)
            yield f"every committed reading is at most {most} {unit} {verb} the one before"
    if readings.carry:
        yield "the same holds from each window to the next (`carry` is set)"
