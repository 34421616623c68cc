"""The `--help` of every command: complete, and not truncated at 80 columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import dragon_cli.commands
from dragon_cli.json_shapes import SHAPES, WITHOUT
from dragon_cli.main import dragon

WIDTH = 80


def walk(
    command: click.Command, name: str, parent: click.Context | None
) -> Iterator[click.Context]:
    context = click.Context(
        command,
        info_name=name,
        parent=parent,
        terminal_width=WIDTH,
        max_content_width=WIDTH,
        help_option_names=["-h", "--help"],
    )
    yield context
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            found = command.get_command(context, each)
            assert found
            yield from walk(found, each, context)


CONTEXTS = {context.command_path: context for context in walk(dragon, "dragon", None)}
LEAVES = {
    path for path, context in CONTEXTS.items() if not isinstance(context.command, click.Group)
}


def test_every_command_has_a_module_of_its_name() -> None:
    folder = Path(dragon_cli.commands.__path__[0])
    modules = {path.stem.removesuffix("_") for path in folder.iterdir() if path.stem[:2] != "__"}

    assert set(dragon.list_commands(CONTEXTS["dragon"])) == modules
    assert {"init", "up", "verify", "ziggy"} <= modules


@pytest.mark.parametrize("path", CONTEXTS)
def test_no_help_is_truncated(path: str) -> None:
    lines = CONTEXTS[path].get_help().splitlines()

    assert all(len(line) <= WIDTH for line in lines)
    # click shortens descriptions in lists of commands; its usage lines end with "...", too.
    texts = [line for line in lines if not line.lstrip().startswith("Usage: ")]
    assert not [line for line in texts if line.rstrip().endswith(("…", "..."))]


@pytest.mark.parametrize("path", CONTEXTS)
def test_every_command_and_option_is_described(path: str) -> None:
    command = CONTEXTS[path].command

    assert command.help
    assert command.get_short_help_str(limit=WIDTH).endswith(".")
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name
            assert parameter.help.endswith("."), parameter.name


@pytest.mark.parametrize("path", sorted(LEAVES))
def test_every_command_prints_json_or_says_why_not(path: str) -> None:
    """The members are held to `SHAPES` in every test: see conftest.py."""
    name = path.removeprefix("dragon ")
    has_json = any("--json" in parameter.opts for parameter in CONTEXTS[path].command.params)

    assert has_json is (name in SHAPES)
    assert has_json is not (name in WITHOUT)


def test_shapes_are_of_commands() -> None:
    names = {path.removeprefix("dragon ") for path in LEAVES}

    assert set(SHAPES) | set(WITHOUT) == names
