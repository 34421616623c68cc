"""The command line of the running command, as its user would type it again."""

from __future__ import annotations

import shlex
from collections.abc import Container
from typing import Any

import click
from click.core import ParameterSource


def command_line(*, without: Container[str] = ()) -> str:
    """Return the running command with the arguments of its command line, quoted for a shell.

    Args: `without`, names of parameters to omit.
    """
    context = click.get_current_context()
    words = ["dragon", context.info_name or ""]
    for parameter in context.command.params:
        name = parameter.name or ""
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if given and name not in without:
            words += _words(parameter, context.params[name])
    return shlex.join(words)


def _words(parameter: click.Parameter, value: Any) -> list[str]:
    if not isinstance(parameter, click.Option):
        return [str(value)]
    return [parameter.opts[0]] if parameter.is_flag else [parameter.opts[0], str(value)]
