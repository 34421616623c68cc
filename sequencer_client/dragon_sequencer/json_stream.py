"""Reads JSON of any length piece by piece, with bounded memory.

`json.loads` needs the whole text, and small values take many times their text in memory: 8 MiB of
`[],` become 225 MB. A `JsonStream` holds one string or one small value at a time. The caller states
the structure that it expects; anything else is refused as soon as it is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Final, NoReturn, cast

MAX_STRING_BYTES: Final = 1 << 20  # JSON text of one string, with its quotes and escapes
MAX_VALUE_BYTES: Final = 128 << 10  # JSON text of a value that is decoded as a whole
MAX_VALUE_DEPTH: Final = 16  # nesting levels of such a value
MAX_MEMBERS: Final = 16  # members of an object that is read member by member
_MAX_INTEGER_DIGITS: Final = 80  # keys in /node/state have up to 77
_SPACE: Final = re.compile(rb"[ \t\n\r]*")
# Possessive quantifiers: without them, the memory for backtracking grows with the string.
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
# An item of a list of strings, up to the next one. The first group is a text without escapes.
_ITEM: Final = re.compile(
    rb'[ \t\n\r]*+(?:"([^"\\\x00-\x1f]*+)"|("[^"\\]*+(?:\\.[^"\\]*+)*+"))[ \t\n\r]*+,', re.DOTALL
)
_SCALAR: Final = re.compile(rb"[-+.0-9A-Za-z]+")
_BRACKETS: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)


class JsonFault(ValueError):
    """The text is not JSON, not of the expected structure, or one value exceeds its limit."""


class JsonStream:
    """One JSON text.

    Args:
        read: returns the next bytes of the text; none at its end. Its exceptions pass through.
    """

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._read = read
        self._text = b""  # what was read and is not decoded yet begins at `_at`
        self._at = 0
        self._ended = False
        self.size = 0  # bytes read

    @classmethod
    def of(cls, text: bytes) -> JsonStream:
        """A stream of a text that is in memory."""
        pieces = iter((text,))
        return cls(lambda: next(pieces, b""))

    # Structure

    def peek(self) -> bytes:
        """The first byte of the next token; empty at the end of the text."""
        while True:
            found = _SPACE.match(self._text, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._text):
                return self._text[self._at : self._at + 1]
            if not self._more(1):
                return b""

    def members(self) -> Iterator[str]:
        """The names of an object's members. Take the value of each before the next name.

        Raises JsonFault: no object, or a name is repeated.
        """
        seen: set[str] = set()
        for _ in self._separated(b"{", b"}"):
            name = self.string()
            if name in seen or len(seen) == MAX_MEMBERS:
                raise JsonFault(f"an object has a member twice, or more than {MAX_MEMBERS}")
            seen.add(name)
            self._take(b":")
            yield name

    def items(self) -> Iterator[None]:
        """One step for each item of a list. Take the item before the next step."""
        return self._separated(b"[", b"]")

    def end(self) -> None:
        """Raises JsonFault: more text follows."""
        if self.peek():
            raise JsonFault("text follows the JSON value")

    # Values

    def string(self) -> str:
        """A string, which may contain lone surrogates. Raises JsonFault: no string, or too long."""
        if self.peek() != b'"':
            raise JsonFault("a string is missing")
        while not (found := _STRING.match(self._text, self._at)):
            self._extend(MAX_STRING_BYTES)
        if found.end() - self._at > MAX_STRING_BYTES:
            raise JsonFault(f"a string exceeds {MAX_STRING_BYTES} bytes")
        self._at = found.end()
        return _text_of(found[0])

    def strings(self) -> Iterator[str]:
        """The items of a list of strings. Raises JsonFault: something else, or a long string."""
        for _ in self.items():
            yield from self._whole_strings()
            yield self.string()

    def _whole_strings(self) -> Iterator[str]:
        """The strings that were read already and that another item follows: a fast path."""
        while found := _ITEM.match(self._text, self._at):
            if found.end() - self._at > MAX_STRING_BYTES:
                return
            self._at = found.end()
            plain, escaped = found.groups()
            yield _text(plain) if escaped is None else _text_of(escaped)

    def value(self) -> object:
        """Any value of at most `MAX_VALUE_BYTES`, decoded as a whole. Raises JsonFault."""
        if self.peek() == b'"':
            return self.string()
        if self.peek() not in {b"[", b"{"}:
            return self._scalar()
        while (end := _end_of_value(self._text, self._at)) is None:
            self._extend(MAX_VALUE_BYTES)
        if end - self._at > MAX_VALUE_BYTES:
            raise JsonFault(f"a value exceeds {MAX_VALUE_BYTES} bytes")
        raw, self._at = self._text[self._at : end], end
        return _decode(raw)

    def _scalar(self) -> object:
        while not self._ended and len(self._text) - self._at <= _MAX_INTEGER_DIGITS:
            self._more(_MAX_INTEGER_DIGITS)
        found = _SCALAR.match(self._text, self._at)
        if not found or len(found[0]) > _MAX_INTEGER_DIGITS:
            raise JsonFault("a value is missing or too long")
        self._at = found.end()
        return _decode(found[0])

    # Reading

    def _separated(self, begin: bytes, end: bytes) -> Iterator[None]:
        self._take(begin)
        if self.peek() == end:
            self._take(end)
            return
        while True:
            yield
            if self.peek() == end:
                self._take(end)
                return
            self._take(b",")

    def _take(self, token: bytes) -> None:
        if self.peek() != token:
            raise JsonFault(f"{token.decode()} is missing")
        self._at += 1

    def _extend(self, most: int) -> None:
        """Read more of a token that is not complete: as much again, so that the time is linear."""
        held = len(self._text) - self._at
        if held > most or not self._more(held):
            raise JsonFault("a value is not complete, or too long")

    def _more(self, count: int) -> bool:
        """Read at least `count` bytes, or to the end. Returns whether anything was read."""
        pieces, size = [self._text[self._at :]], 0
        while size < count and not self._ended:
            piece = self._read()
            self._ended = not piece
            pieces.append(piece)
            size += len(piece)
        self.size += size
        self._text, self._at = b"".join(pieces), 0
        return size > 0


def _end_of_value(text: bytes, start: int) -> int | None:
    """Where the list or object that begins at `start` ends; None if it is not complete."""
    depth = 0
    for found in _BRACKETS.finditer(text, start, start + MAX_VALUE_BYTES + 1):
        if found[0] in b"[{":
            depth += 1
            if depth > MAX_VALUE_DEPTH:
                raise JsonFault(f"a value has more than {MAX_VALUE_DEPTH} nesting levels")
        elif found[0] in b"]}":
            depth -= 1
            if not depth:
                return found.end()
    return None


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise JsonFault("a string is not UTF-8") from None


def _text_of(literal: bytes) -> str:
    return cast("str", _decode(literal))  # a literal in quotes is a string, or refused


def _decode(raw: bytes) -> object:
    try:
        return json.loads(
            raw.decode(),
            parse_int=_integer,
            parse_constant=_refuse,
            object_pairs_hook=_members,
        )
    except JsonFault:
        raise
    except (ValueError, RecursionError):
        raise JsonFault("a value is not JSON, or has too many nesting levels") from None


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise JsonFault("an object has a member twice")
    return members


def _integer(text: str) -> int:
    # Check the length first: to convert a million digits takes minutes.
    return int(text) if len(text) <= _MAX_INTEGER_DIGITS else _refuse(text)


def _refuse(text: str) -> NoReturn:
    raise JsonFault(f"{text[:32]} is not a valid number")
