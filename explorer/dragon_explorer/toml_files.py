"""Reading a TOML file that a person has written: bounded, and every fault is a sentence."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, Final

MAX_FILE_BYTES: Final = 64 * 1024
_PLACE: Final = re.compile(r"\(at (line \d+, column \d+|end of document)\)$")


class UnusableToml(Exception):
    """The file cannot be read as TOML. The message continues a sentence about the file."""


def read_toml(path: Path) -> dict[str, Any]:
    """Return the content of a file. Raises UnusableToml."""
    try:
        raw = read_regular(path, MAX_FILE_BYTES)
        return tomllib.loads(raw.decode())
    except OSError as error:
        raise UnusableToml(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UnusableToml("is not a text file in UTF-8") from None
    except RecursionError:
        raise UnusableToml("is not usable: it is nested too deeply") from None
    except tomllib.TOMLDecodeError as error:
        raise UnusableToml(_fault(error)) from None
    except ValueError:
        raise UnusableToml("has a number that is too long") from None


def read_regular(path: Path, most: int) -> bytes:
    """Return the content of a file of at most `most` bytes, and wait for no pipe or device.

    Raises OSError: it cannot be read; `strerror` says why.
    """
    if "\0" in str(path):
        raise OSError(0, "the name has a NUL character")
    if path.exists() and not path.is_file() and not path.is_dir():
        raise OSError(0, "it is not a regular file")
    with path.open("rb") as file:
        raw = file.read(most + 1)
    if len(raw) > most:
        raise OSError(0, f"it has more than {most} bytes")
    return raw


def _fault(error: tomllib.TOMLDecodeError) -> str:
    """Return a predicate such as "is not TOML at line 3, column 7", without the library's text."""
    found = _PLACE.search(str(error))
    if found is None:
        return "is not TOML"
    return f"is not TOML at {found[1].replace('end of', 'the end of the')}"
