"""The options that describe a target, and the entry of a committee file that they make.

The entry is decoded as in a committee file, so limits and defaults have one place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import click

from dragon.encoding import Json, parse, to_hex
from dragon.errors import InvalidEncoding
from dragon.protocol.committee_file import MAX_LOOKS, Target, decode_target
from dragon.protocol.member import Member, Role
from dragon.protocol.target_checks import (
    MAX_BEAT_SECONDS,
    MAX_WARN_DAYS,
    HeartbeatCheck,
    HttpCheck,
    JsonRpcCheck,
    TcpCheck,
    TlsCheck,
)
from dragon_cli.committee_files import read_members
from dragon_cli.completions import complete_members
from dragon_cli.durations import DurationType, parse_duration
from dragon_cli.hints import with_hint
from dragon_cli.options import EXISTING_FILE

Entry: TypeAlias = dict[str, Json]  # a target as in a committee file, without its defaults

OPTIONS_HINT: Final = "`dragon target add --help` lists the options of each kind of check."

_RANGE: Final = re.compile(r"([0-9]{3})(?:-([0-9]{3}))?", re.ASCII)
_MILLISECONDS: Final = re.compile(r"([0-9]{1,7})ms", re.ASCII)
# Option → the kinds of check that have it.
_KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "status": (HttpCheck.KIND,),
    "method": (HttpCheck.KIND,),
    "contains": (HttpCheck.KIND,),
    "lacks": (HttpCheck.KIND,),
    "headers": (HttpCheck.KIND,),
    "redirect_hosts": (HttpCheck.KIND,),
    "timeout_ms": (HttpCheck.KIND, TcpCheck.KIND, TlsCheck.KIND, JsonRpcCheck.KIND),
    "warn_days": (TlsCheck.KIND,),
    "params": (JsonRpcCheck.KIND,),
    "pointer": (JsonRpcCheck.KIND,),
    "behind": (JsonRpcCheck.KIND,),
    "group": (JsonRpcCheck.KIND,),
    "every_seconds": (HeartbeatCheck.KIND,),
}
_NAMES: Final = {
    "headers": "--header",
    "redirect_hosts": "--redirect-host",
    "timeout_ms": "--timeout",
    "every_seconds": "--every",
    "private_addresses": "--private",
}


class _StatusType(click.ParamType[list[Json]]):
    name = "ranges"

    def convert(self, value: Any, param: Any, ctx: Any) -> list[Json]:
        if isinstance(value, list):
            return value
        found: list[Json] = []
        for each in str(value).split(","):
            if not (match := _RANGE.fullmatch(each.strip())):
                message = f"{each[:64]!a} is not a status or a range of status, such as 200-399."
                self.fail(message, param, ctx)
            found.append([int(match[1]), int(match[2] or match[1])])
        return found


class _HeaderType(click.ParamType[tuple[str, str]]):
    name = "name:value"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        name, colon, text = str(value).partition(":")
        if not colon:
            self.fail(f"{value[:64]!a} is not a header; expected NAME:VALUE.", param, ctx)
        return name.strip().lower(), text.strip()


class _TimeoutType(click.ParamType[int]):
    name = "duration"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        if isinstance(value, int):
            return value
        if match := _MILLISECONDS.fullmatch(str(value)):
            return int(match[1])
        try:
            return 1000 * parse_duration(str(value))
        except ValueError:
            self.fail(f"{value[:64]!a} is not a timeout, such as 500ms or 2s.", param, ctx)


class _ParamsType(click.ParamType[Json]):
    name = "json"

    def convert(self, value: Any, param: Any, ctx: Any) -> Json:
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]
        try:
            return parse(value)
        except InvalidEncoding as error:
            self.fail(f"{value[:64]!a} is not JSON: {error}.", param, ctx)


_OPTIONS: Final = (
    click.option(
        "--status",
        type=_StatusType(),
        help="HTTP: expected status, such as 200-399 or 200,204 (default: 200-299).",
    ),
    click.option(
        "--method", type=click.Choice(["GET", "HEAD"]), help="HTTP: method (default: GET)."
    ),
    click.option("--contains", help="HTTP: text that the first 64 KiB must contain."),
    click.option("--lacks", help="HTTP: text that the first 64 KiB must not contain."),
    click.option(
        "--header",
        "headers",
        type=_HeaderType(),
        multiple=True,
        help="HTTP: header of the request; public, so never a secret. Repeat for several.",
    ),
    click.option(
        "--redirect-host",
        "redirect_hosts",
        multiple=True,
        help="HTTP: host to which redirects are followed (default: none is). Repeat for several.",
    ),
    click.option(
        "--timeout",
        "timeout_ms",
        type=_TimeoutType(),
        help="Time for one look, such as 500ms or 2s (default: a fifth of a round).",
    ),
    click.option("--tcp", metavar="HOST:PORT", help="Check that a TCP connection can be made."),
    click.option("--tls", metavar="HOST:PORT", help="Check a TLS handshake, its chain and host."),
    click.option(
        "--warn-days",
        type=click.IntRange(0, MAX_WARN_DAYS),
        help="TLS: days before the end of a certificate from which on to warn (default: 14).",
    ),
    click.option(
        "--jsonrpc",
        metavar="METHOD",
        help="Check the height in the answer to a JSON-RPC call of METHOD at URL.",
    ),
    click.option("--params", type=_ParamsType(), help="JSON-RPC: parameters (default: [])."),
    click.option("--pointer", help="JSON-RPC: JSON pointer to the height (default: /result)."),
    click.option(
        "--behind",
        type=click.IntRange(0),
        help="JSON-RPC: most by which the height may be below the highest of the group.",
    ),
    click.option(
        "--group", help="JSON-RPC: group of targets that follow one chain (default: the target)."
    ),
    click.option(
        "--heartbeat",
        type=EXISTING_FILE,
        help="Expect signed beats; the file is the member file of `dragon key new --heartbeat`.",
    ),
    click.option(
        "--every",
        "every_seconds",
        type=DurationType(),
        help=f"Heartbeat: down if no beat comes for so long, at most {MAX_BEAT_SECONDS // 3600}h.",
    ),
    click.option(
        "--owner",
        shell_complete=complete_members,
        help="Member that announces the target's maintenance (default: nobody can).",
    ),
    click.option(
        "--private",
        "private_addresses",
        is_flag=True,
        help="Allow that the host has a private or local address.",
    ),
    click.option(
        "--suspect-after",
        type=click.IntRange(1, MAX_LOOKS),
        help="Failed looks in a row before it is suspected (default: 1).",
    ),
    click.option(
        "--recover-after",
        type=click.IntRange(1, MAX_LOOKS),
        help="Good looks in a row before it has recovered (default: 1).",
    ),
)


def target_options(command: Callable[..., Any]) -> Any:
    """Add the options that describe a target. The command gets them as keyword arguments."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def entry(target_id: str, url: str | None, given: Mapping[str, Any]) -> Entry:
    """Return the entry of a target.

    Args:
        url: tcp:// and tls:// say which check it is; None: an option names the place.
        given: the values of `target_options` by name.

    Raises UsageError: the options do not belong together.
    """
    kind, place = _kind(url, given)
    _check_options(kind, given)
    check: Entry = {"kind": kind, **dict(_members(kind, given))}
    if kind == HeartbeatCheck.KIND:
        check |= _heartbeat(target_id, given["heartbeat"])
    if kind == JsonRpcCheck.KIND:
        check |= {"method": given["jsonrpc"], "behind": given["behind"]}
    found: Entry = {"id": target_id, "check": check, **({"url": place} if place else {})}
    common = ("owner", "private_addresses", "suspect_after", "recover_after")
    return found | {name: given[name] for name in common if given.get(name)}


