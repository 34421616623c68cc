"""Write the generated sections of the documentation, or check that they are up to date.

    PYTHONPATH=docs python -m dragon_docs            # `make docs`: write
    PYTHONPATH=docs python -m dragon_docs --check    # part of `make check`: compare

No network and no running service is needed, and the same code always gives the same pages.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from dragon_docs import http_reference, pages

ROOT: Final = Path(__file__).resolve().parents[2]
COMMAND: Final = "make docs"


def main(arguments: list[str] | None = None) -> int:
    """Write or compare every page. Returns the exit code: 1 if a page is out of date."""
    parser = argparse.ArgumentParser(prog="dragon_docs", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--check",
        action="store_true",
        help="Change no file; exit with 1 if a generated section differs from the code.",
    )
    chosen = parser.parse_args(arguments)
    try:
        outdated = [page for page in pages.pages(ROOT) if _differs(page, write=not chosen.check)]
        http_reference.check_notes()
    except LookupError as error:
        return _say(f"dragon_docs: {error}")
    if outdated and chosen.check:
        names = "\n".join(f"  {page.relative_to(ROOT)}" for page in outdated)
        return _say(f"Generated sections differ from the code:\n{names}\nRun `{COMMAND}`.")
    return 0


def _differs(page: Path, *, write: bool) -> bool:
    """Whether a page is not what the code gives; with `write`, it is brought up to date."""
    text = page.read_text(encoding="utf-8")
    wanted = pages.rewrite(text, page)
    if wanted != text and write:
        page.write_text(wanted, encoding="utf-8")
    return wanted != text


def _say(message: str) -> int:
    sys.stderr.write(message + "\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
