"""Bars for an upload: bytes or rows that are stored, windows certified, receipts written."""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self

from rich.filesize import decimal
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from dragon_cli.render.output import rich_console

BYTES: Final = "bytes"
console: Final = rich_console()


class _Amount(ProgressColumn):
    """Bytes with their speed, or a number of things."""

    def render(self, task: Task) -> Text:
        if unit := task.fields["unit"]:
            of = "" if task.total is None else f"/{int(task.total)}"
            return Text(f"{int(task.completed)}{of} {unit}")
        of = "" if task.total is None else f" of {decimal(int(task.total))}"
        speed = f"  {decimal(int(task.speed))}/s" if task.speed else ""
        return Text(f"{decimal(int(task.completed))}{of}{speed}")


class UploadBars:
    """The bars of one upload; a context manager. Nothing is shown without a terminal."""

    def __init__(self, total: int | None, stored: int, unit: str = BYTES) -> None:
        """
        Args:
            total: bytes or rows of the file, or None if unknown.
            stored: those that are stored.
            unit: `bytes` or `rows`.
        """
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            _Amount(),
            console=console,
            disable=not console.is_terminal,
        )
        self._bytes = self._progress.add_task(
            "uploaded ", total=total, completed=stored, unit="" if unit == BYTES else unit
        )
        self._windows = self._progress.add_task("certified", total=None, unit="windows")
        self._receipts = self._progress.add_task(
            "written  ", total=None, unit="receipts", visible=False
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def uploaded(self, stored: int) -> None:
        """Show how many bytes or rows of the file are stored."""
        self._progress.update(self._bytes, completed=stored)

    def certified(self, certified: int, windows: int) -> None:
        """Show how many windows of the stream are certified, of those that are closed."""
        self._progress.update(self._windows, completed=certified, total=windows)

    def written(self, receipts: int, total: int) -> None:
        """Show how many receipts are written, of those of the upload."""
        self._progress.update(self._receipts, completed=receipts, total=total, visible=True)
