"""What `dragon stream` reports at its end: what was done, what it proves, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from dragon.encoding import Json
from dragon.net.stream_client import StreamClient
from dragon_cli.command_line import command_line, command_of
from dragon_cli.fleet.csv_upload import CsvUpload, RowCount
from dragon_cli.fleet.file_upload import FileUpload
from dragon_cli.fleet.stream_reading import all_windows
from dragon_cli.fleet.upload_certification import certified_at
from dragon_cli.render.output import plain
from dragon_cli.render.readings import NO_CLAIM, statement_text
from dragon_cli.render.text import moment

Upload: TypeAlias = FileUpload | CsvUpload

MAX_LISTED: Final = 8  # lines or windows that are named


@dataclass(frozen=True, slots=True)
class Done:
    """The result of an upload."""

    upload: Upload
    chunks: range  # of the stream, with the data of the file
    windows: int  # certified windows of the stream; 0 if nothing was waited for
    receipts: int  # written or found
    already: bool  # everything was stored before
    waited: bool

    def document(self) -> dict[str, object]:
        """Return the result for programs."""
        return {
            "stream": self.upload.record.stream,
            self.upload.unit: self.upload.stored,
            "first": self.chunks.start,
            "chunks": len(self.chunks),
            "windows": self.windows,
            "receipts": self.receipts,
            "certified": self.waited,
        }

    def lines(self, client: StreamClient) -> Iterator[str]:
        """Yield what was done, what it proves, and what to do next."""
        stream, chunks = self.upload.record.stream, self.chunks
        numbers = f"chunks {chunks.start} to {chunks.stop - 1}" if chunks else "no chunk"
        what = f"{self.upload.stored} {self.upload.unit}, {numbers} of stream {stream}"
        if not self.waited:
            yield f"uploaded: {what}. Not certified yet."
            yield from self._count_lines()
            yield f"Next: `{command_of('windows', stream, '--watch')}` shows the certification,"
            yield "and the same command without `--no-wait` waits for it."
            return
        if self.already:
            yield f"[green]complete already[/]: {what}. Nothing was uploaded."
        else:
            yield f"[green]certified[/]: {what}"
        if chunks and (found := certified_at(client, stream, self.windows - 1)):
            round_start, signers = found
            yield (
                f"{signers} operators verified its zero-knowledge proofs, and certified in the "
                f"round from {moment(round_start)} that the data existed."
            )
        yield from self._claim_lines(client)
        yield from self._next()

    def _claim_lines(self, client: StreamClient) -> Iterator[str]:
        """Yield which windows of the rows carry no claim, and the rows that are a reason."""
        if not isinstance(self.upload, CsvUpload) or not self.chunks:
            return
        rows = [
            each for each in all_windows(client, self.upload.record.stream) if self._is_of(each)
        ]
        without = [each for each in rows if statement_text(each.get("statement")) == NO_CLAIM]
        if not without:
            windows = "The window claims" if len(rows) == 1 else f"All {len(rows)} windows claim"
            yield f"{windows} that the committed readings are within the bounds."
        else:
            named = _listed("window", [str(each["number"]) for each in without])
            verb = "carries" if len(without) == 1 else "carry"
            yield f"{len(without)} of {len(rows)} windows {verb} no claim: {named}."
        yield from self._count_lines()

    def _is_of(self, window: dict[str, Json]) -> bool:
        first, count = int(str(window["first"])), int(str(window["count"]))
        return first < self.chunks.stop and first + count > self.chunks.start

    def _count_lines(self) -> Iterator[str]:
        if isinstance(self.upload, CsvUpload) and self.upload.count:
            yield from count_lines(self.upload.count)

    def _next(self) -> Iterator[str]:
        folder = self.upload.record.receipts
        name = f"chunk-{self.chunks.start:08d}.json"
        verify = plain(command_of("verify", "receipt", Path(folder) / name))
        if self.receipts:
            count = f"{self.receipts} receipt{'' if self.receipts == 1 else 's'}"
            yield f"{count} in {plain(folder)}/. Next: `{verify}` verifies one."
        elif folder:
            yield f"Its receipts are in {plain(folder)}/. Next: `{verify}` verifies one."
        elif self.chunks and self.upload.total is not None:
            again = plain(command_line(without=("append",)))
            yield f"Next: `{again} --receipts FOLDER` writes its receipts; nothing is sent again."
        elif self.chunks:
            yield "`--receipts FOLDER` writes the receipts of an upload."


def count_lines(count: RowCount) -> Iterator[str]:
    """Yield which rows of a file have no reading, or one out of bounds."""
    for lines, what in (
        (count.outside, "with a reading out of bounds"),
        (count.without, "without a reading, sent as data"),
    ):
        if lines:
            rows = f"{len(lines)} row{'' if len(lines) == 1 else 's'}"
            named = _listed("line", [str(line) for line in lines])
            yield f"{rows} {what}: {named} of the file."


def _listed(what: str, numbers: Sequence[str]) -> str:
    more = len(numbers) - MAX_LISTED
    named = f"{what}{'' if len(numbers) == 1 else 's'} {', '.join(numbers[:MAX_LISTED])}"
    return f"{named} and {more} more" if more > 0 else named
