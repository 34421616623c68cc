"""The `dragon` command: runs one command and turns errors into exit codes.

Exit codes: 0, done or verified; 1, refused or failed, with a named reason; 2, wrong usage or
settings; 3, the database was written by a newer release, or a service cannot use it; 4, verified,
but a report does not show all that was required; 130, interrupted.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

import click

from dragon.errors import (
    Busy,
    ClaimMissing,
    DatabaseTooNew,
    DatabaseTooOld,
    DragonError,
    EndNotShown,
    InUse,
    KeystoreError,
    LedgerError,
    NotFound,
    PeerError,
    SettingsError,
    StepFailed,
    WrongJournal,
)
from dragon.net.causes import UPGRADE_LOST
from dragon.storage.permissions import forbid_writing_by_others
from dragon_cli.errors import ReceiptRefused, UnusableFile
from dragon_cli.files import cannot
from dragon_cli.groups import PackageGroup
from dragon_cli.hints import UPGRADE_HINT, hint_for
from dragon_cli.render.text import print_json, printable

REFUSED: Final = 1
USAGE: Final = 2
UNCLAIMED: Final = 4  # only with `--require-claim` and `--require-end`
DATABASE: Final = 3  # also the exit code of `dragon.node.gunicorn_server`
INTERRUPTED: Final = 130

# The command could not do its work ("failed"). Every other error is a verdict ("refused").
FAILURES: Final = (
    DatabaseTooNew,
    DatabaseTooOld,
    InUse,
    WrongJournal,
    SettingsError,
    KeystoreError,
    PeerError,
    LedgerError,
    NotFound,
    Busy,
    StepFailed,
)


@click.group(
    cls=PackageGroup,
    package="dragon_cli.commands",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="datadragon")
def dragon() -> None:
    """Certified downtime and certified data streams, verifiable by anyone."""


def main(arguments: list[str] | None = None) -> None:
    """Run one command and end the process with its exit code."""
    forbid_writing_by_others()
    as_json = "--json" in (sys.argv[1:] if arguments is None else arguments)
    try:
        # click returns the code of its own `Exit`.
        raise SystemExit(dragon.main(arguments, standalone_mode=False) or 0)
    except click.exceptions.Exit as done:
        raise SystemExit(done.exit_code) from None
    except click.ClickException as error:
        _report_usage(error, as_json=as_json)
        raise SystemExit(USAGE) from None
    except (click.Abort, KeyboardInterrupt):
        raise SystemExit(INTERRUPTED) from None
    except DragonError as error:
        raise SystemExit(_report(error, as_json=as_json)) from None
    except BrokenPipeError:
        # The reader of our output has closed the pipe: discard what is still to be flushed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(REFUSED) from None
    except OSError as error:
        raise SystemExit(_report(_unusable(error), as_json=as_json)) from None


def _unusable(error: OSError) -> UnusableFile:
    if error.filename:
        return cannot("use", Path(os.fsdecode(error.filename)), error)
    return UnusableFile(f"The system refuses an operation: {error.strerror or 'unknown reason'}.")


def _report(error: DragonError, *, as_json: bool) -> int:
    """Print the error and its hint to stderr, with `--json` a document to stdout.

    Returns the exit code.
    """
    verdict = "failed" if isinstance(error, FAILURES) else "refused"
    hint = UPGRADE_HINT if error.facts.get("reason") == UPGRADE_LOST else hint_for(error)
    if as_json:
        checks = error.report if isinstance(error, ReceiptRefused) else {}
        report = {"verdict": verdict, "reason": error.name, "detail": str(error)}
        print_json({**checks, **report, **({"hint": hint} if hint else {}), "facts": error.facts})
    # Some errors have a more precise reason, from a closed list.
    reason = getattr(error, "reason", None)
    name = f"{error.name} ({reason})" if reason else error.name
    click.echo(f"dragon: {verdict}: {name}: {printable(str(error))}", err=True)
    if hint:
        click.echo(f"hint: {hint}", err=True)
    if isinstance(error, (DatabaseTooNew, DatabaseTooOld, InUse, WrongJournal)):
        return DATABASE
    if isinstance(error, (ClaimMissing, EndNotShown)):
        return UNCLAIMED
    return USAGE if isinstance(error, (SettingsError, KeystoreError)) else REFUSED


def _report_usage(error: click.ClickException, *, as_json: bool) -> None:
    if as_json:
        report = {"verdict": "failed", "reason": "usage", "detail": error.format_message()}
        print_json({**report, "facts": {}})
    error.show()


if __name__ == "__main__":
    main()
