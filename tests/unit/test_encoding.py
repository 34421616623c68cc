"""Unambiguous JSON is decoded; every other text is refused with a precise error."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Any

import pytest
import rfc8785
from hypothesis import assume, example, given
from hypothesis import strategies as st

from dragon import errors
from dragon.encoding import (
    MAX_DEPTH,
    MAX_INTEGER,
    Json,
    Members,
    canonical,
    check_id,
    from_hex,
    is_deeper,
    parse,
    parse_items,
    to_hex,
)

INTEGERS = st.integers(-MAX_INTEGER, MAX_INTEGER)
SCALARS = st.none() | st.booleans() | INTEGERS | st.text(max_size=20)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=20,
)


def depth(value: Json) -> int:
    """The number of arrays and objects around the innermost value."""
    match value:
        case list():
            return max((1 + depth(item) for item in value), default=0)
        case dict():
            return max((1 + depth(item) for item in value.values()), default=0)
        case _:
            return 0


# -- canonical form ------------------------------------------------------------------------------


def test_members_are_ordered_by_utf_16_code_units() -> None:
    """The example of RFC 8785, section 3.2.3: by code points, the face would be last."""
    names = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]

    ordered = list(json.loads(canonical(dict.fromkeys(names, 0))))

    assert ordered == ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]
    assert ordered != sorted(names)


def test_literals_and_strings_follow_rfc_8785() -> None:
    """The string and the literals of the example in RFC 8785, section 3.2.2."""
    value: Json = {
        "string": '\u20ac$\u000f\nA\'B"\\\\"/',
        "literals": [None, True, False],
    }

    raw = canonical(value)

    expected = '{"literals":[null,true,false],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    assert raw == expected.encode()


@pytest.mark.parametrize(
    ("value", "raw"),
    [
        ({}, b"{}"),
        ([], b"[]"),
        ({"b": 1, "a": [1, {"d": 2, "c": 3}]}, b'{"a":[1,{"c":3,"d":2}],"b":1}'),
        ("\u2028\u007f\b\t\f", '"\u2028\u007f\\b\\t\\f"'.encode()),
        (MAX_INTEGER, b"9007199254740991"),
        (-MAX_INTEGER, b"-9007199254740991"),
    ],
)
def test_a_value_has_exactly_one_encoding(value: Json, raw: bytes) -> None:
    assert canonical(value) == raw
    assert parse(raw) == value


@given(VALUES)
def test_decoding_reverses_encoding(value: Json) -> None:
    assume(depth(value) <= MAX_DEPTH)

    assert parse(canonical(value)) == value


ODD = st.floats() | st.integers() | st.text(alphabet=st.characters()) | st.binary(max_size=2)
ODD_VALUES = st.recursive(
    SCALARS | ODD,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner)
        | st.dictionaries(st.text(st.characters(), max_size=3) | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)


def by_the_reference(value: Any) -> bytes | str:
    """What `rfc8785` encodes, or the name of its refusal."""
    try:
        return rfc8785.dumps(value)
    except rfc8785.CanonicalizationError as refusal:
        return type(refusal).__name__


def encoded(value: Any) -> bytes | str:
    try:
        return canonical(value)
    except rfc8785.CanonicalizationError as refusal:
        return type(refusal).__name__


@given(VALUES | ODD_VALUES)
@example({"\U00010000": 0, "\uffff": 1})
@example({"a": "\ud800"})
@example(["\ud800\udc00", MAX_INTEGER, -MAX_INTEGER, MAX_INTEGER + 1])
@example({1: 2, None: 3})
@example([-0.0, 1e21, True])
def test_the_quick_encoder_agrees_with_the_reference(value: Any) -> None:
    assert encoded(value) == by_the_reference(value)


def test_every_character_has_the_form_of_the_reference() -> None:
    text = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000)]))

    assert canonical([text]) == rfc8785.dumps([text])


def test_words_of_an_enumeration_are_strings() -> None:
    class Word(StrEnum):
        UP = "up"

    assert canonical([Word.UP, {"a": Word.UP}]) == b'["up",{"a":"up"}]'


@given(VALUES)
def test_any_spelling_is_encoded_canonically(value: Json) -> None:
    assume(depth(value) <= MAX_DEPTH)

    spaced = json.dumps(value, ensure_ascii=True, indent=2, sort_keys=False)

    assert canonical(parse(spaced)) == canonical(value)


@given(st.dictionaries(st.text(max_size=8), INTEGERS, min_size=2, max_size=6))
def test_the_order_of_members_does_not_matter(value: dict[str, Json]) -> None:
    turned = dict(reversed(value.items()))

    assert canonical(turned) == canonical(value)


# -- refusals ------------------------------------------------------------------------------------


def refusal_of(raw: bytes | str) -> type[errors.DragonError]:
    with pytest.raises(errors.InvalidEncoding) as refused:
        parse(raw)
    return type(refused.value)


@pytest.mark.parametrize(
    "raw",
    [
        '{"a":1,"a":2}',
        '{"a":1,"a":1}',
        '{"a":1,"b":2,"\\u0061":3}',
        '{"":1,"":2}',
        '[{"x":{"deep":[{"a":1,"a":2}]}}]',
        '{"a":{"b":1,"b":1},"c":1}',
    ],
)
def test_a_duplicate_member_is_refused_at_any_depth(raw: str) -> None:
    assert refusal_of(raw) is errors.DuplicateMember


@pytest.mark.parametrize("name", ["\ufeffa", "\u00e9" * 3000, "\U0001f600"])
def test_a_duplicate_member_is_named_in_short_ascii(name: str) -> None:
    raw = json.dumps({name: 0})[:-1] + "," + json.dumps({name: 0})[1:]

    with pytest.raises(errors.DuplicateMember) as refused:
        parse(raw)

    shown = str(refused.value.facts["member"])
    assert shown.isascii()
    assert len(shown) <= 10 * 64


@pytest.mark.parametrize(
    "number",
    ["1.0", "0.5", "1e3", "1E3", "1e-3", "1e400", "-0", "-0.0", "NaN", "Infinity", "-Infinity"],
)
def test_numbers_that_are_not_integers_are_refused(number: str) -> None:
    assert refusal_of(number) is errors.NotAnInteger
    assert refusal_of(f'{{"a":[1,{number}]}}') is errors.NotAnInteger


@pytest.mark.parametrize("number", [2**53, -(2**53), 2**63, 10**17, -(10**17), 10**300])
def test_integers_outside_the_safe_range_are_refused(number: int) -> None:
    assert refusal_of(str(number)) is errors.IntegerOutOfRange


@pytest.mark.parametrize("number", [MAX_INTEGER, -MAX_INTEGER, 0, 1, -1])
def test_integers_within_the_safe_range_are_decoded(number: int) -> None:
    assert parse(str(number)) == number


@pytest.mark.parametrize("sign", ["", "-"])
def test_an_integer_of_a_million_digits_is_refused_quickly(sign: str) -> None:
    raw = sign + "7" * 1_000_000

    started = time.perf_counter()
    refusal = refusal_of(raw)

    assert refusal is errors.IntegerOutOfRange
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize(
    "raw",
    [
        r'"\ud800"',
        r'"\udfff"',
        r'"\ude00\ud83d"',
        r'"\ud83d\ud83d\ude00"',
        r'["ok",{"name":"x\ud83dx"}]',
        r'{"\ud800":1}',
        r'{"a":{"\udc00":1}}',
        '"\ud800"',
    ],
)
def test_a_lone_surrogate_is_refused_in_values_and_names(raw: str) -> None:
    assert refusal_of(raw) is errors.LoneSurrogate


def test_a_surrogate_pair_is_one_character() -> None:
    assert parse(r'"\ud83d\ude00"') == "\U0001f600"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"nul",
        b"truefalse",
        b"'a'",
        b"[1,]",
        b'{"a":1,}',
        b'{"a"}',
        b"{a:1}",
        b"01",
        b"+1",
        b".5",
        b"1.",
        b"0x10",
        b"-",
        b'"\t"',
        b'"\x00"',
        b'"\\x41"',
        b'"open',
        b"[1 2]",
        b"// 1\n1",
        b"\x0b1",
        "\u00a01".encode(),
    ],
)
def test_a_text_that_is_not_json_is_refused(raw: bytes) -> None:
    assert refusal_of(raw) is errors.NotJson


@pytest.mark.parametrize("rest", [b" 2", b"x", b"{}", b",", b"\x00", b"]"])
def test_text_after_the_value_is_refused(rest: bytes) -> None:
    assert refusal_of(b'{"a":1}' + rest) is errors.NotJson


def test_white_space_around_the_value_is_allowed() -> None:
    assert parse(b' \r\n\t{"a" : 1}\n') == {"a": 1}


@pytest.mark.parametrize(
    "raw",
    [
        b'"\xff"',
        b'"\xc0\xaf"',  # an overlong /
        b'"\xed\xa0\x80"',  # a surrogate in UTF-8's clothes
        b'"\xf4\x90\x80\x80"',  # beyond U+10FFFF
        b'"\xe2\x82"',
        '{"a":1}'.encode("utf-16"),
        '{"a":1}'.encode("utf-32-le"),
        '"ü"'.encode("latin-1"),
    ],
)
def test_a_text_that_is_not_utf_8_is_refused(raw: bytes) -> None:
    assert refusal_of(raw) is errors.NotJson


def test_a_byte_order_mark_is_refused() -> None:
    assert refusal_of(b"\xef\xbb\xbf{}") is errors.NotJson
    assert refusal_of("\ufeff{}") is errors.NotJson


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_a_value_has_at_most_sixteen_nesting_levels(opening: str, closing: str) -> None:
    assert depth(parse(opening * 16 + "1" + closing * 16)) == MAX_DEPTH

    assert refusal_of(opening * 17 + "1" + closing * 17) is errors.NotJson


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_a_hundred_thousand_levels_are_refused(opening: str, closing: str) -> None:
    assert refusal_of(opening * 100_000 + "1" + closing * 100_000) is errors.NotJson
    assert refusal_of(opening * 100_000) is errors.NotJson


@pytest.mark.parametrize("frames", [1, 30, 300])
def test_the_maximum_depth_does_not_depend_on_the_call_stack(frames: int) -> None:
    """Otherwise two operators could judge the same batch differently."""

    def below(left: int, text: str) -> type[errors.DragonError]:
        return refusal_of(text) if left == 0 else below(left - 1, text)

    for levels in (64, 65, 500, 950, 2000):
        text = f"[1,{'[' * (levels - 1)}{']' * (levels - 1)}]"
        assert below(frames, text) is errors.NotJson


def test_a_deep_item_does_not_affect_the_other_items() -> None:
    deep = "[" * 40 + "]" * 40

    first, second, third = parse_items(f'[1, {deep}, {{"a": "[[[["}}]', what="it")

    assert (first, third) == (1, {"a": "[[[["})
    assert isinstance(second, errors.NotJson)


def test_brackets_inside_strings_do_not_count() -> None:
    text = "[" * 1000 + '\\"' + "{" * 1000

    assert parse(canonical([text])) == [text]


@pytest.mark.parametrize("piece", ['"', '\\"', '"\\', "\\", '"[', '["\\"', "{", "a"])
def test_every_text_is_refused_quickly(piece: str) -> None:
    assert refusal_of(piece * 200_000) is errors.NotJson


JSON_LIKE = st.text(alphabet='{}[]",:0123456789eE+-.\\udDaAntrfulse \ud7ff\U0001f600', max_size=60)
HOSTILE = st.binary(max_size=60) | JSON_LIKE.map(str.encode)


def outcome(raw: bytes) -> Json | errors.DragonError:
    try:
        return parse(raw)
    except errors.InvalidEncoding as refusal:
        return refusal


@given(HOSTILE)
@example(b"")
@example(b'{"a":1,"a":"\\ud800"}')
def test_any_bytes_are_decoded_or_refused_with_a_precise_error(raw: bytes) -> None:
    result = outcome(raw)

    if isinstance(result, errors.DragonError):
        assert not type(result).__subclasses__()
    else:
        assert parse(canonical(result)) == result


@given(VALUES, st.data())
def test_one_changed_byte_is_decoded_or_refused_with_a_precise_error(
    value: Json, data: st.DataObject
) -> None:
    raw = bytearray(canonical(value))
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))

    result = outcome(bytes(raw))

    assert not isinstance(result, errors.DragonError) or not type(result).__subclasses__()


# -- items that stand for themselves -------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "refusal"),
    [
        ('{"a":1,"a":2}', errors.DuplicateMember),
        ('[[{"a":1,"a":2}]]', errors.DuplicateMember),
        ("1.5", errors.NotAnInteger),
        ("-0", errors.NotAnInteger),
        ("NaN", errors.NotAnInteger),
        (str(2**53), errors.IntegerOutOfRange),
        (r'{"\ud800":1}', errors.LoneSurrogate),
        (r'["\udc00"]', errors.LoneSurrogate),
        ("[" * 16 + "1" + "]" * 16, errors.NotJson),
    ],
)
def test_a_refused_item_does_not_affect_the_other_items(
    item: str, refusal: type[errors.InvalidEncoding]
) -> None:
    items = parse_items(f'[{{"before":1}},{item},"after"]', what="the example")

    assert items[0] == {"before": 1}
    assert type(items[1]) is refusal
    assert items[2] == "after"
    assert refusal_of(item if refusal is not errors.NotJson else f"[{item}]") is refusal


@pytest.mark.parametrize("raw", ["{}", '"[]"', "null", "0", "true", '{"a":[1]}'])
def test_items_need_an_array(raw: str) -> None:
    with pytest.raises(errors.WrongType):
        parse_items(raw, what="the example")


@pytest.mark.parametrize("raw", ["", "[", "[1,]", "[1] 2", "[1", b"[\xff]", "[1,2]]"])
def test_a_text_that_is_not_json_has_no_items(raw: bytes | str) -> None:
    with pytest.raises(errors.NotJson):
        parse_items(raw, what="the example")


@given(st.lists(VALUES, max_size=4))
def test_items_equal_the_decoded_array(values: list[Json]) -> None:
    assume(depth(values) <= MAX_DEPTH)

    assert parse_items(canonical(values), what="the example") == parse(canonical(values)) == values


# -- bytes and ids -------------------------------------------------------------------------------


@given(st.binary(max_size=64))
def test_hexadecimal_decoding_reverses_encoding(raw: bytes) -> None:
    assert from_hex(to_hex(raw), member="m", size=len(raw)) == raw
    assert from_hex(to_hex(raw), member="m", size=range(65)) == raw


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "abcd",
        "0X0102",
        "0x01AB",
        "0x012",
        "0x01 02",
        "0x0102\n",
        " 0x0102",
        "0x01g2",
        "0x٠١٠٢",
        "0x01_2",
        "0x0x01",
    ],
)
def test_other_spellings_of_hexadecimal_are_refused(text: str) -> None:
    with pytest.raises(errors.InvalidHex):
        from_hex(text, member="m", size=range(8))


@pytest.mark.parametrize("size", [0, 1, 31, 33, 64])
def test_a_wrong_number_of_bytes_is_refused(size: int) -> None:
    with pytest.raises(errors.InvalidHex):
        from_hex(to_hex(bytes(size)), member="m", size=32)


@pytest.mark.parametrize(("size", "fits"), [(15, False), (16, True), (32, True), (33, False)])
def test_a_range_of_lengths_includes_its_ends(size: int, fits: bool) -> None:
    text = to_hex(bytes(size))

    if fits:
        assert from_hex(text, member="m", size=range(16, 33)) == bytes(size)
    else:
        with pytest.raises(errors.InvalidHex):
            from_hex(text, member="m", size=range(16, 33))


@pytest.mark.parametrize("value", [None, True, 0, 1, [], {}, ["0x00"]])
def test_bytes_and_ids_must_be_strings(value: Json) -> None:
    with pytest.raises(errors.WrongType):
        from_hex(value, member="m", size=1)
    with pytest.raises(errors.WrongType):
        check_id(value, member="m")


@pytest.mark.parametrize("text", ["a", "0", "_", "-", "operator_1", "a-b_c-9", "x" * 32])
def test_a_valid_id_is_accepted(text: str) -> None:
    assert check_id(text, member="m") == text


@pytest.mark.parametrize(
    "text", ["", "x" * 33, "A", "a b", "a.b", "a/b", "é", "a\n", "\na", "a\x00", "١", "ａ"]
)
def test_an_invalid_id_is_refused(text: str) -> None:
    with pytest.raises(errors.InvalidId) as refused:
        check_id(text, member="m")

    assert str(refused.value.facts["value"]).isascii()


# -- members of an object ------------------------------------------------------------------------

VALID: dict[str, Json] = {
    "text": "words",
    "word": "up",
    "id": "operator_1",
    "ids": ["a", "b"],
    "integer": 7,
    "decimal": "-12",
    "boolean": True,
    "hex": "0x0102",
    "list": [1, "two"],
    "object": {"k": 1},
}
READERS: dict[str, Callable[[Members], object]] = {
    "text": lambda m: m.text("text", longest=8),
    "word": lambda m: m.word("word", ["up", "down"]),
    "id": lambda m: m.id("id"),
    "ids": lambda m: m.ids("ids", most=2),
    "integer": lambda m: m.integer("integer", least=1, most=9),
    "decimal": lambda m: m.decimal("decimal", least=-12, most=100),
    "boolean": lambda m: m.boolean("boolean"),
    "hex": lambda m: m.hex("hex", size=2),
    "list": lambda m: m.list("list", most=2),
    "object": lambda m: m.object("object"),
}


def take_all(value: Json) -> list[object]:
    members = Members(value, "the example")
    taken = [read(members) for read in READERS.values()]
    members.end()
    return taken


def test_the_members_of_a_valid_object_are_taken() -> None:
    taken = take_all(VALID)

    words, numbers = ["words", "up", "operator_1", ("a", "b")], [7, -12]
    assert taken == [*words, *numbers, True, b"\x01\x02", [1, "two"], {"k": 1}]


def test_taking_members_does_not_change_the_object() -> None:
    before = dict(VALID)

    take_all(VALID)

    assert before == VALID


@pytest.mark.parametrize("value", [None, True, 0, "x", [], [{}]])
def test_a_value_that_is_not_an_object_is_refused(value: Json) -> None:
    with pytest.raises(errors.WrongType):
        Members(value, "the example")


@pytest.mark.parametrize("name", READERS)
def test_a_missing_member_is_named(name: str) -> None:
    value = {other: item for other, item in VALID.items() if other != name}

    with pytest.raises(errors.MissingMember) as refused:
        take_all(value)

    assert refused.value.facts["member"] == name


@pytest.mark.parametrize("name", ["extra", "", "Text", "text ", "ｔext"])
def test_an_unknown_member_is_refused(name: str) -> None:
    with pytest.raises(errors.UnknownMember) as refused:
        take_all({**VALID, name: 1})

    assert str(refused.value.facts["member"]).isascii()


@pytest.mark.parametrize(
    ("name", "value", "refusal"),
    [
        ("text", 1, errors.WrongType),
        ("text", None, errors.WrongType),
        ("text", "", errors.UnknownValue),
        ("text", "x" * 9, errors.UnknownValue),
        ("word", "sideways", errors.UnknownValue),
        ("word", "UP", errors.UnknownValue),
        ("word", "", errors.UnknownValue),
        ("word", ["up"], errors.WrongType),
        ("word", True, errors.WrongType),
        ("id", "Operator", errors.InvalidId),
        ("id", 1, errors.WrongType),
        ("ids", "a", errors.WrongType),
        ("ids", {"a": 1}, errors.WrongType),
        ("ids", ["a", 1], errors.WrongType),
        ("ids", ["a", "B"], errors.InvalidId),
        ("ids", ["a", "b", "c"], errors.UnknownValue),
        ("integer", True, errors.NotAnInteger),
        ("integer", False, errors.NotAnInteger),
        ("integer", "7", errors.WrongType),
        ("integer", None, errors.WrongType),
        ("integer", [7], errors.WrongType),
        ("integer", 0, errors.IntegerOutOfRange),
        ("integer", 10, errors.IntegerOutOfRange),
        ("decimal", 7, errors.WrongType),
        ("decimal", None, errors.WrongType),
        ("decimal", "", errors.UnknownValue),
        ("decimal", "-", errors.UnknownValue),
        ("decimal", "-0", errors.UnknownValue),
        ("decimal", "+7", errors.UnknownValue),
        ("decimal", "07", errors.UnknownValue),
        ("decimal", "7 ", errors.UnknownValue),
        ("decimal", "7\n", errors.UnknownValue),
        ("decimal", "1.5", errors.UnknownValue),
        ("decimal", "1e1", errors.UnknownValue),
        ("decimal", "\u0667", errors.UnknownValue),
        ("decimal", "-013", errors.UnknownValue),
        ("decimal", "1" * 5000, errors.UnknownValue),
        ("decimal", "-13", errors.IntegerOutOfRange),
        ("decimal", "101", errors.IntegerOutOfRange),
        ("boolean", 1, errors.WrongType),
        ("boolean", "true", errors.WrongType),
        ("boolean", None, errors.WrongType),
        ("hex", 258, errors.WrongType),
        ("hex", "0x01", errors.InvalidHex),
        ("hex", "0x010203", errors.InvalidHex),
        ("hex", "0x01AB", errors.InvalidHex),
        ("list", {}, errors.WrongType),
        ("list", "ab", errors.WrongType),
        ("list", [1, 2, 3], errors.UnknownValue),
        ("object", [], errors.WrongType),
        ("object", None, errors.WrongType),
    ],
)
def test_an_invalid_member_is_named(
    name: str, value: Json, refusal: type[errors.InvalidEncoding]
) -> None:
    with pytest.raises(errors.InvalidEncoding) as refused:
        take_all({**VALID, name: value})

    assert type(refused.value) is refusal
    assert refused.value.facts["member"] == name


def test_integers_must_not_be_negative_by_default() -> None:
    with pytest.raises(errors.IntegerOutOfRange):
        Members({"i": -1}, "it").integer("i")

    assert Members({"i": -1}, "it").integer("i", least=-1) == -1


def test_a_text_may_be_empty_where_that_is_allowed() -> None:
    assert Members({"t": ""}, "it").text("t", shortest=0) == ""

    with pytest.raises(errors.UnknownValue):
        Members({"t": "xxx"}, "it").text("t", shortest=0, longest=2)


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("", 0),
        ("7", 0),
        ("[]", 1),
        ('{"a":[]}', 2),
        ("[[],[],[]]", 2),
        ('"[[["', 0),
        ('["\\"[[["]', 1),
        ('["\\\\"]', 1),
        ("[[[", 3),
    ],
)
def test_the_nesting_levels_of_a_text_are_counted(text: str, levels: int) -> None:
    assert not is_deeper(text, levels)
    assert levels == 0 or is_deeper(text, levels - 1)
