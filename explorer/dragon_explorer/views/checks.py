"""What counts as up for a target, in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dragon.encoding import to_hex
from dragon.protocol.committee import Committee, Target
from dragon.protocol.target_checks import (
    HeartbeatCheck,
    HttpCheck,
    JsonRpcCheck,
    TcpCheck,
    TlsCheck,
)


@dataclass(frozen=True, slots=True)
class CheckRow:
    """The check of a target, as the committee file states it."""

    kind: str  # http, tcp, tls, jsonrpc or heartbeat
    up_if: str  # what counts as up: the end of a sentence that begins with "up if"
    details: tuple[str, ...]  # further sentences
    suspect_after: int  # looks in a row that find it down
    recover_after: int  # looks in a row that find it up
    looks: str  # the same in words
    owner: str  # id of the member that may announce its maintenance; empty: it has none
    private_addresses: bool  # whether its host may have private addresses
    warn_days: int | None  # of a TLS certificate, before it expires; None: another kind


@dataclass(frozen=True, slots=True)
class TargetRow:
    """A target of a committee."""

    id: str
    url: str  # empty: it sends heartbeats
    check: CheckRow


def target_rows(committee: Committee) -> tuple[TargetRow, ...]:
    """Return the targets with their checks."""
    return tuple(TargetRow(each.id, each.url, check_row(each)) for each in committee.targets)


def check_row(target: Target) -> CheckRow:
    """Return the check of a target in words."""
    check = target.check
    return CheckRow(
        kind=check.KIND,
        up_if=_up_if(target),
        details=tuple(_details(target)),
        suspect_after=target.suspect_after,
        recover_after=target.recover_after,
        looks=_looks(target),
        owner=target.owner,
        private_addresses=target.private_addresses,
        warn_days=check.warn_days if isinstance(check, TlsCheck) else None,
    )


def check_of(committee: Committee, node_id: str) -> CheckRow | None:
    """Return the check of a node; None for an operator, and for a node that has left."""
    target = committee.targets_by_id.get(node_id)
    return None if target is None else check_row(target)


def _up_if(target: Target) -> str:
    match target.check:
        case HttpCheck() as check:
            codes = _listed([_range(*each) for each in check.status], "or")
            return f"{check.method} is answered within {_ms(check.timeout_ms)} with status {codes}"
        case TcpCheck() as check:
            return f"a TCP connection opens within {_ms(check.timeout_ms)}"
        case TlsCheck() as check:
            return (
                f"a TLS handshake ends within {_ms(check.timeout_ms)}, and the certificate is "
                "valid for the host name"
            )
        case JsonRpcCheck() as check:
            behind = f"at most {check.behind:,} below" if check.behind else "not below"
            return (
                f"the JSON-RPC method {check.method} is answered within {_ms(check.timeout_ms)}, "
                f"and the height in the answer is {behind} the highest of the group {check.group}"
            )
        case HeartbeatCheck() as check:
            return f"it has sent a signed heartbeat within the last {check.every_seconds:,} s"


def _details(target: Target) -> Iterator[str]:
    match target.check:
        case HttpCheck() as check:
            yield from _http_details(check)
        case TlsCheck() as check if check.warn_days:
            days = "a day" if check.warn_days == 1 else f"{check.warn_days} days"
            yield f"A certificate that expires within {days} is a warning, and the target is up."
        case JsonRpcCheck() as check:
            yield f"Parameters of the call: {check.params}."
            yield f"The height is at {check.pointer or 'the root'} of the answer (JSON pointer)."
            yield "Each operator compares with the highest height that it sees itself."
        case HeartbeatCheck() as check:
            yield f"Public key of the heartbeats: {to_hex(check.public_key.raw)}."


def _http_details(check: HttpCheck) -> Iterator[str]:
    if check.redirect_hosts:
        hosts = _listed(check.redirect_hosts, "and")
        yield f"Redirects are followed to {hosts}, at most 5 of them."
    else:
        yield "Redirects are not followed: their own status counts."
    if check.contains:
        yield f"The first 64 KiB of the answer must contain “{check.contains}”."
    if check.lacks:
        yield f"The first 64 KiB of the answer must not contain “{check.lacks}”."
    for name, value in check.headers.items():
        yield f"The request has the header {name}: {value}"


def _looks(target: Target) -> str:
    if target.suspect_after == target.recover_after == 1:
        return "One look decides."
    return (
        f"An operator calls it down after {_in_a_row(target.suspect_after)}, and up again after "
        f"{_in_a_row(target.recover_after)}."
    )


def _in_a_row(looks: int) -> str:
    return "one look" if looks == 1 else f"{looks} looks in a row"


def _range(first: int, last: int) -> str:
    return str(first) if first == last else f"{first} to {last}"


def _listed(names: list[str] | tuple[str, ...], word: str) -> str:
    *others, last = names
    return f"{', '.join(others)} {word} {last}" if others else last


def _ms(milliseconds: int) -> str:
    """Return a timeout in seconds, as short as possible."""
    return f"{milliseconds / 1000:g} s"
