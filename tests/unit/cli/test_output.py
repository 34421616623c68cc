"""Simple lines are printed without rich, and look as rich prints them: rich is the oracle."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from dragon_cli.render.markup import rendered
from dragon_cli.render.output import plain, styled

WORDS = (
    *("verified", "operator_2", "11:40:08", ":smile:", ":100:", ":a-text:", "a:b", "::", ":"),
    *("[green]", "[/]", "[red]", "[/red]", "[yellow]x[/]", "[green]up[/]", "[bold]", "[]", "[0]"),
    *("\\", "\\[", "[a]", "\n", " ", "\t", "–", "…", "\x1b", "\r", "é", "中", "0x1f", "1:23:4"),
)
markups = st.lists(st.sampled_from(WORDS) | st.text(max_size=5), max_size=8).map("".join)


def by_rich(markup: str, *, coloured: bool) -> str:
    file = io.StringIO()
    console = Console(
        file=file,
        highlight=False,
        soft_wrap=True,
        force_terminal=coloured,
        color_system="standard" if coloured else None,
        width=20,
        _environ={},
    )
    console.print(markup)
    return file.getvalue()


@given(markups, st.booleans())
def test_a_line_is_rendered_as_rich_does_or_left_to_it(markup: str, coloured: bool) -> None:
    text = rendered(markup, coloured=coloured)

    assert text is None or text + "\n" == by_rich(markup, coloured=coloured)


SIMPLE = [
    "[green]verified[/]: operator_2 was down in the round that started 2026-11-20 11:40:08 UTC.",
    "Committee of epoch 0, the newest known, seen 2026-11-20 11:40:08 UTC.",
    "[yellow]unknown[/] and [red]down[/]",
    "two\nlines",
    "",
]


@pytest.mark.parametrize("markup", SIMPLE)
@pytest.mark.parametrize("coloured", [True, False])
def test_what_commands_print_needs_no_rich(markup: str, coloured: bool) -> None:
    assert rendered(markup, coloured=coloured) == by_rich(markup, coloured=coloured)[:-1]


@pytest.mark.parametrize("text", ["\\", "a\\", "a\\\\", "[x\\", "[red]\\", "\\[red]", "[/]\\\\\\"])
@pytest.mark.parametrize("markup", ["{}", "[green]{}[/]", "{}[x"])
def test_backslashes_of_untrusted_text_are_shown_as_they_are(text: str, markup: str) -> None:
    shown = by_rich(markup.format(plain(text)), coloured=False)[:-1]

    assert shown == markup.replace("[green]", "").replace("[/]", "").format(text)


@given(st.text())
@example("\\")
def test_untrusted_text_is_shown_as_it_is(text: str) -> None:
    shown = by_rich(plain(text.replace(":", "")), coloured=False)[:-1]

    assert shown == "".join(c if c.isprintable() else "�" for c in text.replace(":", ""))


def test_a_status_has_its_colour() -> None:
    assert by_rich(styled("up"), coloured=True) == "\x1b[32mup\x1b[0m\n"


PRINT = """
import sys
from dragon_cli.render.output import console

console.print(sys.argv[1])
print("rich" in sys.modules)
"""


def printed(markup: str, **environment: str) -> str:
    run = subprocess.run(
        [sys.executable, "-c", PRINT, markup],
        env={"PYTHONPATH": ":".join(sys.path), "PYTHONIOENCODING": "utf-8", **environment},
        check=True,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    return run.stdout


def test_rich_is_loaded_only_for_what_takes_it() -> None:
    assert printed("[green]verified[/]: …") == "verified: …\nFalse\n"
    assert printed("[bold]1[/] :smile:") == "1 😄\nTrue\n"


@pytest.mark.parametrize(
    ("variable", "shown"),
    [("FORCE_COLOR", "\x1b[32mverified\x1b[0m"), ("TTY_COMPATIBLE", "\x1b[32mverified\x1b[0m")],
)
def test_colours_are_shown_in_a_pipe_if_the_user_asks_for_them(variable: str, shown: str) -> None:
    made = printed("[green]verified[/]", TERM="xterm", **{variable: "1"})

    assert made == f"{shown}\nTrue\n"


@pytest.mark.parametrize(
    ("terminal", "shown"),
    [
        ("xterm-256color", b"\x1b[32mverified\x1b[0m\r\nFalse\r\n"),
        ("dumb", b"verified\r\nTrue\r\n"),
    ],
)
def test_a_terminal_shows_colours(terminal: str, shown: bytes) -> None:
    reader, writer = os.openpty()
    try:
        subprocess.run(
            [sys.executable, "-c", PRINT, "[green]verified[/]"],
            env={"PYTHONPATH": ":".join(sys.path), "PYTHONUTF8": "1", "TERM": terminal},
            check=True,
            stdout=writer,
        )
        assert os.read(reader, 4096) == shown
    finally:
        os.close(reader)
        os.close(writer)
