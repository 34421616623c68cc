"""Upload a local file to a stream: begin, resume, or find that it is complete.

Nothing is sent before the data that the stream has was compared with the file. Otherwise an upload
that resumes after the file has changed would certify a mixture that never existed, and a repeated
command would append a second copy.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Final, Self

from dragon.net.retries import Retries
from dragon.net.stored_data import StoredPart, stored_part
from dragon.net.stream_client import StreamClient
from dragon.net.stream_upload import PIECE_BYTES, Progress, StreamUpload
from dragon_cli.errors import FileChanged, StreamNotEmpty, UnusableFile
from dragon_cli.fleet.uploads import UploadRecord, UploadRecords
from dragon_cli.hints import with_hint
from dragon_cli.render.text import moment

MAX_LINE_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class LocalFile:
    """An open file, and what it was when it was opened."""

    path: Path  # absolute
    source: BinaryIO
    size: int | None  # None for standard input and pipes, which can be read only once
    modified_us: int = 0  # Unix microseconds

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Self]:
        """Open a file, or standard input for `-`. Raises UnusableFile."""
        if str(path) == "-":
            yield cls(path, sys.stdin.buffer, None)
            return
        try:
            source = path.open("rb")
        except OSError as error:
            raise UnusableFile(f"Cannot read {path}: {error.strerror}.") from None
        with source:
            found = os.fstat(source.fileno())
            size = found.st_size if stat.S_ISREG(found.st_mode) else None
            yield cls(path.absolute(), source, size, _modified_us(found))

    def pieces(self) -> Iterator[bytes]:
        """Yield the rest of the file. Raises UnusableFile, and FileChanged as `check_unchanged`."""
        while piece := self._read():
            yield piece
        self.check_unchanged()

    def lines(self) -> Iterator[bytes]:
        """Yield the lines of the rest of the file; one of more than 1 MiB in pieces.

        Raises UnusableFile: the file cannot be read.
        """
        while line := self._read_line():
            yield line

    def check_unchanged(self) -> None:
        """Raises FileChanged: the file has changed since it was opened."""
        if self.size is None:
            return
        now = os.fstat(self.source.fileno())
        if (now.st_size, _modified_us(now)) != (self.size, self.modified_us):
            message = f"{self.path} has changed while it was uploaded."
            hint = "Upload the file as it is now to another stream, or append it with `--append`."
            raise with_hint(FileChanged(message, file=str(self.path)), hint)

    def _read(self) -> bytes:
        try:
            return self.source.read(PIECE_BYTES)
        except OSError as error:
            raise UnusableFile(f"Cannot read {self.path}: {error.strerror}.") from None

    def _read_line(self) -> bytes:
        try:
            return self.source.readline(MAX_LINE_BYTES + 1)
        except OSError as error:
            raise UnusableFile(f"Cannot read {self.path}: {error.strerror}.") from None


def _modified_us(found: os.stat_result) -> int:
    return max(0, found.st_mtime_ns // 1000)


@dataclass(slots=True)
class FileUpload:
    """An upload that was begun or found. `stored` and `following` change while it runs."""

    client: StreamClient
    file: LocalFile
    record: UploadRecord
    stored: int  # bytes of the file that the stream has
    following: int  # sequence of the chunk after them
    is_new: bool  # whether the stream had no data of the file

    unit = "bytes"

    @property
    def total(self) -> int | None:
        """The bytes of the file; None if unknown."""
        return self.file.size

    @property
    def place(self) -> str:
        """Where the rest of the file begins."""
        return f"byte {self.stored} of {self.total}"

    @property
    def is_complete(self) -> bool:
        """Whether the stream has the whole file."""
        return self.stored == self.total

    def run(self, retries: Retries, progress: Progress, *, end_window: bool = False) -> None:
        """Send the rest of the file. Raises as `StreamUpload.run` and `LocalFile.pieces`.

        Args: `end_window`, whether somebody waits for the certificate of the last window.
        """
        base, rest = self.record.base, self.file.pieces()
        if self.file.size is not None:
            self.file.source.seek(self.stored)

        def note(total: int, chunks: int) -> None:
            self.stored, self.following = total - base, chunks
            progress(self.stored, chunks)

        upload = StreamUpload(
            *(self.client, self.record.stream, rest, base + self.stored, note, retries),
            end_window=end_window,
        )
        note(*upload.run())


def begin(
    client: StreamClient,
    stream: str,
    file: LocalFile,
    records: UploadRecords,
    *,
    append: bool,
    receipts: Path | None,
    now: float,
) -> FileUpload:
    """Begin an upload, or find where an earlier one ended; record it before any data is sent.

    Args:
        client: a client with the stream's token.
        stream: the id of the stream, 0x….
        file: the file to upload.
        records: the records of earlier uploads.
        append: begin a new upload, whatever the stream has.
        receipts: the folder of receipts to record.
        now: Unix seconds.

    Raises:
        FileChanged: the file is not the one of which the stream has a part.
        StreamNotEmpty: the stream has other data, and `append` is False.
        UnusableFile: the folder of receipts belongs to another upload.
        PeerError, Unauthorized, NotFound.
    """
    found = client.get(f"/streams/{stream}")
    new = UploadRecord(
        stream,
        path_text(file.path),
        file.size or 0,
        file.modified_us,
        int(found["bytes"]),
        int(found["chunks"]),
        int(now),
        path_text(receipts.absolute()) if receipts else "",
    )
    if file.size is None:
        _check_empty(new, append=append)
        return FileUpload(client, file, new, 0, new.first, is_new=True)
    record = None if append else records.load(stream, file.path)
    if append or (record is None and not new.base):
        upload = FileUpload(client, file, new, 0, new.first, is_new=True)
    else:
        upload = _resume(client, file, record, new)
    records.save(upload.record, file.path)
    return upload


def path_text(path: Path) -> str:
    """A path as text that JSON can hold, whatever its bytes."""
    return os.fsencode(path).decode(errors="backslashreplace")


def _check_empty(new: UploadRecord, *, append: bool) -> None:
    """Raises StreamNotEmpty: standard input cannot be compared with the stream's data."""
    if new.base and not append:
        raise StreamNotEmpty(
            f"The stream {new.stream} has {new.base} bytes already, and data from a pipe cannot be "
            "compared with them or resumed.",
            bytes=new.base,
        )


