"""Every JSON document that a test of the command line sees has its documented members."""

from __future__ import annotations

import json

import click
import pytest

from dragon_cli import json_shapes
from dragon_cli.render import text


@pytest.fixture(autouse=True)
def documented_json(monkeypatch: pytest.MonkeyPatch) -> None:
    original = text.as_json_text

    def checked(value: object) -> str:
        written = original(value)
        check_shape(json.loads(written), click.get_current_context(silent=True))
        return written

    monkeypatch.setattr(text, "as_json_text", checked)


def check_shape(document: object, context: click.Context | None) -> None:
    assert isinstance(document, dict)
    if context is None:
        assert {"verdict", "reason", "detail", "facts"} <= document.keys()
        return
    command = context.command_path.partition(" ")[2]
    while command and command not in json_shapes.SHAPES:
        command = command.partition(" ")[2]  # `python -m pytest` is a part of the path
    assert command, context.command_path
    always, named, others = json_shapes.members(command)
    assert always <= document.keys(), (command, always - document.keys())
    assert others or document.keys() <= named, (command, document.keys() - named)
