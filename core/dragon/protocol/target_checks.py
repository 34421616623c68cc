"""What counts as up for a target: the `check` of a target in the committee file.

It stands in the committee file, so that all operators judge alike, and a change is a handover. Each
target has exactly one check. `dragon.probing` carries them out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final, Self, TypeAlias

from dragon import errors
from dragon.encoding import MAX_INTEGER, Json, Members, canonical, check_id, parse, to_hex
from dragon.protocol import bls

MAX_TEXT_CHARS: Final = 256  # of a text that an answer must or must not contain
MAX_STATUS_RANGES: Final = 16
MAX_REDIRECT_HOSTS: Final = 8
MAX_HEADERS: Final = 16
MAX_PARAMS_BYTES: Final = 1024  # of the parameters of a JSON-RPC call, in canonical JSON
MAX_WARN_DAYS: Final = 365
MAX_BEAT_SECONDS: Final = 86_400
DEFAULT_TIMEOUT_MS: Final = 1000  # in rounds of 5 s
DEFAULT_WARN_DAYS: Final = 14

_HOST: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,251}[a-z0-9])?|\[[0-9a-f:.]{2,45}\]", re.ASCII)
_HEADER: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}", re.ASCII)
_HEADER_VALUE: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,254}[\x21-\x7e])?", re.ASCII)
_POINTER: Final = re.compile(r"(?:/(?:[^~/]|~[01])*)*")
# The committee file is public, so no header may be a secret. The other names belong to the
# connection, and are set by the client that sends the request.
_SECRET: Final = re.compile(r"auth|cookie|token|secret|passw|api-?key|credential|session")
_RESERVED: Final = frozenset(
    {"connection", "content-length", "expect", "host", "keep-alive", "te", "trailer"}
    | {"transfer-encoding", "upgrade", "accept-encoding"}
)


@dataclass(frozen=True, slots=True)
class HttpCheck:
    """An HTTP request whose answer has an expected status, and text that is expected in it."""

    KIND: ClassVar[str] = "http"

    method: str = "GET"  # or HEAD
    status: tuple[tuple[int, int], ...] = ((200, 299),)  # first and last of each accepted range
    redirect_hosts: tuple[str, ...] = ()  # empty: redirects are not followed
    contains: str = ""  # in the first 64 KiB; empty: no such text is needed
    lacks: str = ""  # not in the first 64 KiB; empty: no text is refused
    headers: Mapping[str, str] = field(default_factory=dict)  # of the request; public
    timeout_ms: int = DEFAULT_TIMEOUT_MS

    @classmethod
    def take(cls, members: Members, target: Defaults) -> Self:
        check = cls(
            members.word("method", ["GET", "HEAD"]) if "method" in members else "GET",
            _status_ranges(members) if "status" in members else ((200, 299),),
            _hosts(members) if "redirect_hosts" in members else (),
            _text(members, "contains"),
            _text(members, "lacks"),
            _headers(members) if "headers" in members else {},
            _timeout(members, target),
        )
        if check.method == "HEAD" and (check.contains or check.lacks):
            message = "the answer to HEAD has no text; use GET with `contains` and `lacks`"
            raise errors.UnknownValue(message, member="method")
        return check

    def members(self) -> dict[str, Json]:
        return {
            "method": self.method,
            "status": [list(each) for each in self.status],
            "redirect_hosts": list(self.redirect_hosts),
            "contains": self.contains,
            "lacks": self.lacks,
            "headers": dict(self.headers),
            "timeout_ms": self.timeout_ms,
        }

    def accepts(self, status: int) -> bool:
        """Return whether an answer with this HTTP status is an expected one."""
        return any(first <= status <= last for first, last in self.status)


@dataclass(frozen=True, slots=True)
class TcpCheck:
    """A TCP connection within the timeout."""

    KIND: ClassVar[str] = "tcp"

    timeout_ms: int = DEFAULT_TIMEOUT_MS

    @classmethod
    def take(cls, members: Members, target: Defaults) -> Self:
        return cls(_timeout(members, target))

    def members(self) -> dict[str, Json]:
        return {"timeout_ms": self.timeout_ms}


@dataclass(frozen=True, slots=True)
class TlsCheck:
    """A TLS handshake with a valid chain and host name.

    A certificate that ends soon is a warning, and the target is up.
    """

    KIND: ClassVar[str] = "tls"

    timeout_ms: int = DEFAULT_TIMEOUT_MS
    warn_days: int = DEFAULT_WARN_DAYS  # before the certificate ends; 0 to 365

    @classmethod
    def take(cls, members: Members, target: Defaults) -> Self:
        warn_days = DEFAULT_WARN_DAYS
        if "warn_days" in members:
            warn_days = members.integer("warn_days", most=MAX_WARN_DAYS)
        return cls(_timeout(members, target), warn_days)

    def members(self) -> dict[str, Json]:
        return {"timeout_ms": self.timeout_ms, "warn_days": self.warn_days}


@dataclass(frozen=True, slots=True)
class JsonRpcCheck:
    """A JSON-RPC call whose answer has a height close to that of the other targets of a group."""

    KIND: ClassVar[str] = "jsonrpc"

    method: str
    params: str = "[]"  # a list or an object, as canonical JSON
    pointer: str = "/result"  # JSON pointer (RFC 6901) to the height in the answer
    behind: int = 0  # the most by which it may be below the highest of the group
    group: str = ""  # an id; targets of the same group follow the same chain
    timeout_ms: int = DEFAULT_TIMEOUT_MS

    @classmethod
    def take(cls, members: Members, target: Defaults) -> Self:
        return cls(
            members.text("method", longest=64),
            _params(members) if "params" in members else "[]",
            _pointer(members) if "pointer" in members else "/result",
            members.integer("behind", most=MAX_INTEGER),
            members.id("group") if "group" in members else target.id,
            _timeout(members, target),
        )

    def members(self) -> dict[str, Json]:
        return {
            "method": self.method,
            "params": parse(self.params),
            "pointer": self.pointer,
            "behind": self.behind,
            "group": self.group,
            "timeout_ms": self.timeout_ms,
        }


@dataclass(frozen=True, slots=True)
class HeartbeatCheck:
    """Signed messages that the target sends. It is down if none has come for `every_seconds`."""

    KIND: ClassVar[str] = "heartbeat"

    public_key: bls.PublicKey
    proof_of_possession: bytes  # 96 bytes
    every_seconds: int

    @classmethod
    def take(cls, members: Members, target: Defaults) -> Self:
        try:
            key = bls.PublicKey.decode(members.hex("public_key", size=bls.PUBLIC_KEY_BYTES))
        except errors.InvalidPoint as error:
            message = f"the public key of {target.id} is invalid: {error}"
            raise errors.InvalidKey(message, id=target.id) from None
        if "proof_of_possession" not in members:
            message = f"{target.id} has no proof of possession"
            raise errors.UnprovenKey(message, id=target.id)
        proof = members.hex("proof_of_possession", size=bls.SIGNATURE_BYTES)
        every = default_beat_seconds(target.round_seconds)
        if "every_seconds" in members:
            every = members.integer("every_seconds", least=1, most=MAX_BEAT_SECONDS)
        return cls(key, proof, every)

    def members(self) -> dict[str, Json]:
        return {
            "public_key": to_hex(self.public_key.raw),
            "proof_of_possession": to_hex(self.proof_of_possession),
            "every_seconds": self.every_seconds,
        }


TargetCheck: TypeAlias = HttpCheck | TcpCheck | TlsCheck | JsonRpcCheck | HeartbeatCheck


@dataclass(frozen=True, slots=True)
class Defaults:
    """What the defaults of a check follow from."""

    id: str  # of the target
    round_seconds: int


_TAKE: Final[Mapping[str, Callable[[Members, Defaults], TargetCheck]]] = {
    HttpCheck.KIND: HttpCheck.take,
    TcpCheck.KIND: TcpCheck.take,
    TlsCheck.KIND: TlsCheck.take,
    JsonRpcCheck.KIND: JsonRpcCheck.take,
    HeartbeatCheck.KIND: HeartbeatCheck.take,
}
KINDS: Final = tuple(_TAKE)


def decode_check(value: Json, defaults: Defaults) -> TargetCheck:
    """Decode the `check` of a target. Raises InvalidEncoding, InvalidKey, UnprovenKey."""
    members = Members(value, "the check")
    check = _TAKE[members.word("kind", KINDS)](members, defaults)
    members.end()
    return check


def encode_check(check: TargetCheck) -> dict[str, Json]:
    """Return a check in the form of the file, with all defaults stated."""
    return {"kind": check.KIND, **check.members()}


def default_timeout_ms(round_seconds: int) -> int:
    """Return the timeout of a check that states none: a fifth of a round."""
    return 200 * round_seconds


def timeouts_ms(round_seconds: int) -> range:
    """Return the allowed timeouts: from 1 s, or the default if shorter, to half a round."""
    return range(min(1000, default_timeout_ms(round_seconds)), 500 * round_seconds + 1)


def default_beat_seconds(round_seconds: int) -> int:
    """Return `every_seconds` of a heartbeat that states none: a minute, and at least 3 rounds."""
    return max(60, 3 * round_seconds)


def _timeout(members: Members, target: Defaults) -> int:
    allowed = timeouts_ms(target.round_seconds)
    if "timeout_ms" not in members:
        return default_timeout_ms(target.round_seconds)
    return members.integer("timeout_ms", least=allowed[0], most=allowed[-1])


def _text(members: Members, name: str) -> str:
    """Take a text that may be empty. Raises InvalidEncoding."""
    if name not in members:
        return ""
    value = members.take(name)
    if not isinstance(value, str):
        raise errors.WrongType(f"{name} must be a string", member=name)
    if len(value) > MAX_TEXT_CHARS:
        message = f"{name} must have at most {MAX_TEXT_CHARS} characters"
        raise errors.UnknownValue(message, member=name)
    return value


def _status_ranges(members: Members) -> tuple[tuple[int, int], ...]:
    ranges = members.list("status", most=MAX_STATUS_RANGES)
    if not ranges:
        raise errors.UnknownValue("status must name a range", member="status")
    return tuple(_status_range(each) for each in ranges)


def _status_range(value: Json) -> tuple[int, int]:
    if isinstance(value, list) and len(value) == 2:
        members = Members({"first": value[0], "last": value[1]}, "a range of status")
        first = members.integer("first", least=100, most=599)
        return first, members.integer("last", least=first, most=599)
    message = "status must be a list of ranges, each [first, last]"
    raise errors.WrongType(message, member="status")


def _hosts(members: Members) -> tuple[str, ...]:
    hosts = members.list("redirect_hosts", most=MAX_REDIRECT_HOSTS)
    for host in hosts:
        if not isinstance(host, str) or not _HOST.fullmatch(host):
            message = "redirect_hosts must be host names in lower case, without port"
            raise errors.UnknownValue(message, member="redirect_hosts")
    return tuple(str(host) for host in hosts)


def _headers(members: Members) -> Mapping[str, str]:
    given = members.object("headers")
    if len(given) > MAX_HEADERS:
        message = f"headers has {len(given)} entries, expected at most {MAX_HEADERS}"
        raise errors.UnknownValue(message, member="headers")
    return {name: _header(name, value) for name, value in sorted(given.items())}


def _header(name: str, value: Json) -> str:
    if not _HEADER.fullmatch(name) or name in _RESERVED or name.startswith("proxy-"):
        message = f"the header {name[:64]!a} cannot be set; use other names, in lower case"
        raise errors.UnknownValue(message, member="headers")
    if _SECRET.search(name):
        message = f"the header {name} would hold a secret, and the committee file is public"
        raise errors.UnknownValue(message, member="headers")
    if not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value):
        message = f"the header {name} must have 1 to 256 printable ASCII characters"
        raise errors.UnknownValue(message, member="headers")
    return value


def _params(members: Members) -> str:
    value = members.take("params")
    if not isinstance(value, (list, dict)):
        raise errors.WrongType("params must be a list or an object", member="params")
    if len(raw := canonical(value)) > MAX_PARAMS_BYTES:
        message = f"params has {len(raw)} bytes; at most {MAX_PARAMS_BYTES} are allowed"
        raise errors.UnknownValue(message, member="params")
    return raw.decode()


def _pointer(members: Members) -> str:
    pointer = _text(members, "pointer")
    if not _POINTER.fullmatch(pointer):
        message = "pointer must be a JSON pointer, such as /result/height"
        raise errors.UnknownValue(message, member="pointer")
    return pointer


def check_owner(text: Json) -> str:
    """Return the id of a target's owner; empty if it has none. Raises InvalidEncoding."""
    return "" if text == "" else check_id(text, member="owner")
