"""The `dragon` command.

Exit codes: 0, done or true; 1, refused or failed, with the named reason; 2, wrong usage or
settings.
"""

from __future__ import annotations

import os
import sys
from typing import Final

import click

from dragon.cli.archive import log
from dragon.cli.completing import receipt
from dragon.cli.demo import demo
from dragon.cli.downtime import downtime
from dragon.cli.endorse import endorse
from dragon.cli.hints import hint_for
from dragon.cli.init import init
from dragon.cli.key import key
from dragon.cli.output import print_json, printable
from dragon.cli.proof import proof
from dragon.cli.rounds import rounds
from dragon.cli.serve import serve
from dragon.cli.show import logs, nodes
from dragon.cli.source import source
from dragon.cli.status import status
from dragon.cli.stream import stream
from dragon.cli.trouble import ReceiptRefused, UnusableFile
from dragon.cli.up import up
from dragon.cli.verify import verify
from dragon.cli.ziggy import ziggy
from dragon.errors import (
    Busy,
    DragonError,
    KeystoreError,
    LedgerError,
    NotFound,
    PeerError,
    SettingsError,
    StepFailed,
)

REFUSED: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 130

# Nothing was judged here: what was asked for could not be done. Everything else is a verdict.
FAILURES: Final = (
    SettingsError,
    KeystoreError,
    PeerError,
    LedgerError,
    NotFound,
    Busy,
    StepFailed,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="datadragon")
def dragon() -> None:
    """Certified downtime that anyone can check, trusting no service."""


for command in (
    *(init, up, demo, serve, status, nodes, rounds, logs, downtime, verify, key, log),
    *(ziggy, proof, stream, source, receipt, endorse),
):
    dragon.add_command(command)


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
    return USAGE if isinstance(error, (SettingsError, KeystoreError)) else REFUSED


def _say_usage(error: click.ClickException, *, as_json: bool) -> None:
    if as_json:
        told = {"verdict": "failed", "reason": "usage", "detail": error.format_message()}
        print_json({**told, "facts": {}})
    error.show()


if __name__ == "__main__":
    main()
