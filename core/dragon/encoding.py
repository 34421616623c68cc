"""Decode strict JSON and encode canonical JSON (RFC 8785).

Everything that is signed or hashed passes through this module: equal values have equal bytes, and
a text that two programs could read differently is refused, each fault with its own error.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeAlias, cast

import rfc8785

from dragon import errors

Json: TypeAlias = bool | int | str | list["Json"] | dict[str, "Json"] | None

MAX_INTEGER: Final = 2**53 - 1
MAX_DEPTH: Final = 16  # nesting levels of one value
MAX_TEXT_DEPTH: Final = 64  # nesting levels of a whole text, checked before it is parsed
MAX_INTEGER_DIGITS: Final = 17  # of MAX_INTEGER, with a sign
MAX_QUOTED_CHARS: Final = 64  # of foreign text in an error message
DECIMAL_PATTERN: Final = "^-?(0|[1-9][0-9]*)$"
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))
_ID: Final = re.compile(r"[a-z0-9_-]{1,32}", re.ASCII)
# Matches whole strings, and brackets outside strings. A string without an end matches up to the end
# of the text, which keeps the time linear.
_BRACKETS: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
_HEX: Final = re.compile(r"0x(?:[0-9a-f]{2})*", re.ASCII)
_DECIMAL: Final = re.compile(DECIMAL_PATTERN.strip("^$"), re.ASCII)


def canonical(value: Json) -> bytes:
    """Encode `value` in its only canonical form (RFC 8785)."""
    if _is_plain(value):
        with suppress(UnicodeEncodeError):  # half of a surrogate pair: refused below
            return _ENCODER.encode(value).encode()
    return rfc8785.dumps(cast("dict[str, object]", value))  # type: ignore[arg-type]


def _is_plain(value: object) -> bool:
    """Whether the encoder of the standard library gives the canonical form of a value.

    It is written in C. With ASCII names its order is that of RFC 8785, which compares UTF-16 units;
    strings and integers have the same form in both. Whatever else there is, such as a fraction or a
    name beyond ASCII, `rfc8785` encodes or refuses.
    """
    if isinstance(value, str) or value is None or value is True or value is False:
        return True
    kind = type(value)
    if kind is dict:
        members = cast("dict[object, object]", value)
        named = all(type(name) is str and name.isascii() for name in members)
        return named and all(map(_is_plain, members.values()))
    if kind is list:
        return all(map(_is_plain, cast("list[object]", value)))
    return kind is int and -MAX_INTEGER <= cast("int", value) <= MAX_INTEGER


def parse(raw: bytes | str) -> Json:
    """Decode one JSON text and refuse everything that is ambiguous.

    Raises:
        NotJson: not JSON, not UTF-8, or nested more than 16 levels deep.
        DuplicateMember: an object contains a member twice.
        NotAnInteger: a number is not an integer.
        IntegerOutOfRange: a number is outside ±(2^53 − 1).
        LoneSurrogate: a string contains half of a surrogate pair.
    """
    return _checked(_load(raw), MAX_DEPTH)


def parse_items(raw: bytes | str, *, what: str) -> list[Json | errors.InvalidEncoding]:
    """Decode a JSON array whose items are independent of each other.

    Args:
        what: the name of the array in error messages.

    Returns:
        For each item its value, or the error that refuses it.

    Raises:
        NotJson: the text is not JSON.
        WrongType: the text is not a JSON array.
    """
    value = _load(raw)
    if not isinstance(value, list):
        raise errors.WrongType(f"{what} must be a JSON array", member=what)
    return [_item(item) for item in value]


def _item(item: object) -> Json | errors.InvalidEncoding:
    try:
        return _checked(item, MAX_DEPTH - 1)
    except errors.InvalidEncoding as refusal:
        return refusal


@dataclass(frozen=True, slots=True)
class _Spoiled:
    """Marks a refused value within a decoded text. `_checked` raises the refusal."""

    refusal: errors.InvalidEncoding


def _load(raw: bytes | str) -> object:
    try:
        text = raw.decode("utf-8") if isinstance(raw, bytes) else raw
        if is_deeper(text, MAX_TEXT_DEPTH):
            raise errors.NotJson(f"the JSON has more than {MAX_TEXT_DEPTH} nesting levels")
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_float=_refuse_float,
            parse_int=_integer,
            parse_constant=_refuse_float,
        )
    except UnicodeDecodeError as error:
        raise errors.NotJson(f"not JSON: byte {error.start} is not UTF-8") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise errors.NotJson(f"not JSON: unexpected text in {where}") from None


def is_deeper(text: str, levels: int) -> bool:
    """Return whether a JSON text has more than `levels` nesting levels. Takes linear time.

    Texts are checked before the parser runs, whose maximum depth depends on the interpreter and on
    the call stack. Without this check, two operators could judge the same batch differently.
    """
    if text.count("[") + text.count("{") <= levels:
        return False  # no text is nested deeper than it has opening brackets
    depth = 0
    for piece in _BRACKETS.findall(text):
        if piece in "[{":
            depth += 1
            if depth > levels:
                return True
        elif piece in "]}":
            depth -= 1
    return False


def _object(pairs: list[tuple[str, object]]) -> object:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    counted = Counter(name for name, _ in pairs)
    twice = next(name for name, times in counted.items() if times > 1)
    refusal = errors.DuplicateMember("an object contains a member twice", member=_quoted(twice))
    return _Spoiled(refusal)


def _refuse_float(text: str) -> object:
    return _Spoiled(errors.NotAnInteger("a number must be an integer", value=text[:32]))


def _integer(text: str) -> object:
    # The length is checked first: converting a million digits takes minutes.
    if len(text) > MAX_INTEGER_DIGITS or abs(int(text)) > MAX_INTEGER:
        message = "an integer must be within ±(2^53 − 1)"
        return _Spoiled(errors.IntegerOutOfRange(message, value=text[:32]))
    if text == "-0":
        return _Spoiled(errors.NotAnInteger("negative zero is not allowed", value=text))
    return int(text)


def _checked(value: object, depth: int) -> Json:
    """Return `value` if nothing in it is refused, too deep or a lone surrogate."""
    if depth < 0:
        raise errors.NotJson(f"the JSON has more than {MAX_DEPTH} nesting levels")
    # Plain comparisons: strangers' events pass here by the thousand.
    if isinstance(value, str):
        if not is_unicode(value):
            raise errors.LoneSurrogate(
                "a string contains half of a surrogate pair", value=_quoted(value)
            )
    elif isinstance(value, dict):
        for name, item in value.items():
            _checked(name, depth)
            _checked(item, depth - 1)
    elif isinstance(value, list):
        for item in value:
            _checked(item, depth - 1)
    elif isinstance(value, _Spoiled):
        raise value.refusal
    return cast("Json", value)


def is_unicode(text: str) -> bool:
    """Return whether a string has no half of a surrogate pair, which is not a character."""
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _quoted(text: str) -> str:
    """Shorten foreign text and escape it to ASCII, for an error message."""
    return ascii(text[:MAX_QUOTED_CHARS])[1:-1]


def to_hex(raw: bytes) -> str:
    return "0x" + raw.hex()


def from_hex(text: Json, *, member: str, size: int | range) -> bytes:
    """Decode `0x` and lower-case hexadecimal digits.

    Args:
        member: the name of the value in error messages.
        size: the number of bytes, or its range.

    Raises:
        WrongType: not a string.
        InvalidHex: other characters, or a wrong length.
    """
    if not isinstance(text, str):
        raise errors.WrongType(f"{member} must be a string of hexadecimal digits", member=member)
    sizes = range(size, size + 1) if isinstance(size, int) else size
    if len(text) > 2 + 2 * sizes[-1] or not _HEX.fullmatch(text):
        raise errors.InvalidHex(
            f"{member} must be 0x and lower-case hexadecimal digits", member=member
        )
    raw = bytes.fromhex(text[2:])
    if len(raw) not in sizes:
        message = f"{member} has {len(raw)} bytes, expected {_size(sizes)}"
        raise errors.InvalidHex(message, member=member, bytes=len(raw))
    return raw


def _size(sizes: range) -> str:
    return str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"


def check_id(text: Json, *, member: str) -> str:
    """Return `text` if it is an id. Raises WrongType, InvalidId."""
    if not isinstance(text, str):
        raise errors.WrongType(f"{member} must be a string", member=member)
    if not _ID.fullmatch(text):
        message = f"{member} must match [a-z0-9_-]{{1,32}}"
        raise errors.InvalidId(message, member=member, value=_quoted(text))
    return text


class Members:
    """Take the members of one JSON object one by one; `end` refuses the remaining ones.

    Each method raises the `InvalidEncoding` that describes the fault and names the member.
    """

    def __init__(self, value: Json, what: str) -> None:
        if not isinstance(value, dict):
            raise errors.WrongType(f"{what} must be a JSON object", member=what)
        self._left = dict(value)
        self._what = what

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def states(self, name: str) -> bool:
        """Whether there is such a member, and it is not null."""
        return self._left.get(name) is not None

    def take(self, name: str) -> Json:
        """Take a value of any type."""
        if name not in self._left:
            raise errors.MissingMember(f"{self._what} lacks the member {name}", member=name)
        return self._left.pop(name)

    def take_null(self, name: str) -> bool:
        """Take a value if it is null. Return whether the member was null."""
        is_null = name in self._left and self._left[name] is None
        if is_null:
            del self._left[name]
        return is_null

    def text(self, name: str, *, shortest: int = 1, longest: int = 256) -> str:
        """Take a string of `shortest` to `longest` characters."""
        value = self._string(name)
        if not shortest <= len(value) <= longest:
            message = f"{name} must have {shortest} to {longest} characters"
            raise errors.UnknownValue(message, member=name)
        return value

    def word(self, name: str, words: Iterable[str]) -> str:
        """Take a string that is one of `words`."""
        value, allowed = self._string(name), list(words)
        if value not in allowed:
            message = f"{name} must be one of {', '.join(allowed)}"
            raise errors.UnknownValue(message, member=name, value=_quoted(value))
        return value

    def id(self, name: str) -> str:
        return check_id(self.take(name), member=name)

    def ids(self, name: str, *, most: int) -> tuple[str, ...]:
        """Take a list of at most `most` ids."""
        return tuple(check_id(item, member=name) for item in self.list(name, most=most))

    def integer(self, name: str, *, least: int = 0, most: int = MAX_INTEGER) -> int:
        """Take an integer from `least` to `most`."""
        value = self.take(name)
        if isinstance(value, (bool, float)):
            raise errors.NotAnInteger(f"{name} must be an integer", member=name)
        if not isinstance(value, int):
            raise errors.WrongType(f"{name} must be an integer", member=name)
        if not least <= value <= most:
            raise errors.IntegerOutOfRange(
                f"{name} must be between {least} and {most}", member=name, value=value
            )
        return value

    def decimal(self, name: str, *, least: int, most: int) -> int:
        """Take a string of decimal digits: an integer from `least` to `most`, without zeros before.

        For integers that may pass 2^53 - 1.
        """
        value = self._string(name)
        longest = max(len(str(least)), len(str(most)))
        if len(value) > longest or value == "-0" or not _DECIMAL.fullmatch(value):
            message = f"{name} must be a string with an integer in decimal digits"
            raise errors.UnknownValue(message, member=name, value=_quoted(value))
        if not least <= (number := int(value)) <= most:
            message = f"{name} must be between {least} and {most}"
            raise errors.IntegerOutOfRange(message, member=name, value=value)
        return number

    def boolean(self, name: str) -> bool:
        """Take `true` or `false`."""
        value = self.take(name)
        if not isinstance(value, bool):
            raise errors.WrongType(f"{name} must be true or false", member=name)
        return value

    def hex(self, name: str, *, size: int | range) -> bytes:
        """Take a string of hexadecimal digits; `size` is its number of bytes, or a range."""
        return from_hex(self.take(name), member=name, size=size)

    def list(self, name: str, *, most: int) -> list[Json]:
        """Take a list of at most `most` entries."""
        value = self.take(name)
        if not isinstance(value, list):
            raise errors.WrongType(f"{name} must be a list", member=name)
        if len(value) > most:
            raise errors.UnknownValue(
                f"{name} has {len(value)} entries, expected at most {most}", member=name
            )
        return value

    def object(self, name: str) -> Mapping[str, Json]:
        """Take a JSON object, whose members are not checked further."""
        value = self.take(name)
        if not isinstance(value, dict):
            raise errors.WrongType(f"{name} must be a JSON object", member=name)
        return value

    def _string(self, name: str) -> str:
        value = self.take(name)
        if not isinstance(value, str):
            raise errors.WrongType(f"{name} must be a string", member=name)
        return value

    def end(self) -> None:
        """Refuse members that were not taken. Raises UnknownMember."""
        if self._left:
            name = _quoted(min(self._left))
            raise errors.UnknownMember(f"{self._what} has no member {name}", member=name)