def given(values: Mapping[str, Any]) -> str:
    """Return one of the options of `target_options` that is given; empty if none is."""
    named = next((name for name, value in values.items() if value not in (None, (), False)), "")
    return _option(named) if named else ""


def decode(found: Entry, round_seconds: int) -> Target:
    """Return the target of an entry.

    Args: `round_seconds`, length of a round; the default timeout follows from it.

    Raises InvalidEncoding, InvalidCommittee.
    """
    try:
        return decode_target(found, round_seconds)
    except InvalidEncoding as error:
        raise with_hint(error, OPTIONS_HINT) from None


def _kind(url: str | None, given: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return the kind of check, and the URL of the target; None for heartbeats."""
    options = ("tcp", "tls", "jsonrpc", "heartbeat")
    named = [name for name in options if given.get(name) is not None]
    if len(named) > 1:
        raise click.UsageError(f"A target has one check: use `--{named[0]}` or `--{named[1]}`.")
    kind = named[0] if named else _kind_of(url)
    if not named or kind == JsonRpcCheck.KIND:
        if url is None:
            raise click.UsageError(
                "Name the URL of the target, or use --tcp, --tls or --heartbeat."
            )
        return kind, url.rstrip("/")
    if url is not None:
        raise click.UsageError(f"`--{kind}` takes the place of the URL: omit {url}.")
    return kind, None if kind == HeartbeatCheck.KIND else f"{kind}://{given[kind]}"


def _kind_of(url: str | None) -> str:
    scheme = (url or "").partition("://")[0]
    return scheme if scheme in (TcpCheck.KIND, TlsCheck.KIND) else HttpCheck.KIND


def _check_options(kind: str, given: Mapping[str, Any]) -> None:
    for name, kinds in _KINDS.items():
        if kind not in kinds and given.get(name) not in (None, ()):
            raise click.UsageError(
                f"`{_option(name)}` is for checks of the kind {' or '.join(kinds)}, and this one "
                f"is {kind}."
            )
    if kind == JsonRpcCheck.KIND and given.get("behind") is None:
        raise click.UsageError("`--jsonrpc` needs `--behind`, the most blocks to be behind.")


def _option(name: str) -> str:
    return _NAMES.get(name, f"--{name.replace('_', '-')}")


def _members(kind: str, given: Mapping[str, Any]) -> Iterator[tuple[str, Json]]:
    """Yield the members of a check that the options name."""
    for name, kinds in _KINDS.items():
        if kind in kinds and (value := given.get(name)) not in (None, ()):
            if name == "headers":
                value = dict(value)
            yield name, list(value) if isinstance(value, tuple) else value


def _heartbeat(target_id: str, file: Path) -> Entry:
    """Return the key of a heartbeat. Raises UsageError: the member file is for another member."""
    return heartbeat_members(target_id, read_members([file])[0], file)


def heartbeat_members(target_id: str, member: Member, file: Path) -> Entry:
    """Return the members of a check that a member file states. Raises UsageError."""
    if member.role is not Role.TARGET:
        raise click.UsageError(
            f"{file} is the member file of an {member.role}; `dragon key new {target_id} "
            "--heartbeat` makes that of a target."
        )
    if member.id != target_id:
        raise click.UsageError(f"{file} is the member file of {member.id}, not of {target_id}.")
    return {
        "public_key": to_hex(member.public_key.raw),
        "proof_of_possession": to_hex(member.proof_of_possession),
    }
