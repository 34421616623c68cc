"""Every error is one sentence, a hint where there is something to do, and for programs one
document."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from dragon import errors
from dragon.errors import DragonError
from dragon.protocol.committee import Committee
from dragon_cli import errors as cli_errors
from dragon_cli.fleet.layout import Home
from dragon_cli.hints import HINTS, hint_for
from dragon_cli.main import main, with_all

ROOT = Path(__file__).parents[3]


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as done:
        main([str(argument) for argument in arguments])
    return int(done.value.code or 0)


@pytest.mark.parametrize("kind", list(HINTS), ids=lambda kind: kind.__name__)
def test_every_hint_is_a_short_sentence_about_a_kind_of_error(kind: type[DragonError]) -> None:
    hint = HINTS[kind]

    assert issubclass(kind, DragonError)
    assert re.fullmatch(r"[A-Z`][^\n]+\.", hint)
    assert len(hint) <= 80


@pytest.mark.parametrize("hint", list(HINTS.values()))
def test_every_command_and_page_that_a_hint_names_exists(hint: str) -> None:
    for command in re.findall(r"`dragon ([a-z ]+)`", hint):
        found: click.Command = with_all()
        for word in command.split():
            assert isinstance(found, click.Group)
            found = found.commands[word]
    for page in re.findall(r"docs/\w+\.md", hint):
        assert (ROOT / page).exists()


def own_errors() -> Iterator[type[DragonError]]:
    for _, kind in inspect.getmembers(cli_errors, inspect.isclass):
        if kind.__module__ == cli_errors.__name__:
            yield kind


@pytest.mark.parametrize("kind", list(own_errors()), ids=lambda kind: kind.__name__)
def test_every_error_of_the_command_line_has_a_hint_of_its_own(kind: type[DragonError]) -> None:
    assert kind in HINTS


def test_the_most_precise_hint_is_given() -> None:
    assert hint_for(cli_errors.NoCommittee("")) == HINTS[cli_errors.NoCommittee]
    assert hint_for(errors.UnprovenKey("")) == HINTS[errors.InvalidCommittee]
    assert hint_for(errors.BadSignature("")) is None


# Errors as they are told


def raising(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """From now on whatever needs the committee ends with `error`."""

    def refuse(_: Home) -> Committee:
        raise error

    monkeypatch.setattr(Home, "committee", refuse)


ERRORS = [
    (errors.Unreachable("gone"), "failed", 1),
    (errors.StepFailed("no"), "failed", 1),
    (errors.NotFound("no such"), "failed", 1),
    (errors.SettingsError("wrong"), "failed", 2),
    (errors.KeystoreError("shut"), "failed", 2),
    (errors.WrongCommittee("other", committee="0x00"), "refused", 1),
    (errors.BadSignature("forged"), "refused", 1),
    (errors.NotSettled("later", seconds=7), "refused", 1),
]


@pytest.mark.parametrize(("error", "verdict", "code"), ERRORS, ids=str)
def test_an_error_is_told_to_people(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: DragonError,
    verdict: str,
    code: int,
) -> None:
    raising(monkeypatch, error)

    assert run("status") == code
    out, err = capsys.readouterr()
    hint = hint_for(error)
    assert out == ""
    assert err == f"dragon: {verdict}: {error.name}: {error}\n" + (
        f"hint: {hint}\n" if hint else ""
    )


@pytest.mark.parametrize(("error", "verdict", "code"), ERRORS, ids=str)
def test_an_error_is_told_to_programs(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: DragonError,
    verdict: str,
    code: int,
) -> None:
    raising(monkeypatch, error)

    assert run("status", "--json") == code
    out, err = capsys.readouterr()
    hint = {"hint": hint_for(error)} if hint_for(error) else {}
    told = {"verdict": verdict, "reason": error.name, "detail": str(error), "facts": error.facts}
    assert json.loads(out) == told | hint
    assert err.startswith(f"dragon: {verdict}: ")


def test_a_file_that_cannot_be_used_is_an_error_like_any_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(monkeypatch, PermissionError(13, "Permission denied", "some/file"))

    assert run("status") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("dragon: failed: unusable_file: some/file: Permission denied\nhint: ")


def test_wrong_usage_is_one_document_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("logs", "--limit", "0", "--json") == 2
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert (told["verdict"], told["reason"]) == ("failed", "usage")
    assert "0 is not in the range" in told["detail"]
    assert "Usage: " in err


def test_no_sentence_steers_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(monkeypatch, errors.BadAnswer("\x1b[2Jfine\r\n[red]"))

    run("status")

    assert capsys.readouterr().err == "dragon: failed: bad_answer: �[2Jfine��[red]\n"


def commands(group: click.Group, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*prefix, name))
        else:
            yield (*prefix, name)


ONLY_FOR_PEOPLE = {("up",), ("demo",), ("serve",), ("source",)}  # they run until they are stopped


@pytest.mark.parametrize("names", sorted(set(commands(with_all())) - ONLY_FOR_PEOPLE), ids=" ".join)
def test_every_command_that_shows_something_shows_it_to_programs(names: tuple[str, ...]) -> None:
    found: click.Command = with_all()
    for name in names:
        assert isinstance(found, click.Group)
        found = found.commands[name]

    assert any("--json" in option.opts for option in found.params)
