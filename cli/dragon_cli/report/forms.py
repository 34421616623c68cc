"""Write a report to the terminal or to a file, in the form that the user chose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import RenderableType

from dragon_cli.command_line import given_options
from dragon_cli.files import write_new
from dragon_cli.render.output import console, rich_console
from dragon_cli.render.text import as_json_text, print_json


@dataclass(frozen=True, slots=True)
class Forms:
    """The forms of one report."""

    nodes: int
    table: Callable[[Sequence[str]], RenderableType]  # takes options that name the fleet
    csv: Callable[[], str]
    html: Callable[[], str]
    document: Callable[[], object]


def write(forms: Forms, form: str, output: Path | None) -> None:
    """Write a report. Raises AlreadyThere, UnusableFile."""
    if output is not None:
        write_new(output, _text(forms, form))
        click.echo(f"Wrote the report of {forms.nodes} nodes to {output}.", err=True)
    elif form == "table":
        fleet = given_options(only=("home", "committee_file", "trust_from", "ca"))
        console.print(forms.table(fleet))
    elif form == "json":
        print_json(forms.document())
    else:
        click.echo(_text(forms, form), nl=False)


def _text(forms: Forms, form: str) -> str:
    match form:
        case "csv":
            return forms.csv()
        case "html":
            return forms.html()
        case "json":
            return as_json_text(forms.document())
    with rich_console().capture() as shown:
        rich_console().print(forms.table(()))
    return shown.get()
