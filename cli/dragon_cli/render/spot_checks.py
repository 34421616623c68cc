"""What a spot check has shown, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from dragon.protocol.streams.reading_text import reading_text
from dragon.protocol.streams.spot_check_verification import CheckedChunk, SpotCheck
from dragon_cli.render.output import plain
from dragon_cli.render.text import moment

FOUND_SHARE: Final = 100  # the share in the statement on probability is one in so many


def verdict(check: SpotCheck) -> str:
    """Return in one sentence how many chunks were checked, and how many failed."""
    drawn, failed = len(check.chunks), len(check.failed)
    of = f"{drawn:,} of {check.total:,} chunks of windows {check.request.first} to "
    drawn_from = f"{of}{check.request.last} were drawn"
    if failed:
        return f"{drawn_from}, and {failed:,} of them failed."
    what = "committed readings were equal to the numbers in the data"
    if check.descriptor.readings is None:
        what = "chunks were opened to the data that was committed to"
    elif without := sum(chunk.reading is None for chunk in check.chunks):
        what += f"; {without:,} of them without a number, committed to as such"
    return f"{drawn_from}, and all {drawn:,} {what}."


def statement(check: SpotCheck) -> Iterator[str]:
    """Yield the drawn chunks, and how likely such a check finds false numbers or other data."""
    for chunk in check.chunks:
        yield _chunk(check, chunk)
    at = moment(check.checkpoint.timestamp)
    yield f"The root of the checkpoint from {at} drew them, after the request was made."
    one = float(check.found_probability(min(1, check.total)))
    what = "false number" if check.descriptor.readings else "chunk with other data"
    yield f"Such a check finds one {what} with a probability of {one:.1%},"
    wrong = max(1, check.total // FOUND_SHARE)
    several = float(check.found_probability(wrong))
    yield f"and {wrong:,} false of {check.total:,} with {several:.1%}."


def failures(check: SpotCheck) -> str:
    """Return which chunks failed, and why."""
    listed = (f"chunk {each.sequence}: {each.detail} ({each.fault})" for each in check.failed)
    return "; ".join(listed)


def _chunk(check: SpotCheck, chunk: CheckedChunk) -> str:
    readings = check.descriptor.readings
    if chunk.fault:
        return f"  [red]failed[/]: chunk {chunk.sequence}: {plain(chunk.detail)}"
    if readings is None:
        return f"  [green]holds[/]: chunk {chunk.sequence}"
    reading = plain(reading_text(readings, chunk.reading))
    return f"  [green]holds[/]: chunk {chunk.sequence}, {reading}"
