"""The reading of a message: known answers, and a second implementation on random messages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reading_oracle
from dragon import errors
from dragon.protocol.streams.reading_rule import (
    MAX_POINTER_BYTES,
    MAX_READING,
    MAX_SCALE,
    Form,
    ReadingRule,
    Rounding,
)
from examples import examples

VECTORS = Path(__file__).parents[3] / "vectors" / "readings"
CASES: list[dict[str, Any]] = json.loads((VECTORS / "reading_cases.json").read_text("utf-8"))
PLAIN = ReadingRule(Form.PLAIN, None, 0, Rounding.EXACT)
JSON = ReadingRule(Form.JSON, "/a", 0, Rounding.EXACT)


def rule_of(stated: dict[str, Any]) -> ReadingRule:
    form, rounding = Form(stated["form"]), Rounding(stated["rounding"])
    return ReadingRule(form, stated.get("pointer"), stated["scale"], rounding)


def agreed(data: bytes, stated: dict[str, Any]) -> int | None:
    """The reading on which both implementations agree."""
    reading = rule_of(stated).reading(data)
    assert reading == reading_oracle.reading(data, stated), (data, stated)
    return reading


# -- known answers -----------------------------------------------------------------------------


def test_there_are_108_known_answers() -> None:
    assert len(CASES) == 108


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['data_hex'][:40]}")
def test_a_known_answer_is_given_by_both_implementations(case: dict[str, Any]) -> None:
    assert agreed(bytes.fromhex(case["data_hex"]), case["rule"]) == case["reading"]


# -- random messages ---------------------------------------------------------------------------

DIGITS = st.text("0123456789", min_size=1, max_size=24)
SHORT = st.text("0123456789", min_size=1, max_size=3)
TOKENS = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(["", "", "-", "+"]),
        st.one_of(SHORT, DIGITS, st.integers(0, 2**60).map(str)),
        st.one_of(st.just(""), DIGITS.map(lambda digits: f".{digits}"), st.just(".")),
        st.one_of(
            st.just(""),
            st.builds(
                "".join,
                st.tuples(st.sampled_from("eE"), st.sampled_from(["", "+", "-"]), SHORT),
            ),
        ),
    ),
)
# Near the ends of the range, at any scale, and halfway between two readings.
EDGES = st.builds(
    lambda sign, number, places, half: f"{sign}{_placed(number, places)}{half}",
    st.sampled_from(["", "-"]),
    st.one_of(st.integers(2**59 - 3, 2**59 + 3), st.integers(0, 30)),
    st.integers(0, MAX_SCALE),
    st.sampled_from(["", "0", "5", "49", "51", "500", "5001"]),
)
TEXTS = st.one_of(TOKENS, EDGES, st.text("0123456789.eE+-_ xN", max_size=44))


TO_A = st.just("/a")


def _placed(number: int, places: int) -> str:
    """A number in decimal notation, with its last `places` digits after the point."""
    digits = str(number).rjust(places + 1, "0")
    return f"{digits[:-places]}.{digits[-places:]}" if places else digits


def rules(form: str, pointers: st.SearchStrategy[str] = TO_A) -> Any:
    members = {
        "form": st.just(form),
        "scale": st.integers(0, MAX_SCALE),
        "rounding": st.sampled_from(["exact", "half-even"]),
    }
    return st.fixed_dictionaries(members | ({"pointer": pointers} if form == "json" else {}))


@settings(max_examples=examples(400), deadline=None)
@given(TEXTS, st.sampled_from(["", " ", "   ", "\n", "\0"]), rules("plain"))
def test_both_read_the_same_from_a_plain_message(text: str, end: str, rule: Any) -> None:
    agreed((text + end).encode(), rule)


@settings(max_examples=examples(200), deadline=None)
@given(st.binary(max_size=48), rules("plain"), rules("json"))
def test_both_read_the_same_from_random_bytes(data: bytes, plain: Any, in_json: Any) -> None:
    agreed(data, plain)
    agreed(data, in_json)


SPACES = st.text(" \t\n\r", max_size=2)
NAMES = st.sampled_from(["a", "b", "", "0", "1", "01", "-", "a/b", "m~n", "é", "😀", '"', "\\"])
STRINGS = st.one_of(
    NAMES,
    st.text(max_size=4),
    st.sampled_from(["\ud800", "\udc00x", "x\ud83d", "\ud83d\ude00", "\udfff\udbff"]),
)
LEAVES = st.one_of(
    TEXTS,
    st.sampled_from(["true", "false", "null", "NaN", "Infinity", "-Infinity", "tru", "None"]),
)


@st.composite
def documents(draw: st.DrawFn, depth: int = 3) -> str:
    """A text in JSON, or nearly so."""
    kind = draw(st.sampled_from(["leaf", "string", "array", "object", "object"]))
    if depth == 0 or kind == "leaf":
        text = draw(LEAVES)
    elif kind == "string":
        text = draw(quoted(STRINGS))
    elif kind == "array":
        items = draw(st.lists(documents(depth - 1), max_size=3))
        text = f"[{','.join(items)}]"
    else:
        pairs = draw(st.lists(st.tuples(quoted(NAMES), documents(depth - 1)), max_size=3))
        text = "{" + ",".join(f"{name}:{value}" for name, value in pairs) + "}"
    return draw(SPACES) + text + draw(SPACES)


@st.composite
def quoted(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> str:
    """A string of JSON, with some characters escaped that need not be."""
    text = draw(texts)
    shown = [
        f"\\u{ord(each):04x}" if each < "\U00010000" and draw(st.booleans()) else _escaped(each)
        for each in text
    ]
    return '"' + "".join(shown) + '"'


def _escaped(character: str) -> str:
    if 0xD800 <= ord(character) < 0xE000:
        return f"\\u{ord(character):04X}"
    return json.dumps(character, ensure_ascii=False)[1:-1]


def _pointer(path: list[str]) -> str:
    return "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in path)


POINTERS = st.lists(NAMES, max_size=3).map(_pointer)


@st.composite
def pointed(draw: st.DrawFn) -> tuple[str, str]:
    """A document with a leaf that a pointer leads to, and that pointer."""
    path, text = draw(st.lists(NAMES, max_size=3)), draw(LEAVES)
    for name in reversed(path):
        before, after = draw(documents(1)), draw(documents(1))
        if name in ("0", "1") and draw(st.booleans()):
            text = f"[{'' if name == '0' else before + ','}{text},{after}]"
        else:
            pairs = [f"{draw(quoted(st.just(name)))}{draw(SPACES)}:{text}"]
            pairs += [f"{draw(quoted(NAMES))}:{after}"] if draw(st.booleans()) else []
            text = "{" + f",{draw(SPACES)}".join(pairs) + "}"
        text = draw(SPACES) + text + draw(SPACES)
    return text, _pointer(path)


@settings(max_examples=examples(400), deadline=None)
@given(pointed(), rules("json"))
def test_both_read_the_same_where_a_pointer_leads(
    document: tuple[str, str], rule: dict[str, Any]
) -> None:
    text, pointer = document

    agreed(text.encode(), {**rule, "pointer": pointer})


@settings(max_examples=examples(400), deadline=None)
@given(documents(), rules("json", POINTERS))
def test_both_read_the_same_from_a_json_message(text: str, rule: Any) -> None:
    agreed(text.encode(), rule)


@settings(max_examples=examples(400), deadline=None)
@given(st.data(), documents(), rules("json", POINTERS))
def test_both_read_the_same_from_a_json_message_with_a_changed_place(
    data: st.DataObject, text: str, rule: Any
) -> None:
    raw = bytearray(text.encode())
    at = data.draw(st.integers(0, len(raw)))
    raw[at : at + data.draw(st.integers(0, 2))] = data.draw(
        st.one_of(st.binary(max_size=2), st.sampled_from([*b'"\\{}[],:-.e0\x00\x1f\xef'])).map(
            lambda part: part if isinstance(part, bytes) else bytes([part])
        )
    )

    agreed(bytes(raw), rule)


@settings(max_examples=examples(300), deadline=None)
@given(EDGES, SPACES, rules("json"))
def test_a_number_has_one_reading_in_both_forms(text: str, spaces: str, rule: Any) -> None:
    plain = {"form": "plain", "scale": rule["scale"], "rounding": rule["rounding"]}

    found = agreed(f'{{"b":[],{spaces}"a"{spaces}:{text}{spaces}}}'.encode(), rule)

    assert found == agreed(text.encode(), plain)


@given(st.integers(-MAX_READING, MAX_READING), st.integers(0, MAX_SCALE))
def test_every_reading_can_be_written_in_decimal_notation(reading: int, scale: int) -> None:
    sign, shown = "-" if reading < 0 else "", _placed(abs(reading), scale)

    assert (
        agreed(f"{sign}{shown}".encode(), {"form": "plain", "scale": scale, "rounding": "exact"})
        == reading
    )


# -- traps -------------------------------------------------------------------------------------

FULL = 65_536
TRAPS = {
    "opening brackets": b"[" * FULL,
    "opening objects": b'{"a":' * (FULL // 5),
    "pairs of brackets": b"[]" * (FULL // 2),
    "a wide array": b'{"a":[' + b"[]," * 20_000 + b"[]]}",
    "digits": b"9" * FULL,
    "digits as a member": b'{"a":' + b"9" * (FULL - 6) + b"}",
    "digits of a fraction": b'{"a":0.' + b"9" * (FULL - 8) + b"}",
    "digits of an exponent": b'{"a":1e' + b"9" * (FULL - 8) + b"}",
    "zeros of an exponent": b"1e" + b"0" * (FULL - 2),
    "spaces": b" " * FULL,
    "spaces before": b" " * (FULL - 1) + b"1",
    "quotation marks": b'"' * FULL,
    "a string without end": b'"' + b"\\" * (FULL - 1),
    "brackets in a string without end": b'{"a":"' + b"[" * (FULL - 6),
    "the same name again and again": b"{" + b'"a":1,' * 10_000 + b'"a":1}',
    "halves of surrogate pairs": b'{"a":"' + b"\\ud800" * 10_000 + b'"}',
    "null bytes": b"\0" * FULL,
    "bytes that are not UTF-8": b"\xff" * FULL,
}


@pytest.mark.parametrize("trap", TRAPS)
def test_a_trap_has_no_reading(trap: str) -> None:
    data = TRAPS[trap]

    assert PLAIN.reading(data) is None
    assert JSON.reading(data) is None


def test_a_reading_is_found_beside_many_members() -> None:
    members = b",".join(b'"%d":[0]' % number for number in range(5_000))

    assert JSON.reading(b'{"a":7,' + members + b"}") == 7


def test_digits_of_another_member_do_not_matter() -> None:
    assert JSON.reading(b'{"b":' + b"9" * 60_000 + b',"a":7}') == 7


@pytest.mark.parametrize("levels", range(1, 20))
@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_sixteen_levels_are_read_and_no_more(levels: int, brackets: str) -> None:
    opened, closed = ('{"x":', "}") if brackets == "{}" else ("[", "]")
    inner = levels - 1
    data = '{"a":1,"b":' + opened * inner + "0" + closed * inner + "}"

    found = agreed(
        data.encode(), {"form": "json", "pointer": "/a", "scale": 0, "rounding": "exact"}
    )

    assert found == (1 if levels <= 16 else None)


# -- rules -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "pointer", "scale", "member"),
    [
        (Form.PLAIN, "/a", 0, "pointer"),
        (Form.PLAIN, "", 0, "pointer"),
        (Form.JSON, None, 0, "pointer"),
        (Form.JSON, "a", 0, "pointer"),
        (Form.JSON, "/a~", 0, "pointer"),
        (Form.JSON, "/a~2", 0, "pointer"),
        (Form.JSON, "/a" * 9, 0, "pointer"),
        (Form.JSON, "/" + "a" * MAX_POINTER_BYTES, 0, "pointer"),
        (Form.JSON, "/" + "é" * (MAX_POINTER_BYTES // 2), 0, "pointer"),
        (Form.JSON, "/\ud800", 0, "pointer"),
        (Form.JSON, "/a", -1, "scale"),
        (Form.PLAIN, None, 19, "scale"),
    ],
)
def test_an_invalid_rule_is_refused(
    form: Form, pointer: str | None, scale: int, member: str
) -> None:
    with pytest.raises(errors.InvalidReadings) as refused:
        ReadingRule(form, pointer, scale, Rounding.EXACT)

    assert refused.value.facts["member"] == member


@pytest.mark.parametrize("pointer", ["", "/", "//", "/~0~1", "/a" * 8, "/é\n", "/" + "a" * 127])
def test_a_pointer_within_the_bounds_is_taken(pointer: str) -> None:
    assert ReadingRule(Form.JSON, pointer, 18, Rounding.HALF_EVEN).pointer == pointer


@pytest.mark.parametrize(
    ("pointer", "text", "reading"),
    [
        ("/0", "[7]", 7),
        ("/00", "[7]", None),
        ("/-", "[7]", None),
        ("/1", "[7]", None),
        ("/" + "9" * 120, "[7]", None),
        ("/00", '{"00":7}', 7),
        ("/", '{"":7}', 7),
        ("//", '{"":{"":7}}', 7),
        ("/~01", '{"~1":7}', 7),
        ("/٠", "[7]", None),
        ("/a/0", '{"a":7}', None),
        ("/a/0", '{"a":"7"}', None),
    ],
)
def test_a_pointer_leads_to_one_place(pointer: str, text: str, reading: int | None) -> None:
    rule = {"form": "json", "pointer": pointer, "scale": 0, "rounding": "exact"}

    assert agreed(text.encode(), rule) == reading
