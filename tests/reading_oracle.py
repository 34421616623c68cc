"""A second implementation of the rule that takes a reading from a message (section 19.16).

It shares no code with `dragon.protocol.streams.reading_rule`: the JSON scanner is written by hand,
byte by byte, and numbers are `decimal.Decimal`.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

_EXACT = Context(prec=400, Emin=-10_000, Emax=10_000, rounding=ROUND_HALF_EVEN)
_DIGITS = b"0123456789"
_SPACES = b" \t\n\r"
_ESCAPES = {
    ord('"'): '"',
    ord("\\"): "\\",
    ord("/"): "/",
    ord("b"): "\b",
    ord("f"): "\f",
    ord("n"): "\n",
    ord("r"): "\r",
    ord("t"): "\t",
}


class Refused(Exception):
    """The message has no reading."""


class Token(bytes):
    """The characters of a number."""


def reading(data: bytes, rule: dict[str, Any]) -> int | None:
    """The reading of a message, by a rule in the form of `reading_cases.json`."""
    try:
        if rule["form"] == "plain":
            end = len(data)
            while end and data[end - 1] == 0x20:
                end -= 1
            token = data[:end]
        else:
            token = _pointed(data, rule["pointer"])
        return _value(token, rule["scale"], rule["rounding"])
    except Refused:
        return None


def _value(token: bytes, scale: int, rounding: str) -> int:
    if len(token) > 40 or _number_end(token, 0) != len(token):
        raise Refused
    text = token.decode("ascii")
    _, _, exponent = text.lower().partition("e")
    if exponent and abs(Decimal(exponent)) > 99:
        raise Refused
    number = Decimal(text).scaleb(scale, _EXACT)
    whole = number.to_integral_value(ROUND_HALF_EVEN, _EXACT)
    if rounding == "exact" and whole != number:
        raise Refused
    if not abs(whole) < 2**59:
        raise Refused
    return int(whole)


def _number_end(data: bytes, at: int) -> int:
    """The position after the number that begins at `at`. Raises Refused: there is none."""
    if data[at : at + 1] == b"-":
        at += 1
    at = at + 1 if data[at : at + 1] == b"0" else _digits_end(data, at)
    if data[at : at + 1] == b"." and data[at + 1 : at + 2] in _singles(_DIGITS):
        at = _digits_end(data, at + 1)
    if data[at : at + 1] in (b"e", b"E"):
        after = at + 2 if data[at + 1 : at + 2] in (b"+", b"-") else at + 1
        if data[after : after + 1] in _singles(_DIGITS):
            at = _digits_end(data, after)
    return at


def _digits_end(data: bytes, at: int) -> int:
    end = at
    while end < len(data) and data[end] in _DIGITS:
        end += 1
    if end == at:
        raise Refused
    return end


def _singles(allowed: bytes) -> list[bytes]:
    return [bytes([each]) for each in allowed]


def _pointed(data: bytes, pointer: str) -> bytes:
    value = _Scanner(data).document()
    for raw in pointer.split("/")[1:]:
        value = _step(value, raw)
    if not isinstance(value, Token):
        raise Refused
    return bytes(value)


def _step(value: object, raw: str) -> object:
    name, escaped = "", False
    for character in raw:
        if escaped:
            name, escaped = name + {"0": "~", "1": "/"}[character], False
        elif character == "~":
            escaped = True
        else:
            name += character
    if isinstance(value, list) and not isinstance(value, _Pairs):
        digits = all(character in "0123456789" for character in raw)
        if raw and digits and (raw == "0" or raw[0] != "0") and Decimal(raw) < len(value):
            return value[int(raw)]
    if isinstance(value, _Pairs):
        for known, item in value:
            if known == name:
                return item
    raise Refused


class _Pairs(list[tuple[str, object]]):
    """The members of an object."""


class _Scanner:
    """One JSON text (RFC 8259), refused as section 19.16 demands."""

    def __init__(self, data: bytes) -> None:
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:
            raise Refused from None
        self._data, self._at = data, 0

    def document(self) -> object:
        value = self._value(0)
        if self._at != len(self._data):
            raise Refused
        return value

    def _value(self, depth: int) -> object:
        """The next value, with the spaces around it."""
        self._skip()
        rest = self._data[self._at : self._at + 1]
        value: object
        if rest in (b"{", b"["):
            if depth == 16:
                raise Refused
            value = self._object(depth + 1) if rest == b"{" else self._array(depth + 1)
        elif rest == b'"':
            value = self._string()
        elif rest in (b"t", b"f", b"n"):
            value = self._word()
        else:
            end = _number_end(self._data, self._at)
            value = Token(self._data[self._at : end])
            self._at = end
        self._skip()
        return value

    def _object(self, depth: int) -> _Pairs:
        pairs, names = _Pairs(), set()
        self._take(b"{")
        self._skip()
        while not self._took(b"}"):
            if pairs:
                self._take(b",")
                self._skip()
            name = self._string()
            if name in names:
                raise Refused
            names.add(name)
            self._skip()
            self._take(b":")
            pairs.append((name, self._value(depth)))
        return pairs

    def _array(self, depth: int) -> list[object]:
        items: list[object] = []
        self._take(b"[")
        self._skip()
        while not self._took(b"]"):
            if items:
                self._take(b",")
            items.append(self._value(depth))
        return items

    def _word(self) -> str:
        for word in (b"true", b"false", b"null"):
            if self._took(word):
                return word.decode()
        raise Refused

    def _string(self) -> str:
        """A string; its characters are collected as code units of UTF-16, to find lone halves."""
        self._take(b'"')
        units = bytearray()
        while not self._took(b'"'):
            if self._at >= len(self._data) or self._data[self._at] < 0x20:
                raise Refused
            units += self._escape() if self._took(b"\\") else self._character()
        try:
            return units.decode("utf-16-be")
        except UnicodeDecodeError:
            raise Refused from None

    def _character(self) -> bytes:
        """A character that is not escaped: all bytes of it."""
        end = self._at + 1
        while end < len(self._data) and self._data[end] & 0xC0 == 0x80:
            end += 1
        taken, self._at = self._data[self._at : end], end
        return taken.decode("utf-8").encode("utf-16-be")

    def _escape(self) -> bytes:
        if self._took(b"u"):
            four = self._data[self._at : self._at + 4]
            if len(four) < 4 or any(each not in b"0123456789abcdefABCDEF" for each in four):
                raise Refused
            self._at += 4
            return int(four, 16).to_bytes(2, "big")
        if self._at >= len(self._data) or self._data[self._at] not in _ESCAPES:
            raise Refused
        self._at += 1
        return _ESCAPES[self._data[self._at - 1]].encode("utf-16-be")

    def _skip(self) -> None:
        while self._at < len(self._data) and self._data[self._at] in _SPACES:
            self._at += 1

    def _took(self, expected: bytes) -> bool:
        if self._data[self._at : self._at + len(expected)] != expected:
            return False
        self._at += len(expected)
        return True

    def _take(self, expected: bytes) -> None:
        if not self._took(expected):
            raise Refused
