"""The alerts file that the commands of `dragon alerts` use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from dragon.errors import SettingsError
from dragon.protocol.committee import Committee
from dragon_cli.errors import UnusableFile
from dragon_cli.fleet.layout import Home
from dragon_cli.hints import with_hint
from dragon_cli.options import NEW_FILE
from dragon_cli.render.text import printable
from dragon_explorer.alerts.config import SETTING, AlertsConfig, read

alerts_file_argument = click.argument("file", type=NEW_FILE, required=False, envvar=SETTING)
EXAMPLE: Final = "deploy/alerts.example.toml"


def alerts_file(home: Home, file: Path | None) -> Path:
    """Return the file to use: FILE, or that of the fleet. Raises UnusableFile: there is none."""
    path = file or home.alerts_file
    if not path.exists():
        error = UnusableFile(f"Alerts file {path} does not exist.")
        raise with_hint(
            error, f"{EXAMPLE} is an example with comments; docs/alerts.md explains it."
        )
    return path


def read_checked(home: Home, path: Path) -> tuple[AlertsConfig, Committee | None]:
    """Read the file, and compare it with the fleet's committee if there is one.

    Raises SettingsError: `facts["mistakes"]` lists what is wrong.
    """
    committee = home.committee() if home.committee_file.exists() else None
    config, mistakes = read(path, committee.urls if committee else None)
    if mistakes:
        raise refusal(path, mistakes)
    return config, committee


def refusal(path: Path, mistakes: Sequence[str]) -> SettingsError:
    """Print every mistake on a line of its own, and return the error."""
    for each in mistakes:
        click.echo(printable(f"{each}."), err=True)
    count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
    error = SettingsError(f"{path} has {count}.", setting=SETTING, mistakes=list(mistakes))
    return with_hint(error, "docs/alerts.md describes every key.")
