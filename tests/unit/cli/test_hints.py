"""Error messages: a message and a hint for people, one JSON document for programs."""

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
from dragon_cli.fleet import queries
from dragon_cli.fleet.layout import Home
from dragon_cli.hints import HINTS, hint_for, with_hint
from dragon_cli.main import dragon, main

ROOT = Path(__file__).parents[3]


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as done:
        main([str(argument) for argument in arguments])
    return int(done.value.code or 0)


@pytest.mark.parametrize("kind", list(HINTS), ids=lambda kind: kind.__name__)
def test_hints_are_short_sentences(kind: type[DragonError]) -> None:
    hint = HINTS[kind]

    assert issubclass(kind, DragonError)
    assert re.fullmatch(r"[A-Z`][^\n]+\.", hint)
    assert len(hint) <= 100


def named_in_hints(pattern: str) -> list[str]:
    return sorted({each for hint in HINTS.values() for each in re.findall(pattern, hint)})


@pytest.mark.parametrize("command", named_in_hints(r"`dragon ((?:\b[a-z]+\b ?)+)"))
def test_a_command_that_a_hint_names_exists(command: str) -> None:
    found: click.Command | None = dragon
    for word in command.split():
        assert isinstance(found, click.Group)
        found = found.get_command(click.Context(found), word)

    assert found


@pytest.mark.parametrize("page", named_in_hints(r"docs/\w+\.md"))
def test_a_page_that_a_hint_names_exists(page: str) -> None:
    assert (ROOT / page).exists()


def own_errors() -> Iterator[type[DragonError]]:
    for _, kind in inspect.getmembers(cli_errors, inspect.isclass):
        if kind.__module__ == cli_errors.__name__:
            yield kind


@pytest.mark.parametrize("kind", list(own_errors()), ids=lambda kind: kind.__name__)
def test_every_error_of_the_command_line_has_a_hint(kind: type[DragonError]) -> None:
    assert kind in HINTS


def test_the_most_precise_hint_is_used() -> None:
    assert hint_for(cli_errors.NoCommittee("")) == HINTS[cli_errors.NoCommittee]
    assert hint_for(errors.UnprovenKey("")) == HINTS[errors.InvalidCommittee]
    assert hint_for(errors.BadSignature("")) is None


def test_an_error_can_have_its_own_hint_or_none() -> None:
    assert hint_for(with_hint(errors.NotCertified(""), "Do that.")) == "Do that."
    assert hint_for(with_hint(errors.NotCertified(""), "")) is None


@pytest.mark.parametrize(
    ("reasons", "hint"),
    [
        (["tls", "tls"], queries.UNTRUSTED_HINT),
        (["tls", "timeout"], HINTS[errors.Unreachable]),
        (["unreachable"], HINTS[errors.Unreachable]),
    ],
    ids=str,
)
def test_the_hint_for_untrusted_certificates_is_about_the_ca(reasons: list[str], hint: str) -> None:
    def ask(reason: str) -> None:
        raise errors.Unreachable("no answer", reason=reason)

    with pytest.raises(errors.Unreachable) as raised:
        queries.first({f"operator_{i}": reason for i, reason in enumerate(reasons)}, ask)

    assert hint_for(raised.value) == hint


# Output of errors


def raising(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Make every command that loads the committee fail with `error`."""

    def refuse(_: Home) -> Committee:
        raise error

    monkeypatch.setattr(Home, "committee", refuse)


ERRORS = [
    (errors.Unreachable("gone"), "failed", 1),
    (errors.StepFailed("no"), "failed", 1),
    (errors.NotFound("no such"), "failed", 1),
    (errors.SettingsError("wrong"), "failed", 2),
    (errors.KeystoreError("shut"), "failed", 2),
    (errors.DatabaseTooOld("old"), "failed", 3),
    (errors.WrongJournal("other"), "failed", 3),
    (errors.InUse("busy"), "failed", 3),
    (errors.WrongCommittee("other", committee="0x00"), "refused", 1),
    (errors.BadSignature("forged"), "refused", 1),
    (errors.NotSettled("later", seconds=7), "refused", 1),
]


@pytest.mark.parametrize(("error", "verdict", "code"), ERRORS, ids=str)
def test_an_error_is_printed_for_people(
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
def test_an_error_is_printed_for_programs(
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


def test_an_unusable_file_is_reported_as_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(monkeypatch, PermissionError(13, "Permission denied", "some/file"))

    assert run("status") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("dragon: failed: unusable_file: Cannot use some/file: Permission ")


def test_wrong_usage_is_one_json_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("logs", "--limit", "0", "--json") == 2
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert (told["verdict"], told["reason"]) == ("failed", "usage")
    assert "0 is not in the range" in told["detail"]
    assert "Usage: " in err


def test_messages_cannot_control_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(monkeypatch, errors.BadAnswer("\x1b[2Jfine\r\n[red]"))

    run("status")

    assert capsys.readouterr().err == "dragon: failed: bad_answer: �[2Jfine��[red]\n"
