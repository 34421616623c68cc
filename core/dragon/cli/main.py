"""The `dragon` command.

Exit codes: 0, done or true; 1, refused or failed, with the named reason; 2, wrong usage or
settings.
"""

from __future__ import annotations

import json
import sys

import click

from dragon.cli.archive import log
from dragon.cli.demo import demo
from dragon.cli.init import init
from dragon.cli.serve import serve
from dragon.cli.show import logs, status
from dragon.cli.up import up
from dragon.cli.verify import verify
from dragon.errors import DragonError, KeystoreError, SettingsError

REFUSED = 1
USAGE = 2


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="datadragon")
def dragon() -> None:
    """Certified downtime that anyone can check, trusting no service."""


for command in (init, up, demo, serve, status, logs, verify, log):
    dragon.add_command(command)


def main(arguments: list[str] | None = None) -> None:
    """Run one command. Ends the process: this is where errors become exit codes."""
    try:
        # click hands back the code of its own `Exit`.
        raise SystemExit(dragon.main(arguments, standalone_mode=False) or 0)
    except click.exceptions.Exit as done:
        raise SystemExit(done.exit_code) from None
    except click.ClickException as error:
        error.show()
        raise SystemExit(USAGE) from None
    except (click.Abort, KeyboardInterrupt):
        raise SystemExit(130) from None
    except DragonError as error:
        _say(error, as_json="--json" in (arguments or sys.argv))
        usage = isinstance(error, (SettingsError, KeystoreError))
        raise SystemExit(USAGE if usage else REFUSED) from None


def _say(error: DragonError, *, as_json: bool) -> None:
    if as_json:
        refusal = {"verdict": "refused", "reason": error.name, "detail": str(error)}
        click.echo(json.dumps({**refusal, "facts": error.facts}, indent=2, default=str))
    click.echo(f"dragon: refused: {error.name}: {error}", err=True)


if __name__ == "__main__":
    main()
