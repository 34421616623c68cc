"""The options that say what a stream's readings are, and what is proven about them."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import click

from dragon.encoding import Json
from dragon.errors import InvalidEncoding, InvalidReadings
from dragon.protocol.streams.readings import Readings
from dragon_cli.errors import WrongReadings
from dragon_cli.files import read_text
from dragon_cli.options import EXISTING_FILE
from dragon_cli.reading_words import JSON_LENGTH, MAX_SCALE, PLAIN_LENGTH, WORDS, readings_member

FILE: Final = "readings_file"
MAX_FILE_BYTES: Final = 16_384
MAX_LENGTH: Final = 65_536
MAX_MOST: Final = 4095

_OPTIONS: Final = (
    click.option(
        "--readings",
        FILE,
        type=EXISTING_FILE,
        help="TOML file with these words, in place of the options from `--form` to `--most`.",
    ),
    click.option(
        "--form",
        type=click.Choice(["plain", "json"]),
        help="Form of a message: a number and spaces, or JSON (default: json with `--pointer`).",
    ),
    click.option(
        "--pointer", metavar="POINTER", help="Place of the number in JSON: /a/b (RFC 6901)."
    ),
    click.option(
        "--scale",
        type=click.IntRange(0, MAX_SCALE),
        help="Decimals of a reading: it is an integer number of units of 10^-SCALE.",
    ),
    click.option("--unit", metavar="TEXT", help="Unit of the readings, such as °C or kWh."),
    click.option("--low", metavar="NUMBER", help="Lowest reading, in the unit."),
    click.option("--high", metavar="NUMBER", help="Highest reading, in the unit."),
    click.option(
        "--fall",
        metavar="NUMBER",
        help="Most by which a reading is below the one before; 0: never below. Sets `--carry`.",
    ),
    click.option(
        "--rise",
        metavar="NUMBER",
        help="Most by which a reading is above the one before. Sets `--carry`.",
    ),
    click.option(
        "--sum",
        metavar="SUM",
        help=(
            "What is proven of a window's sum: none, total:LOW:HIGH, mean:LOW:HIGH (of its mean) "
            "or stated:WIDTH (in an interval that the header states; 0: the sum) (default: none)."
        ),
    ),
    click.option(
        "--rounding",
        type=click.Choice(["exact", "half-even"]),
        help="A number with more decimals is no reading (exact), or is rounded (default: exact).",
    ),
    click.option(
        "--length",
        type=click.IntRange(1, MAX_LENGTH),
        help=(
            "Largest message in bytes, and the length that is shown of each (default: "
            f"{PLAIN_LENGTH}; {JSON_LENGTH} for JSON)."
        ),
    ),
    click.option(
        "--carry",
        is_flag=True,
        help="Prove the step from each window to the next; set by `--fall` and `--rise`.",
    ),
    click.option(
        "--most",
        type=click.IntRange(1, MAX_MOST),
        help="Largest number of readings in a proof, with a carried one (default: 63).",
    ),
)


def reading_options(command: Callable[..., Any]) -> Any:
    """Add the options; their values go to `readings_of`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def readings_of(values: Mapping[str, Any]) -> Readings | None:
    """Return the readings that the options or their file describe; None if none is given.

    Args: `values`, of the options of `reading_options`, by their names.

    Raises UsageError: file and options. WrongReadings, UnusableFile, TooLarge, NotJson.
    """
    given = {name: value for name, value in values.items() if _is_set(value)}
    file = given.pop(FILE, None)
    if file is None:
        return decoded(given) if given else None
    if given:
        raise click.UsageError(f"`--readings` has all words: omit `--{next(iter(given))}`.")
    try:
        return decoded(_read(file))
    except WrongReadings as error:
        error.args = (f"{file}: {error}",)
        raise


def decoded(words: Mapping[str, Any]) -> Readings:
    """Return the readings that words describe. Raises WrongReadings."""
    try:
        return Readings.from_json(readings_member(words))
    except (InvalidEncoding, InvalidReadings) as error:
        raise WrongReadings(f"These readings are refused: {error}.") from None


def is_given(values: Mapping[str, Any]) -> bool:
    """Whether any of the options is given."""
    return any(map(_is_set, values.values()))


def _is_set(value: object) -> bool:
    """Whether an option is given: 0 is a value, although it equals False."""
    return value is not None and value is not False


def _read(file: Path) -> dict[str, Json]:
    """Return the words of a file; numbers with decimals as their texts.

    Raises WrongReadings, UnusableFile, TooLarge, NotJson.
    """
    try:
        found = tomllib.loads(read_text(file, most=MAX_FILE_BYTES), parse_float=str)
    except (ValueError, RecursionError):
        raise WrongReadings("the file is not TOML") from None
    for name, value in found.items():
        if name not in WORDS:
            message = f"the word `{name[:40]}` is unknown; known are {', '.join(WORDS)}."
            raise WrongReadings(message, word=name[:40])
        _check_type(name, value)
    return found


def _check_type(name: str, value: object) -> None:
    """Raises WrongReadings: a word of a file has a value of another type."""
    if name == "carry":
        expected, fits = "true or false", isinstance(value, bool)
    elif name in ("scale", "length", "most"):
        expected, fits = "an integer", type(value) is int and 0 <= value <= MAX_LENGTH
    elif name in ("low", "high", "fall", "rise"):
        expected, fits = "a number", type(value) in (int, str)
    else:
        expected, fits = "a text", isinstance(value, str)
    if not fits:
        raise WrongReadings(f"`{name}` must be {expected}.", word=name)
