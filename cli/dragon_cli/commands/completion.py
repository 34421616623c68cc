"""`dragon completion`: the script that completes commands and options in a shell."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import get_completion_class

from dragon_cli.options import json_option
from dragon_cli.render.text import print_json

SHELLS: Final = ("bash", "zsh", "fish")
VARIABLE: Final = "_DRAGON_COMPLETE"  # by which click asks a program for completions


@click.command(short_help="Print the script for completion in a shell.")
@click.argument("shell", type=click.Choice(SHELLS))
@json_option
def completion(shell: str, as_json: bool) -> None:
    """Print the script that completes commands, options and files in SHELL.

    \b
    bash: dragon completion bash >> ~/.bashrc
    zsh:  dragon completion zsh > ~/.zfunc/_dragon   (a folder in $fpath)
    fish: dragon completion fish > ~/.config/fish/completions/dragon.fish
    """
    kind = get_completion_class(shell)
    root = click.get_current_context().find_root()
    if kind is None:  # click knows all of SHELLS
        raise click.UsageError(f"{shell} is not supported; expected one of {', '.join(SHELLS)}.")
    script = kind(root.command, {}, "dragon", VARIABLE).source()
    if as_json:
        print_json({"shell": shell, "script": script})
    else:
        click.echo(script)
