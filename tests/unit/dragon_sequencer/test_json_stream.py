"""JSON that arrives in pieces, from peers that may be hostile."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragon_sequencer import json_stream
from dragon_sequencer.json_stream import JsonFault, JsonStream
from examples import examples


def stream_of(text: bytes, size: int = 1) -> JsonStream:
    """A stream that arrives in pieces of `size` bytes."""
    pieces = (text[at : at + size] for at in range(0, len(text), size))
    return JsonStream(lambda: next(pieces, b""))


def strings(text: bytes, size: int) -> list[str]:
    stream = stream_of(text, size)
    found = list(stream.strings())
    stream.end()
    return found


@given(st.lists(st.text()), st.booleans(), st.integers(1, 50), st.sampled_from([None, 1]))
def test_a_list_of_strings_is_read_like_by_the_standard_library(texts, escaped, size, indent):
    text = json.dumps(texts, ensure_ascii=escaped, indent=indent).encode(errors="replace")

    assert strings(text, size) == json.loads(text)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES, st.integers(1, 50))
def test_a_value_is_read_like_by_the_standard_library(value, size):
    stream = stream_of(json.dumps(value).encode(), size)

    assert stream.value() == value
    stream.end()


@settings(max_examples=examples(300))
@given(st.lists(st.text(max_size=5), max_size=5), st.data())
def test_a_damaged_list_is_refused_or_read_like_by_the_standard_library(texts, data):
    text = bytearray(json.dumps(texts).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
        text += b" "

    for size in (1, 1000):
        try:
            found: Any = strings(bytes(text), size)
        except JsonFault:
            continue
        assert found == json.loads(text.decode())


FAULTS = {
    "nothing": b"",
    "no list": b"{}",
    "no end": b'["a"',
    "an open string": b'["a',
    "an escape at the end": b'["a\\',
    "a comma at the end": b'["a",]',
    "two commas": b'["a",,"b"]',
    "no comma": b'["a""b"]',
    "a number": b'["a",1]',
    "text behind": b'["a"]x',
    "a control character": b'["a\n"]',
    "a control character beside an escape": b'["\\n\n"]',
    "an unknown escape": b'["\\x"]',
    "not UTF-8": b'["\xff"]',
    "not UTF-8, followed by another": b'["\xff","a"]',
    "a surrogate in UTF-8": b'["\xed\xa0\x80"]',
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("size", [1, 100])
def test_a_malformed_list_is_refused(name, size):
    with pytest.raises(JsonFault):
        strings(FAULTS[name], size)


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 100_000,
        b'{"a":' * 100,
        b"1" * 100_000,
        b"NaN",
        b"-Infinity",
        b"tru",
        b"",
        b"]",
        b'{"a":1,"a":2}',
        b'{"a":{"b":1,"b":1}}',
        b'["' + b"x" * json_stream.MAX_VALUE_BYTES + b'"]',
        b"[" + b"[]," * (json_stream.MAX_VALUE_BYTES // 3) + b"[]]",
        b'"' + b"x" * json_stream.MAX_STRING_BYTES + b'"',
        b'"' + b"\\n" * json_stream.MAX_STRING_BYTES,
    ],
)
def test_an_expensive_or_ambiguous_value_is_refused(text):
    with pytest.raises(JsonFault):
        stream_of(text, 5000).value()


def test_a_member_that_is_repeated_is_refused():
    stream = stream_of(b'{"a":1,"a":2}')

    with pytest.raises(JsonFault):
        members(stream)


def members(stream: JsonStream) -> dict[str, object]:
    return {name: stream.value() for name in stream.members()}


def test_an_object_with_too_many_members_is_refused():
    stream = stream_of(json.dumps(dict.fromkeys(map(str, range(17)), 1)).encode())

    with pytest.raises(JsonFault):
        members(stream)


def test_errors_of_the_source_pass_through():
    def read() -> bytes:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        JsonStream(read).value()


def endless(piece: bytes) -> Iterator[bytes]:
    while True:
        yield piece


@pytest.mark.parametrize("piece", [b"x" * 65_536, b"\\u0001" * 10_000, b"\xff" * 1000, b"[" * 1000])
def test_an_endless_value_costs_little_memory(piece):
    pieces = endless(piece)
    stream = JsonStream(lambda: next(pieces))
    tracemalloc.start()

    with pytest.raises(JsonFault):
        stream.value() if piece[:1] == b"[" else JsonStream(quoted(pieces)).string()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 16 << 20


def quoted(pieces: Iterator[bytes]) -> Any:
    begun = iter([b'"'])
    return lambda: next(begun, b"") or next(pieces)