def _resume(
    client: StreamClient, file: LocalFile, record: UploadRecord | None, new: UploadRecord
) -> FileUpload:
    """Compare the file with the stream. Raises as `begin`."""
    kept = record or replace(new, base=0, first=0)
    if file.size is None or (record and record.size != file.size):
        raise changed_error(kept, new, f"it had {kept.size} bytes and has {new.size} now")
    file.source.seek(0)
    part = stored_part(client, kept.stream, file.source, file.size, first=kept.first)
    if part.differs and record:
        raise changed_error(record, new, _difference(record, part))
    if part.differs:
        raise StreamNotEmpty(
            f"The stream {new.stream} has {new.base} bytes already, which are not the beginning of "
            f"{file.path}: {_difference(kept, part)}.",
            bytes=new.base,
            chunk=part.following,
        )
    now = replace(new, base=kept.base, first=kept.first, began=kept.began)
    now = replace(now, receipts=new.receipts or kept.receipts)
    return FileUpload(client, file, now, part.bytes, part.following, is_new=False)


def _difference(record: UploadRecord, part: StoredPart) -> str:
    return f"chunk {part.following} of the stream differs from the file at byte {part.bytes}"


def changed_error(record: UploadRecord, new: UploadRecord, why: str) -> Exception:
    """Return the error for a file that is not the one of an earlier upload."""
    if record.file != new.file:
        message = f"The folder holds the receipts of another file, {record.file}."
        return with_hint(UnusableFile(message), "Choose another folder with `--receipts`.")
    began = moment(record.began)
    if (record.size, record.modified_us) == (new.size, new.modified_us):
        message = (
            f"The stream {new.stream} or {new.file} has changed since the upload began ({began}): "
            f"{why}. The file's size and modification time are the same."
        )
    else:
        message = f"The file has changed since its upload began ({began}): {new.file}: {why}."
    return FileChanged(message, file=new.file, stream=new.stream)
