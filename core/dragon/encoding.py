"""Strict JSON in, canonical JSON (RFC 8785) out.

Everything that is signed or hashed passes through here, so that equal values have equal bytes and
whatever two programs could read differently is refused, each with its own name.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias, cast

import rfc8785

from dragon import errors

Json: TypeAlias = bool | int | str | list["Json"] | dict[str, "Json"] | None

MAX_INTEGER: Final = 2**53 - 1
MAX_DEPTH: Final = 16  # levels of one value
DEEPEST_TEXT: Final = 64  # levels of a whole text
_ID: Final = re.compile(r"[a-z0-9_-]{1,32}", re.ASCII)
# Brackets outside strings. A string that never ends takes the rest, so that this stays linear.
_BRACKETS: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
_HEX: Final = re.compile(r"0x(?:[0-9a-f]{2})*", re.ASCII)


def canonical(value: Json) -> bytes:
    """The one canonical encoding of `value` (RFC 8785)."""
    return rfc8785.dumps(cast("dict[str, object]", value))  # type: ignore[arg-type]


def parse(raw: bytes | str) -> Json:
    """Read one JSON text, refusing whatever could be read in two ways.

    Raises:
        NotJson: no JSON text, not UTF-8, or deeper than 16 levels.
        DuplicateMember, NotAnInteger, IntegerOutOfRange, LoneSurrogate: as named.
    """
    return _checked(_load(raw), MAX_DEPTH)


def parse_items(raw: bytes | str, *, what: str) -> list[Json | errors.InvalidEncoding]:
    """Read a JSON array whose items stand for themselves: a refusal takes only its own place.

    Raises NotJson, WrongType: the text as a whole is no JSON array.
    """
    value = _load(raw)
    if not isinstance(value, list):
        raise errors.WrongType(f"{what} is a JSON array", member=what)
    return [_item(item) for item in value]


def _item(item: object) -> Json | errors.InvalidEncoding:
    try:
        return _checked(item, MAX_DEPTH - 1)
    except errors.InvalidEncoding as refusal:
        return refusal


@dataclass(frozen=True, slots=True)
class _Spoiled:
    """Stands where a value was refused, until somebody looks at that place."""

    refusal: errors.InvalidEncoding


def _load(raw: bytes | str) -> object:
    try:
        text = raw.decode("utf-8") if isinstance(raw, bytes) else raw
        _check_depth(text)
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_float=_refuse_float,
            parse_int=_integer,
            parse_constant=_refuse_float,
        )
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise errors.NotJson(f"this is not JSON: {error}") from None


def _check_depth(text: str) -> None:
    """Refuse what is nested absurdly deeply before the parser sees it.

    How deep a parser can go depends on the interpreter and on who called it; two operators would
    come to two verdicts on the same batch.
    """
    depth = 0
    for piece in _BRACKETS.findall(text):
        if piece in "[{":
            depth += 1
            if depth > DEEPEST_TEXT:
                raise errors.NotJson(f"the JSON is nested more than {DEEPEST_TEXT} levels deep")
        elif piece in "]}":
            depth -= 1


def _object(pairs: list[tuple[str, object]]) -> object:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    counted = Counter(name for name, _ in pairs)
    twice = next(name for name, times in counted.items() if times > 1)
    refusal = errors.DuplicateMember("an object names a member twice", member=_shown(twice))
    return _Spoiled(refusal)


def _refuse_float(text: str) -> object:
    return _Spoiled(errors.NotAnInteger("numbers are integers here", value=text[:32]))


def _integer(text: str) -> object:
    # The length first: turning a million digits into an integer takes minutes.
    if len(text) > 17 or abs(int(text)) > MAX_INTEGER:
        message = "an integer is beyond ±(2^53 − 1)"
        return _Spoiled(errors.IntegerOutOfRange(message, value=text[:32]))
    if text == "-0":
        return _Spoiled(errors.NotAnInteger("there is no negative zero", value=text))
    return int(text)


def _checked(value: object, depth: int) -> Json:
    """`value` itself, once nothing in it is spoiled, too deep or half a character."""
    if depth < 0:
        raise errors.NotJson(f"the JSON is nested more than {MAX_DEPTH} levels deep")
    match value:
        case _Spoiled():
            raise value.refusal
        case str() if not _is_unicode(value):
            raise errors.LoneSurrogate("a text holds half a character", value=_shown(value))
        case list():
            for item in value:
                _checked(item, depth - 1)
        case dict():
            for name, item in value.items():
                _checked(name, depth)
                _checked(item, depth - 1)
    return cast("Json", value)


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _shown(text: str) -> str:
    """Foreign text, cut short and in ASCII, so that an error message can carry it."""
    return ascii(text[:64])[1:-1]


def to_hex(raw: bytes) -> str:
    return "0x" + raw.hex()


def from_hex(text: Json, *, member: str, size: int | range) -> bytes:
    """Bytes from `0x` and lower-case digits; `size` is their number or the range of it.

    Raises:
        WrongType: not a text.
        InvalidHex: other characters, or another length.
    """
    if not isinstance(text, str):
        raise errors.WrongType(f"{member} is a text of hexadecimal digits", member=member)
    sizes = range(size, size + 1) if isinstance(size, int) else size
    if len(text) > 2 + 2 * sizes[-1] or not _HEX.fullmatch(text):
        raise errors.InvalidHex(f"{member} is not 0x and lower-case digits", member=member)
    raw = bytes.fromhex(text[2:])
    if len(raw) not in sizes:
        message = f"{member} has {len(raw)} bytes"
        raise errors.InvalidHex(message, member=member, bytes=len(raw))
    return raw


def check_id(text: Json, *, member: str) -> str:
    """Raises WrongType or InvalidId: not an id as nodes and operators bear them."""
    if not isinstance(text, str):
        raise errors.WrongType(f"{member} is a text", member=member)
    if not _ID.fullmatch(text):
        message = f"{member} must match [a-z0-9_-]{{1,32}}"
        raise errors.InvalidId(message, member=member, value=_shown(text))
    return text


class Members:
    """The members of one JSON object, taken out one by one; `end` refuses what is left.

    Every method raises the precise `InvalidEncoding`, naming the member.
    """

    def __init__(self, value: Json, what: str) -> None:
        if not isinstance(value, dict):
            raise errors.WrongType(f"{what} is a JSON object", member=what)
        self._left = dict(value)
        self._what = what

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def take(self, name: str) -> Json:
        if name not in self._left:
            raise errors.MissingMember(f"{self._what} lacks {name}", member=name)
        return self._left.pop(name)

    def text(self, name: str, *, longest: int = 256) -> str:
        value = self.take(name)
        if not isinstance(value, str):
            raise errors.WrongType(f"{name} is a text", member=name)
        if not 0 < len(value) <= longest:
            raise errors.UnknownValue(f"{name} has 1 to {longest} characters", member=name)
        return value

    def word(self, name: str, words: Iterable[str]) -> str:
        """A text that is one of `words`."""
        value, allowed = self.take(name), list(words)
        if not isinstance(value, str):
            raise errors.WrongType(f"{name} is a text", member=name)
        if value not in allowed:
            message = f"{name} is one of {', '.join(allowed)}"
            raise errors.UnknownValue(message, member=name, value=_shown(value))
        return value

    def id(self, name: str) -> str:
        return check_id(self.take(name), member=name)

    def ids(self, name: str, *, most: int) -> tuple[str, ...]:
        value = self.take(name)
        if not isinstance(value, list):
            raise errors.WrongType(f"{name} is a list of ids", member=name)
        if len(value) > most:
            raise errors.UnknownValue(f"{name} lists more than {most} ids", member=name)
        return tuple(check_id(item, member=name) for item in value)

    def integer(self, name: str, *, least: int = 0, most: int = MAX_INTEGER) -> int:
        value = self.take(name)
        if isinstance(value, (bool, float)):
            raise errors.NotAnInteger(f"{name} is an integer", member=name)
        if not isinstance(value, int):
            raise errors.WrongType(f"{name} is an integer", member=name)
        if not least <= value <= most:
            raise errors.IntegerOutOfRange(
                f"{name} lies between {least} and {most}", member=name, value=value
            )
        return value

    def hex(self, name: str, *, size: int | range) -> bytes:
        return from_hex(self.take(name), member=name, size=size)

    def list(self, name: str, *, most: int) -> list[Json]:
        value = self.take(name)
        if not isinstance(value, list):
            raise errors.WrongType(f"{name} is a list", member=name)
        if len(value) > most:
            raise errors.UnknownValue(f"{name} has more than {most} entries", member=name)
        return value

    def object(self, name: str) -> Mapping[str, Json]:
        value = self.take(name)
        if not isinstance(value, dict):
            raise errors.WrongType(f"{name} is a JSON object", member=name)
        return value

    def end(self) -> None:
        if self._left:
            name = _shown(min(self._left))
            raise errors.UnknownMember(f"{self._what} has no member {name}", member=name)
