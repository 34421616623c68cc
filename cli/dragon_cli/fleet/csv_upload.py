"""Upload the rows of a CSV file to a stream with readings: begin, continue, or find it complete.

As with other files, nothing is sent before the rows were compared with what the stream has. A file
that has grown is continued: its first rows are compared, and the new ones are sent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from dragon.errors import BadAnswer
from dragon.net.retries import Retries
from dragon.net.stored_data import stored_messages
from dragon.net.stream_client import StreamClient
from dragon.net.stream_upload import Progress, StreamUpload
from dragon.protocol.streams.readings import Readings
from dragon_cli.errors import StreamNotEmpty
from dragon_cli.fleet.csv_rows import CsvRows
from dragon_cli.fleet.file_upload import LocalFile, changed_error, path_text
from dragon_cli.fleet.uploads import UploadRecord, UploadRecords
from dragon_cli.hints import with_hint


@dataclass(frozen=True, slots=True)
class RowCount:
    """What a file holds: its rows, and the lines of those that no claim can cover."""

    rows: int
    without: tuple[int, ...] = ()  # lines of rows without a reading
    outside: tuple[int, ...] = ()  # lines of rows with a reading below `low` or above `high`

    @classmethod
    def of(cls, rows: CsvRows, readings: Readings) -> RowCount:
        """Read a whole file, before anything is sent. Raises as `CsvRows.messages`."""
        found = 0
        without, outside = [], []
        for line, message in rows.numbered():
            found += 1
            reading = readings.rule.reading(message)
            if reading is None:
                without.append(line)
            elif not readings.low <= reading <= readings.high:
                outside.append(line)
        return cls(found, tuple(without), tuple(outside))


@dataclass(slots=True)
class CsvUpload:
    """An upload that was begun or found. `stored` and `following` change while it runs."""

    client: StreamClient
    rows: CsvRows
    count: RowCount | None  # None for standard input and pipes
    record: UploadRecord
    stored: int  # rows of the file that the stream has
    following: int  # sequence of the chunk after them
    is_new: bool  # whether the stream had no row of the file

    unit = "rows"

    @property
    def file(self) -> LocalFile:
        return self.rows.file

    @property
    def total(self) -> int | None:
        """The rows of the file; None if unknown."""
        return self.count.rows if self.count else None

    @property
    def place(self) -> str:
        """Where the rest of the rows begins."""
        return f"row {self.stored + 1} of {self.total}"

    @property
    def is_complete(self) -> bool:
        """Whether the stream has all rows."""
        return self.stored == self.total

    def run(self, retries: Retries, progress: Progress, *, end_window: bool = False) -> None:
        """Send the rest of the rows. Raises as `StreamUpload.run` and `CsvRows.messages`.

        Args: `end_window`, whether somebody waits for the certificate of the last window.
        """
        rest = islice(self.rows.messages(), self.stored, None)
        expected = self.following

        def note(_total: int, chunks: int) -> None:
            if chunks < expected or (upload.first not in (None, expected)):
                message = (
                    f"The stream has {chunks} messages, expected {expected}: another client may "
                    "have written to it."
                )
                raise BadAnswer(message, reason="offset")
            self.stored, self.following = chunks - self.record.first, chunks
            progress(self.stored, chunks)

        upload = StreamUpload(
            *(self.client, self.record.stream, rest, None, note, retries), end_window=end_window
        )
        note(*upload.run())


def begin_rows(
    client: StreamClient,
    stream: str,
    rows: CsvRows,
    count: RowCount | None,
    records: UploadRecords,
    *,
    append: bool,
    receipts: Path | None,
    now: float,
) -> CsvUpload:
    """Begin an upload, or find where an earlier one ended; record it before any data is sent.

    Args: `count`, of the file; the others as `file_upload.begin`.

    Raises as `file_upload.begin`, and as `CsvRows.messages`.
    """
    file, chunks = rows.file, int(client.get(f"/streams/{stream}")["chunks"])
    new = UploadRecord(
        *(stream, path_text(file.path), file.size or 0, file.modified_us, 0, chunks, int(now)),
        path_text(receipts.absolute()) if receipts else "",
    )
    if count is None:
        if chunks and not append:
            raise _not_empty(new, "data from a pipe cannot be compared with them or resumed")
        return CsvUpload(client, rows, None, new, 0, chunks, is_new=True)
    record = None if append else records.load(stream, file.path)
    if append or (record is None and not chunks):
        upload = CsvUpload(client, rows, count, new, 0, chunks, is_new=True)
    else:
        upload = _continue(client, rows, count, record, new)
    records.save(upload.record, file.path)
    return upload


def _continue(
    client: StreamClient,
    rows: CsvRows,
    count: RowCount,
    record: UploadRecord | None,
    new: UploadRecord,
) -> CsvUpload:
    """Compare the rows with the stream. Raises as `begin_rows`."""
    if record and record.file != new.file:
        raise changed_error(record, new, "")
    first = record.first if record else 0
    part = stored_messages(client, new.stream, rows.messages(), first=first)
    stored = part.following - first
    if part.differs and record:
        why = f"row {stored + 1} is not message {part.following} of the stream"
        raise changed_error(record, new, why)
    if part.differs:
        why = f"message {part.following} is not row {stored + 1} of {rows.file.path}"
        raise _not_empty(new, why)
    kept = replace(new, first=first, began=record.began if record else new.began)
    if record:
        kept = replace(kept, receipts=new.receipts or record.receipts)
    return CsvUpload(client, rows, count, kept, stored, part.following, is_new=False)


def _not_empty(new: UploadRecord, why: str) -> StreamNotEmpty:
    message = f"The stream {new.stream} has {new.first} messages already, and {why}."
    return with_hint(
        StreamNotEmpty(message, chunks=new.first),
        "Choose another stream or column, or append all rows with `--append`.",
    )
