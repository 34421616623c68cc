"""The `dragon` command.

Exit codes: 0, done or true; 1, refused or failed, with the named reason; 2, wrong usage or
settings; 3, a database that a newer release has written, or that a service cannot use.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Final

import click

from dragon.errors import (
    Busy,
    DatabaseTooNew,
    DragonError,
    KeystoreError,
    LedgerError,
    NotFound,
    PeerError,
    SettingsError,
    StepFailed,
)
from dragon_cli.errors import ReceiptRefused, UnusableFile
from dragon_cli.hints import hint_for
from dragon_cli.render.output import print_json, printable

REFUSED: Final = 1
USAGE: Final = 2
DATABASE: Final = 3  # also from `dragon.node.server`
INTERRUPTED: Final = 130

# Nothing was judged here: what was asked for could not be done. Everything else is a verdict.
FAILURES: Final = (
    DatabaseTooNew,
    SettingsError,
    KeystoreError,
    PeerError,
    LedgerError,
    NotFound,
    Busy,
    StepFailed,
)


# Where each command is, and that module's word for it: only the one that is asked for is loaded.
COMMANDS: Final = {
    "init": "init:init",
    "up": "up:up",
    "demo": "demo:demo",
    "serve": "serve:serve",
    "status": "status:status",
    "nodes": "nodes:nodes",
    "rounds": "rounds:rounds",
    "logs": "nodes:logs",
    "downtime": "downtime:downtime",
    "verify": "verify:verify",
    "key": "key:key",
    "log": "log:log",
    "ziggy": "ziggy:ziggy",
    "proof": "proof:proof",
    "stream": "stream:stream",
    "source": "source:source",
    "receipt": "receipt:receipt",
    "endorse": "endorse:endorse",
}


class Commands(click.Group):
    """A group that loads a command when it is asked for, and all of them to list them."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS and cmd_name not in self.commands:
            module, _, name = COMMANDS[cmd_name].partition(":")
            found = getattr(import_module(f"dragon_cli.commands.{module}"), name)
            self.add_command(found, cmd_name)
        return super().get_command(ctx, cmd_name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="datadragon")
def dragon() -> None:
    """Certified downtime and data streams that anyone can check, trusting no service."""


def with_all() -> click.Group:
    """The command with every other one loaded, for whoever goes through them."""
    for name in COMMANDS:
        dragon.get_command(click.Context(dragon), name)
    return dragon


def main(arguments: list[str] | None = None) -> None:
    """Run one command. Ends the process: this is where errors become exit codes."""
    as_json = "--json" in (sys.argv[1:] if arguments is None else arguments)
    try:
        # click hands back the code of its own `Exit`.
        raise SystemExit(dragon.main(arguments, standalone_mode=False) or 0)
    except click.exceptions.Exit as done:
        raise SystemExit(done.exit_code) from None
    except click.ClickException as error:
        _say_usage(error, as_json=as_json)
        raise SystemExit(USAGE) from None
    except (click.Abort, KeyboardInterrupt):
        raise SystemExit(INTERRUPTED) from None
    except DragonError as error:
        raise SystemExit(_say(error, as_json=as_json)) from None
    except BrokenPipeError:
        # Whoever read our output has had enough. What is still to be flushed goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(REFUSED) from None
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        unusable = UnusableFile(f"{where}{error.strerror or error}")
        raise SystemExit(_say(unusable, as_json=as_json)) from None


def _say(error: DragonError, *, as_json: bool) -> int:
    """One sentence and a hint on stderr, for programs one document on stdout; the exit code."""
    verdict = "failed" if isinstance(error, FAILURES) else "refused"
    hint = hint_for(error)
    if as_json:
        more = error.told if isinstance(error, ReceiptRefused) else {}
        told = {"verdict": verdict, "reason": error.name, "detail": str(error)}
        print_json({**more, **told, **({"hint": hint} if hint else {}), "facts": error.facts})
    # Some errors bear one of a closed list of reasons beside their name.
    reason = getattr(error, "reason", None)
    name = f"{error.name} ({reason})" if reason else error.name
    click.echo(f"dragon: {verdict}: {name}: {printable(str(error))}", err=True)
    if hint:
        click.echo(f"hint: {hint}", err=True)
    if isinstance(error, DatabaseTooNew):
        return DATABASE
    return USAGE if isinstance(error, (SettingsError, KeystoreError)) else REFUSED


def _say_usage(error: click.ClickException, *, as_json: bool) -> None:
    if as_json:
        told = {"verdict": "failed", "reason": "usage", "detail": error.format_message()}
        print_json({**told, "facts": {}})
    error.show()


if __name__ == "__main__":
    main()
