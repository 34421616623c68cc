"""The options of `dragon stream --csv`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import click

from dragon.protocol.streams.readings import Readings
from dragon_cli.errors import WrongReadings
from dragon_cli.fleet.csv_rows import CsvRows
from dragon_cli.fleet.file_upload import LocalFile
from dragon_cli.hints import with_hint

_OPTIONS: Final = (
    click.option(
        "--csv",
        "is_csv",
        is_flag=True,
        help="FILE is CSV: send the number in `--column` of each row as one message.",
    ),
    click.option("--column", help="Name of the column, or its number from 1."),
    click.option("--delimiter", help="Character between columns, such as ; or \\t (default: ,)."),
    click.option("--no-header", is_flag=True, help="The first row has no names of columns."),
)


def csv_options(command: Callable[..., Any]) -> Any:
    """Add the options; their values go to `CsvOptions`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class CsvOptions:
    """Which column of a CSV file is sent."""

    column: str
    delimiter: str
    has_header: bool

    @classmethod
    def of(
        cls, *, is_csv: bool, column: str | None, delimiter: str | None, no_header: bool
    ) -> CsvOptions | None:
        """Return what the options say; None without `--csv`. Raises UsageError."""
        given = {"column": column, "delimiter": delimiter, "no-header": no_header}
        if not is_csv:
            if named := next((name for name, value in given.items() if value), None):
                raise click.UsageError(f"`--{named}` is for CSV files: add `--csv`.")
            return None
        if column is None:
            raise click.UsageError("Say with `--column` which column of the file is sent.")
        character = {None: ",", "\\t": "\t", "tab": "\t"}.get(delimiter, delimiter)
        if character is None or len(character) != 1 or character in '\r\n"':
            raise click.UsageError("`--delimiter` is one character, such as ; or \\t.")
        return cls(column, character, not no_header)

    def rows(self, file: LocalFile, readings: Readings) -> CsvRows:
        """Return the rows of a file. Raises WrongReadings: the stream's messages are JSON."""
        if readings.rule.pointer is not None:
            message = "The messages of the stream are JSON, and `--csv` sends plain numbers."
            hint = "Choose another stream, or send lines of JSON with `dragon source replay`."
            raise with_hint(WrongReadings(message), hint)
        return CsvRows(file, self.column, readings.length, self.delimiter, self.has_header)
