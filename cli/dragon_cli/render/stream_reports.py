"""What a verified stream report proves, in words, with the source of every time."""

from __future__ import annotations

from collections.abc import Iterator

from dragon.protocol.streams.stream_summary import StreamSummary, UnclaimedWindow, sentence
from dragon_cli.render.output import plain
from dragon_cli.render.text import moment


def statement(summary: StreamSummary) -> Iterator[str]:
    """Yield the lines below the sentence of a verified report."""
    for window in summary.unclaimed:
        yield f"  [yellow]no claim[/]: {_window(window)}"
    name = plain(summary.descriptor.name)
    yield f"The name {name} of this stream is self-chosen; the id is the expected one."
    yield (
        f"Its chunks arrived from {_ms(summary.first.first_received_ms)} to "
        f"{_ms(summary.last.last_received_ms)} (reported by the stream's owner), and were "
        f"certified in the rounds from {moment(summary.certified[0])} to "
        f"{moment(summary.certified[1])}."
    )
    yield _end(summary)
    if summary.has_proofs:
        yield "The proof of every window was verified here."
    else:
        yield "The operators verified the proofs; a report with `--proofs` contains them."
    if summary.claimed:
        yield (
            "Committed readings are the owner's word; `dragon audit` checks some of them against "
            "the data."
        )


def verdict(summary: StreamSummary) -> str:
    """Return the sentence of a verified report for the terminal."""
    return plain(sentence(summary))


def _end(summary: StreamSummary) -> str:
    end = moment(summary.end)
    if summary.is_closed:
        return f"The window after the last one begins at {end} or later, so none is missing."
    return (
        f"The report has no window after the last one: it does not show whether more chunks "
        f"arrived before {end}."
    )


def _window(window: UnclaimedWindow) -> str:
    chunks = "1 chunk" if window.chunks == 1 else f"{window.chunks:,} chunks"
    times = f"{_ms(window.first_received_ms)} to {_ms(window.last_received_ms)}"
    return f"window {window.number}, {chunks}, {times}"


def _ms(time_ms: int) -> str:
    return moment(time_ms // 1000)
