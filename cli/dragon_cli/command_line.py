"""Commands as a user would type them: any command, and the running one again."""

from __future__ import annotations

import shlex
from collections.abc import Container
from typing import Any

import click
from click.core import ParameterSource

from dragon_cli.groups import DefaultGroup


def command_of(*words: object) -> str:
    """Return a `dragon` command with its arguments, quoted for a shell."""
    return shlex.join(["dragon", *map(str, words)])


def command_line(*, without: Container[str] = ()) -> str:
    """Return the running command with the arguments of its command line, quoted for a shell.

    Args: `without`, names of parameters to omit.
    """
    context = click.get_current_context()
    words = ["dragon", *_names(context)]
    for parameter in context.command.params:
        name = parameter.name or ""
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if given and name not in without:
            words += _words(parameter, context.params[name])
    return shlex.join(words)


def given_options(*, only: Container[str]) -> list[str]:
    """Return the words of options on the running command's line. Args: `only`, their names."""
    context = click.get_current_context()
    return [
        word
        for parameter in context.command.params
        if (name := parameter.name or "") in only
        and context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        for word in _words(parameter, context.params[name])
    ]


def _names(context: click.Context) -> list[str]:
    """The names of a command and its groups, without that of a group's default command."""
    if context.parent is None:
        return []
    name, group = context.info_name or "", context.parent.command
    is_default = isinstance(group, DefaultGroup) and group.default == name
    return [*_names(context.parent), *([] if is_default else [name])]


def _words(parameter: click.Parameter, value: Any) -> list[str]:
    if not isinstance(parameter, click.Option):
        return [str(value)]
    return [parameter.opts[0]] if parameter.is_flag else [parameter.opts[0], str(value)]
