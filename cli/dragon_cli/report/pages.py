"""HTML files of reports: self-contained, without references to any other file, without scripts."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined

from dragon.encoding import to_hex
from dragon_cli.render.text import duration, moment


def html_page(template: str, **facts: object) -> str:
    """Return a page. The same facts always give the same bytes."""
    return _environment().get_template(template).render(**facts)


@cache
def _environment() -> Environment:
    folder = files(__package__)
    environment = Environment(
        autoescape=True,
        loader=FunctionLoader(lambda name: folder.joinpath(name).read_text("utf-8")),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"moment": moment, "duration": duration, "hex": to_hex}
    return environment
