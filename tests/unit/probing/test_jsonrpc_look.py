"""Looks of kind `jsonrpc`: the height of a node, compared with its group."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragon.errors import BadAnswer
from dragon.net.http_client import HttpResponse
from dragon.probing import jsonrpc_look
from dragon.probing.jsonrpc_look import MAX_HEIGHT, height_of, judge_height, resolve_pointer
from dragon.probing.judgement import Judgement
from dragon.protocol.claims.status import Status
from dragon.protocol.target_checks import JsonRpcCheck
from targets import Answer, ScriptedNetwork

URL = "https://rpc.example/"
CHECK = JsonRpcCheck("eth_blockNumber", behind=5, group="chain")


def look(answer: Answer, check: JsonRpcCheck = CHECK) -> Judgement:
    return jsonrpc_look.look(check, URL, ScriptedNetwork({URL: answer}))


def said(result: Any, status: int = 200) -> HttpResponse:
    return HttpResponse(status, json.dumps({"jsonrpc": "2.0", "id": 1, "result": result}).encode())


def test_the_call_is_a_post_with_the_method_and_the_parameters() -> None:
    network = ScriptedNetwork({URL: said("0x10")})
    check = JsonRpcCheck("getBlock", params='["latest",{"a":1}]', timeout_ms=700)

    jsonrpc_look.look(check, URL, network)

    [(deadline, body, headers, cut)] = network.sent
    assert network.calls == [("POST", URL)]
    assert json.loads(body) == {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "getBlock",
        "params": ["latest", {"a": 1}],
    }
    assert (deadline, headers, cut) == (0.7, {"Content-Type": "application/json"}, False)


@pytest.mark.parametrize(
    ("value", "height"), [(16, 16), ("16", 16), ("0x10", 16), ("0X1F", 31), (0, 0), ("0x0", 0)]
)
def test_a_height_is_an_integer_or_a_text_in_decimal_or_hexadecimal(
    value: object, height: int
) -> None:
    found = look(said(value))

    assert (found.status, found.height) == (Status.UP, height)


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, 1.5, 1.0, -1, "", "-1", " 1", "1 ", "1e3", "0x", "0xg", "१", [], {}, [1]),
        *(MAX_HEIGHT + 1, str(MAX_HEIGHT + 1), "0x1" + "0" * 16, "1_000", "+1"),
    ],
)
def test_anything_else_is_not_a_height(value: object) -> None:
    assert height_of(value) is None
    assert look(said(value)).reason == "not_a_height"


def test_what_is_not_a_height_is_shown_up_to_64_bytes() -> None:
    assert look(said("latest\n" + "é" * 100)).detail == r"latest\n" + r"\xc3\xa9" * 28 + r"\xc3"


@pytest.mark.parametrize("member", [b"result", b"error"])
@pytest.mark.parametrize("depth", [10, 900, 990, 2_000, 30_000])
def test_a_deeply_nested_answer_is_down(member: bytes, depth: int) -> None:
    body = b'{"%b":%b}' % (member, b"[" * depth + b"]" * depth)

    assert look(HttpResponse(200, body)).status is Status.DOWN


def test_an_error_answer_is_down_and_shown() -> None:
    body = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"syncing"}}'

    found = look(HttpResponse(200, body))

    assert found == Judgement.down("rpc_error", '{"code": -32000, "message": "syncing"}')


def test_an_empty_error_is_no_error() -> None:
    assert look(HttpResponse(200, b'{"error":null,"result":"0x1"}')).height == 1


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"\xff", b"[" * 60_000, b"1" * 5000], ids=lambda each: each[:6].hex()
)
def test_an_answer_that_is_not_json_is_down(body: bytes) -> None:
    assert look(HttpResponse(200, body)).reason == "bad_answer"


def test_too_large_an_answer_is_down() -> None:
    error = BadAnswer("the answer has more than 65536 bytes", reason="too_large")

    assert look(error).reason == "too_large"


def test_an_unsuccessful_status_is_down() -> None:
    assert look(said("0x1", 503)).reason == "status_503"
    redirect = HttpResponse(302, b"", location="https://a.example/")
    assert look(redirect) == Judgement.down("status_302", "https://a.example/")


@pytest.mark.parametrize("pointer", ["/results", "/result/0", "/result/x", "/id/x", "/error/a"])
def test_a_pointer_to_nothing_is_down(pointer: str) -> None:
    check = JsonRpcCheck("m", pointer=pointer)

    assert look(said([]), check) == Judgement.down("no_member", pointer)


# RFC 6901, section 5.
RFC_6901 = {
    "foo": ["bar", "baz"],
    "": 0,
    "a/b": 1,
    "c%d": 2,
    "e^f": 3,
    "g|h": 4,
    "i\\j": 5,
    'k"l': 6,
    " ": 7,
    "m~n": 8,
}


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("", RFC_6901),
        ("/foo", ["bar", "baz"]),
        ("/foo/0", "bar"),
        *(("/", 0), ("/a~1b", 1), ("/c%d", 2), ("/e^f", 3), ("/g|h", 4), ("/i\\j", 5)),
        *(('/k"l', 6), ("/ ", 7), ("/m~0n", 8)),
    ],
)
def test_the_examples_of_rfc_6901(pointer: str, value: object) -> None:
    assert resolve_pointer(RFC_6901, pointer) == value


@pytest.mark.parametrize("pointer", ["/foo/2", "/foo/-", "/foo/00", "/foo/1e0", "/foo/-1"])
def test_an_index_has_no_leading_zero_and_lies_in_the_list(pointer: str) -> None:
    with pytest.raises(LookupError):
        resolve_pointer(RFC_6901, pointer)


@given(st.integers(0, 200), st.integers(0, 200), st.integers(0, 50))
def test_a_target_is_down_exactly_if_it_is_further_behind_than_allowed(
    height: int, highest: int, behind: int
) -> None:
    found = Judgement(Status.UP, "answered", height=height)

    judged = judge_height(JsonRpcCheck("m", behind=behind), found, highest)

    assert (judged.reason == "behind") is (height + behind < highest)
    assert (judged.status is Status.UP) is (judged.reason == "answered")


def test_a_target_that_is_behind_says_by_how_much() -> None:
    judged = judge_height(CHECK, Judgement(Status.UP, "answered", height=90), 100)

    assert judged == Judgement(Status.DOWN, "behind", "height 90, 10 behind 100", None, 90)


def test_an_answer_without_a_height_keeps_its_reason() -> None:
    failed = Judgement.down("timeout")

    assert judge_height(CHECK, failed, 100) is failed
