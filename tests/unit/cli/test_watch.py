"""`--watch`: a picture that is replaced again and again, whatever the size of the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO

import pytest
from rich.console import Console, Group, RenderableType

from dragon.errors import Unreachable
from dragon_cli.render import watch
from dragon_cli.render.watch import Fitted, refresh

ID = "0x" + "ab" * 32


def shown(picture: RenderableType, width: int, height: int) -> list[str]:
    """The lines on a terminal that folds nothing by itself, as the console of the commands."""
    terminal = Console(file=StringIO(), width=width, height=height, highlight=False)
    options = terminal.options.update(no_wrap=True, overflow="ignore")
    lines = terminal.render_lines(Fitted(picture), options, pad=False)
    return ["".join(segment.text for segment in line) for line in lines]


def test_long_lines_are_folded_at_the_width_of_the_terminal() -> None:
    lines = shown(Group(f"1 window of stream {ID}: 1 certified"), 40, 24)

    assert max(map(len, lines)) <= 40
    assert "".join(lines) == f"1 window of stream {ID}: 1 certified"


def test_of_a_picture_that_is_too_high_the_end_is_shown() -> None:
    lines = shown(Group(*(f"node {n}" for n in range(64)), "certifying"), 40, 10)

    assert [*lines[:2], *lines[-2:]] == [
        "… 57 lines do not fit",
        "node 57",
        "node 63",
        "certifying",
    ]
    assert len(lines) == 9  # one line stays free for the cursor


def pictures() -> Iterator[str | Unreachable]:
    yield "first"
    yield Unreachable("no answer: \x1b[2J")
    yield "third"


def test_an_outage_is_named_below_the_last_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    output, steps = StringIO(), pictures()
    monkeypatch.setattr(watch, "console", Console(file=output, width=80))

    def show() -> str:
        found = next(steps, None)
        if found is None:
            raise KeyboardInterrupt
        if isinstance(found, Unreachable):
            raise found
        return found

    monkeypatch.setattr(watch.time, "sleep", lambda _seconds: None)
    refresh(show, 1)

    said = [line for line in output.getvalue().splitlines() if not line.endswith("UTC")]
    assert said == ["first", "first", "waiting: no answer: �[2J", "third"]


def test_the_first_picture_must_succeed() -> None:
    def show() -> str:
        raise Unreachable("no answer")

    with pytest.raises(Unreachable):
        refresh(show, 1)
