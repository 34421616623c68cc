"""Looks of kind `jsonrpc`: is the node's height close to the highest of its group?"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from dragon.encoding import canonical, parse
from dragon.errors import PeerError
from dragon.net.http_client import HttpResponse
from dragon.net.target_network import TargetNetwork
from dragon.probing.judgement import ANSWERED, Judgement, excerpt
from dragon.protocol.claims.status import Status
from dragon.protocol.target_checks import JsonRpcCheck

RPC_ERROR: Final = "rpc_error"  # the answer has a member `error`
NO_MEMBER: Final = "no_member"  # there is nothing at the pointer
NOT_A_HEIGHT: Final = "not_a_height"
BEHIND: Final = "behind"
BAD_ANSWER: Final = "bad_answer"  # not JSON
MAX_HEIGHT: Final = 2**64 - 1
_HEADERS: Final = {"Content-Type": "application/json"}
_DECIMAL: Final = re.compile(r"[0-9]{1,20}")
_HEX: Final = re.compile(r"0[xX][0-9a-fA-F]{1,16}")
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,5}")  # of RFC 6901: without leading zeros


def look(check: JsonRpcCheck, url: str, network: TargetNetwork) -> Judgement:
    """Ask for the height once. Never raises.

    The judgement is `up` with a height; `judge_height` compares it with others of the group.
    """
    body = canonical(
        {"id": 1, "jsonrpc": "2.0", "method": check.method, "params": parse(check.params)}
    )
    try:
        response = network.exchange(
            "POST", url, deadline=check.timeout_ms / 1000, body=body, headers=_HEADERS
        )
    except PeerError as error:
        return Judgement.failed(error)
    return judge(check, response)


def judge(check: JsonRpcCheck, response: HttpResponse) -> Judgement:
    """Find the height in an answer."""
    if not 200 <= response.status < 300:
        return Judgement.down(f"status_{response.status}", excerpt(response.location or ""))
    try:
        answer = json.loads(response.body)
    except (ValueError, RecursionError):
        return Judgement.down(BAD_ANSWER, excerpt(response.body))
    if isinstance(answer, dict) and answer.get("error") is not None:
        return Judgement.down(RPC_ERROR, excerpt(_text(answer["error"])))
    try:
        found = resolve_pointer(answer, check.pointer)
    except LookupError:
        return Judgement.down(NO_MEMBER, excerpt(check.pointer))
    if (height := height_of(found)) is None:
        return Judgement.down(NOT_A_HEIGHT, excerpt(_text(found)))
    expires = response.certificate_expires
    return Judgement(Status.UP, ANSWERED, f"height {height}", expires, height)


def judge_height(check: JsonRpcCheck, found: Judgement, highest: int) -> Judgement:
    """Judge a height by the highest of the group. Without a height, the judgement stays."""
    if found.height is None or highest - found.height <= check.behind:
        return found
    detail = f"height {found.height}, {highest - found.height} behind {highest}"
    return Judgement(Status.DOWN, BEHIND, detail, found.certificate_expires, found.height)


def resolve_pointer(document: Any, pointer: str) -> Any:
    """Return the member at a JSON pointer (RFC 6901). Raises LookupError."""
    found = document
    for escaped in pointer.split("/")[1:]:
        name = escaped.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict):
            found = found[name]
        elif isinstance(found, list) and _INDEX.fullmatch(name):
            found = found[int(name)]
        else:
            raise LookupError(name)
    return found


def height_of(value: object) -> int | None:
    """Read a height: an integer, a decimal text, or a text in hexadecimal with `0x`.

    None for anything else, and beyond 64 bits.
    """
    height = -1
    if isinstance(value, int) and not isinstance(value, bool):
        height = value
    elif isinstance(value, str) and _DECIMAL.fullmatch(value):
        height = int(value)
    elif isinstance(value, str) and _HEX.fullmatch(value):
        height = int(value, 16)
    return height if 0 <= height <= MAX_HEIGHT else None


def _text(value: object) -> str:
    try:
        return value if isinstance(value, str) else json.dumps(value)
    except RecursionError:
        return "a deeply nested value"
