"""The reference of the command line, from click."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from dragon_cli.json_shapes import FAILURE, SHAPES, WITHOUT
from dragon_cli.main import dragon
from dragon_docs import tables
from dragon_docs.tables import code, prose


def json_documents(_argument: str) -> str:
    """The members of the document that each command prints with `--json`."""
    rows = [(code(f"dragon {name}"), _members(SHAPES[name])) for name in sorted(SHAPES)]
    rows.append(("a failure of any command", _members(FAILURE)))
    without = "; ".join(f"`dragon {name}` {why}" for name, why in sorted(WITHOUT.items()))
    table = tables.table(("command", "members"), rows)
    note = prose(f"Members in brackets are not always there. Without `--json`: {without}.")
    return f"{table}\n\n{note}"


def _members(lines: Sequence[str]) -> str:
    return "<br/>".join(lines)


def reference(_argument: str) -> str:
    """Every command: usage, what it does, arguments and options."""
    return "\n\n".join(_commands(dragon, ["dragon"]))


def _commands(command: click.Command, path: list[str]) -> Iterator[str]:
    if isinstance(command, click.Group):
        if len(path) > 1:
            yield f"## {' '.join(path)}\n\n{_help(command)}"
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None and not found.hidden:
                yield from _commands(found, [*path, name])
    else:
        yield "\n\n".join(part for part in _parts(command, path) if part)


def _parts(command: click.Command, path: list[str]) -> Iterator[str]:
    context = click.Context(command, info_name=" ".join(path))
    yield f"{'#' * len(path)} {' '.join(path)}"
    pieces = " ".join(command.collect_usage_pieces(context))
    yield f"```text\n{' '.join(path)} {pieces}\n```"
    yield _help(command)
    records = [
        (parameter, record)
        for parameter in command.get_params(context)
        if (record := parameter.get_help_record(context)) and "--help" not in parameter.opts
        if record[1]  # an argument without a text stands in the usage line
    ]
    yield tables.table(("option", "meaning"), [_row(*each) for each in records]) if records else ""


def _row(parameter: click.Parameter, record: tuple[str, str]) -> tuple[str, str]:
    return code(record[0]), " ".join(record[1].split())


def _help(command: click.Command) -> str:
    """The help text as Markdown: paragraphs are joined, blocks that click keeps become code."""
    paragraphs = []
    for paragraph in (command.help or "").split("\n\n"):
        kept = paragraph.removeprefix("\b\n")
        if kept != paragraph:
            paragraphs.append(f"```text\n{kept.rstrip()}\n```")
        else:
            paragraphs.append(prose(paragraph))
    return "\n\n".join(each for each in paragraphs if each)
