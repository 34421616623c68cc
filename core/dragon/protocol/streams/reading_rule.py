"""The reading of a message: one integer, or none, by a rule in the stream's descriptor.

The rule is a total function of the bytes. It works with exact integers and never with binary
floating point, so every implementation reads the same integer from the same message (section 19.16
of `docs/spec/ziggy-readings.md`).
"""

from __future__ import annotations

import enum
import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NoReturn

from dragon import errors
from dragon.encoding import is_deeper, is_unicode
from dragon.stark.commitment import READING_OFFSET

MAX_READING: Final = READING_OFFSET - 1  # in size
MAX_SCALE: Final = 18
MAX_TOKEN_CHARS: Final = 40
MAX_EXPONENT: Final = 99  # in size
MAX_DEPTH: Final = 16  # nesting levels of a message in JSON
MAX_POINTER_BYTES: Final = 128  # in UTF-8
MAX_POINTER_LEVELS: Final = 8
_TOKEN: Final = re.compile(rb"(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?")
_POINTER: Final = re.compile(r"(?:/(?:[^~/]|~[01])*)*")
_INDEX: Final = re.compile(r"0|[1-9][0-9]*", re.ASCII)


class Form(enum.StrEnum):
    """Where the number stands in a message."""

    PLAIN = "plain"  # the message is the number, followed by any number of spaces
    JSON = "json"  # the message is a JSON text, in which a pointer leads to the number


class Rounding(enum.StrEnum):
    """What happens to a number with more decimal places than the scale."""

    EXACT = "exact"  # it is no reading
    HALF_EVEN = "half-even"  # it becomes the nearest integer; of two, the even one


@dataclass(frozen=True)
class ReadingRule:
    """How a reading is taken from a message. Raises InvalidReadings if the rule is invalid."""

    form: Form
    pointer: str | None  # RFC 6901; only in the form `json`
    scale: int  # the reading is the number times 10^scale
    rounding: Rounding

    def __post_init__(self) -> None:
        if (self.form is Form.JSON) is not (self.pointer is not None):
            message = "pointer is required in the form json, and not allowed in the form plain"
            raise errors.InvalidReadings(message, member="pointer")
        if self.pointer is not None and not is_pointer(self.pointer):
            message = (
                f"pointer must be a JSON pointer (RFC 6901) of at most {MAX_POINTER_BYTES} bytes "
                f"and {MAX_POINTER_LEVELS} levels, for example /temperature"
            )
            raise errors.InvalidReadings(message, member="pointer")
        if not 0 <= self.scale <= MAX_SCALE:
            message = f"scale must be between 0 and {MAX_SCALE}, not {self.scale}"
            raise errors.InvalidReadings(message, member="scale", value=self.scale)

    def reading(self, data: bytes) -> int | None:
        """Return the reading of a message, within ±(2^59 - 1); None if it has no reading."""
        token = data.rstrip(b" ") if self.pointer is None else _token_at(data, self._path)
        return None if token is None else scaled(token, self.scale, self.rounding)

    @cached_property
    def _path(self) -> tuple[str, ...]:
        """The names and indices of the pointer."""
        parts = (self.pointer or "").split("/")[1:]
        return tuple(part.replace("~1", "/").replace("~0", "~") for part in parts)


def is_pointer(text: str) -> bool:
    """Return whether `text` is a JSON pointer (RFC 6901) within our bounds."""
    if len(text) > MAX_POINTER_BYTES or not is_unicode(text):
        return False
    short = len(text.encode()) <= MAX_POINTER_BYTES and text.count("/") <= MAX_POINTER_LEVELS
    return short and _POINTER.fullmatch(text) is not None


def scaled(token: bytes, scale: int, rounding: Rounding) -> int | None:
    """Return the number of a token times 10^scale, computed exactly.

    Args:
        token: the characters of the number, in the notation of JSON.
        scale: from 0 to 18.

    Returns:
        An integer within ±(2^59 - 1). None: the token is no number or too long, its exponent or the
        result is too large, or the result is not an integer and must be exact.
    """
    if len(token) > MAX_TOKEN_CHARS or not (match := _TOKEN.fullmatch(token)):
        return None
    sign, whole, fraction, exponent = match.groups(default=b"")
    power = int(exponent or b"0")
    if abs(power) > MAX_EXPONENT:
        return None
    digits, shift = int(whole + fraction), power - len(fraction) + scale
    size = digits * 10**shift if shift >= 0 else _quotient(digits, 10**-shift, rounding)
    if size is None or size > MAX_READING:
        return None
    return -size if sign else size


def _quotient(number: int, divisor: int, rounding: Rounding) -> int | None:
    quotient, rest = divmod(number, divisor)
    if rest == 0:
        return quotient
    if rounding is Rounding.EXACT:
        return None
    is_up = 2 * rest > divisor or (2 * rest == divisor and quotient % 2 == 1)
    return quotient + is_up


class _Number(str):
    """The characters of a number in a JSON text."""

    __slots__ = ()


def _token_at(data: bytes, path: tuple[str, ...]) -> bytes | None:
    """Return the characters of the number to which `path` leads; None if there is none."""
    try:
        found = _document(data)
    except ValueError:
        return None
    for name in path:
        if isinstance(found, dict) and name in found:
            found = found[name]
        elif isinstance(found, list) and _INDEX.fullmatch(name) and int(name) < len(found):
            found = found[int(name)]
        else:
            return None
    return found.encode() if isinstance(found, _Number) else None


def _document(data: bytes) -> object:
    """Decode one JSON text (RFC 8259) that all parsers read alike; numbers keep their characters.

    Raises ValueError: not JSON, not UTF-8 or with a byte order mark, nested more than 16 levels
    deep, a member name twice in an object, or half of a surrogate pair.
    """
    text = data.decode("utf-8")
    if is_deeper(text, MAX_DEPTH):
        raise ValueError("too deep")
    found = json.loads(
        text,
        object_pairs_hook=_object,
        parse_int=_number,
        parse_float=_number,
        parse_constant=_refuse,
    )
    # UTF-8 has no surrogates, so half of a pair can only be escaped.
    if "\\u" in text and not _is_unicode_throughout(found):
        raise ValueError("half of a surrogate pair")
    return found


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a member name occurs twice")
    return members


def _number(text: str) -> _Number:
    # The standard library's parser in plain Python takes other digits than ASCII ones too.
    if not text.isascii():
        raise ValueError("not a number of JSON")
    return _Number(text)


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")  # NaN, Infinity, -Infinity


def _is_unicode_throughout(value: object) -> bool:
    if isinstance(value, str):
        return is_unicode(value)
    if isinstance(value, list):
        return all(map(_is_unicode_throughout, value))
    if isinstance(value, dict):
        return all(map(is_unicode, value)) and all(map(_is_unicode_throughout, value.values()))
    return True
