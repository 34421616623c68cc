"""The rows of a CSV file as messages: each is the text of one column, with spaces at its end.

The message of a cell is its text without spaces and tabs around it, in UTF-8, then spaces up to the
stream's `length`: `printf '%-16s' 4.25` prints the same bytes. So its size does not tell the number
of digits. A cell that is no number makes such a message, too: data without a reading.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from dragon_cli.errors import UnusableRow, WrongColumn
from dragon_cli.fleet.file_upload import MAX_LINE_BYTES, LocalFile
from dragon_cli.hints import with_hint

AROUND: Final = " \t"  # characters that are removed around the text of a cell
BYTE_ORDER_MARK: Final = "\ufeff"
MAX_QUOTED_CHARS: Final = 40


@dataclass(frozen=True, slots=True)
class CsvRows:
    """One column of a CSV file.

    The first row has the names of the columns, unless `has_header` is False. `column` is a name, or
    a number from 1 that is no name. Empty lines are no rows. A regular file can be read several
    times.
    """

    file: LocalFile
    column: str
    length: int  # bytes of every message
    delimiter: str = ","
    has_header: bool = True

    def messages(self) -> Iterator[bytes]:
        """Yield the message of every row, from the first one.

        Raises:
            WrongColumn: the file has no such column.
            UnusableRow: a row lacks the column, or its text is longer than `length`.
            UnusableFile, FileChanged: the file cannot be read, or has changed meanwhile.
        """
        for _line, message in self.numbered():
            yield message

    def numbered(self) -> Iterator[tuple[int, bytes]]:
        """Yield the line of every row, from 1, and its message. Raises as `messages`."""
        if self.file.size is not None:
            self.file.source.seek(0)
        reader = csv.reader(self._lines(), delimiter=self.delimiter, strict=True)
        try:
            rows = (row for row in reader if row)
            index = self._index(next(rows, [])) if self.has_header else self._number()
            for row in rows:
                yield reader.line_num, self._message(row, index, reader.line_num)
        except csv.Error:
            raise UnusableRow(f"Line {reader.line_num} of the file is not CSV.") from None
        self.file.check_unchanged()

    def _lines(self) -> Iterator[str]:
        for number, raw in enumerate(self.file.lines(), start=1):
            if len(raw) > MAX_LINE_BYTES:
                raise UnusableRow(f"Line {number} of the file has more than 1 MiB.")
            try:
                line = raw.decode()
            except UnicodeDecodeError:
                raise UnusableRow(f"Line {number} of the file is not UTF-8.") from None
            yield line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line

    def _index(self, header: list[str]) -> int:
        names = [name.strip(AROUND) for name in header]
        if names.count(self.column) > 1:
            message = f"The file has {names.count(self.column)} columns {self.column!a}."
            hint = f"Give the number of one: {names.index(self.column) + 1} is the first of them."
            raise with_hint(WrongColumn(message), hint)
        if self.column in names:
            return names.index(self.column)
        number = self._number_or_none()
        if number is None or number >= len(names):
            listed = ", ".join(repr(name[:MAX_QUOTED_CHARS]) for name in names) or "none"
            message = f"The file has no column {self.column!a}; its columns: {listed}."
            hint = (
                "`--delimiter` says what is between columns, `--no-header` that no row has names."
            )
            raise with_hint(WrongColumn(message), hint)
        return number

    def _number(self) -> int:
        number = self._number_or_none()
        if number is None:
            message = f"Without a header, a column has a number from 1, not {self.column!a}."
            raise with_hint(WrongColumn(message), "Omit `--no-header` if the first row has names.")
        return number

    def _number_or_none(self) -> int | None:
        is_number = self.column.isascii() and self.column.isdigit() and len(self.column) < 6
        return int(self.column) - 1 if is_number and int(self.column) else None

    def _message(self, row: list[str], index: int, line: int) -> bytes:
        if index >= len(row):
            why = f"Line {line} has {len(row)} columns, and none for {self.column!a}."
            raise with_hint(UnusableRow(why, line=line), "Correct this line of the file.")
        text = row[index].strip(AROUND)
        message = text.encode()
        if len(message) > self.length:
            why = (
                f"Line {line}: {text[:MAX_QUOTED_CHARS]!a} has {len(message)} bytes, and a message "
                f"of the stream at most {self.length}."
            )
            hint = "Create a stream with a larger `--length`; it is the same for all messages."
            raise with_hint(UnusableRow(why, line=line), hint)
        return message.ljust(self.length)
