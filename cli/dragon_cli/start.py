"""The program `dragon`: starts quickly, then runs the command line.

Most commands end after a tenth of a second, a third of which would go into searching what has just
been imported for garbage. `keep_imported` ends that search for what is there already.
"""

from __future__ import annotations

import gc


def main() -> None:
    """Run one command and end the process with its exit code."""
    gc.disable()
    from dragon_cli.main import main as run  # noqa: PLC0415 - the search is off from here on

    run()


def keep_imported() -> None:
    """Search for garbage from now on, but not among what is there already.

    Does nothing in a process that `main` has not started.
    """
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


if __name__ == "__main__":
    main()
