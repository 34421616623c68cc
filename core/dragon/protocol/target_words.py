"""Targets and their checks in words, for the people who have to agree to them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from dragon.encoding import canonical, to_hex
from dragon.protocol.committee_file import Target
from dragon.protocol.target_checks import (
    HeartbeatCheck,
    HttpCheck,
    JsonRpcCheck,
    TargetCheck,
    TcpCheck,
    TlsCheck,
)

KEY_CHARACTERS: Final = 18  # of a public key: 0x and 16 digits
NONE: Final = "none"
PRIVATE: Final = "private addresses"
ALLOWED: Final = "ALLOWED"
PRIVATE_ALLOWED: Final = f"{PRIVATE.upper()} {ALLOWED}"  # in a line about a target


def members(target: Target) -> dict[str, str]:
    """Return all members of a target's entry but its id, by their names in words."""
    return {
        "URL": target.url or NONE,
        "check": target.check.KIND,
        **dict(_members(target.check)),
        PRIVATE: ALLOWED if target.private_addresses else "refused",
        "suspected after": _looks(target.suspect_after),
        "recovered after": _looks(target.recover_after),
        "owner": target.owner or NONE,
    }


def stated(target: Target) -> str:
    """Return a target in one line, with all members that are not empty."""
    parts = [target.url] if target.url else []
    parts.append(check(target.check))
    if target.private_addresses:
        parts.append(PRIVATE_ALLOWED)
    parts.append(f"suspected after {_looks(target.suspect_after)}")
    parts.append(f"recovered after {_looks(target.recover_after)}")
    parts.append(f"owner {target.owner or NONE}")
    return ", ".join(parts)


def check(found: TargetCheck) -> str:
    """Return a check in one line, such as `http GET, status 200-299, timeout 1000 ms`."""
    parts = {name: value for name, value in _members(found) if value != NONE}
    method = parts.pop("method", "")
    words = [f"{name} {value}" for name, value in parts.items()]
    return ", ".join([f"{found.KIND} {method}".rstrip(), *words])


def _members(found: TargetCheck) -> Iterator[tuple[str, str]]:
    match found:
        case HttpCheck():
            yield from _http(found)
        case JsonRpcCheck():
            yield from _json_rpc(found)
        case TlsCheck():
            yield "warning", f"{found.warn_days} days before the certificate ends"
        case HeartbeatCheck():
            yield "key", f"{to_hex(found.public_key.raw)[:KEY_CHARACTERS]}…"
            yield "down after", f"{found.every_seconds} s without a beat"
            return
        case TcpCheck():
            pass
    yield "timeout", f"{found.timeout_ms} ms"


def _http(found: HttpCheck) -> Iterator[tuple[str, str]]:
    yield "method", found.method
    yield "status", ", ".join(_range(*each) for each in found.status)
    yield "redirects to", ", ".join(found.redirect_hosts) or NONE
    yield "contains", _quoted(found.contains)
    yield "lacks", _quoted(found.lacks)
    yield "headers", canonical(dict(found.headers)).decode() if found.headers else NONE


def _json_rpc(found: JsonRpcCheck) -> Iterator[tuple[str, str]]:
    yield "method", found.method
    yield "params", found.params
    yield "pointer", found.pointer or "the whole answer"
    yield "behind", f"at most {found.behind}"
    yield "group", found.group


def _quoted(text: str) -> str:
    return canonical(text).decode() if text else NONE


def _range(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


def _looks(number: int) -> str:
    return "1 look" if number == 1 else f"{number} looks"
