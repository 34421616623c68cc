"""`dragon target try`: look at a target once from here, as an operator would."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from dragon.encoding import Json
from dragon.errors import UnknownNode
from dragon.net import tls
from dragon.net.runtime import Runtime
from dragon.probing.look_once import look_once
from dragon.probing.lookup_faults import NO_ANSWER
from dragon.probing.probe_result import ProbeResult
from dragon.protocol import target_words
from dragon.protocol.claims.status import Status
from dragon.protocol.committee import Committee, Target
from dragon.protocol.committee_file import Sequencer, encode_target
from dragon.protocol.rounds import Rounds
from dragon.protocol.target_checks import HeartbeatCheck, TlsCheck
from dragon_cli import target_options
from dragon_cli.completions import complete_targets
from dragon_cli.fleet.layout import Home
from dragon_cli.hints import with_hint
from dragon_cli.options import ca_option, home_option, json_option
from dragon_cli.render.output import console, plain, styled
from dragon_cli.render.text import duration, moment, print_json

TLS_FAULT: Final = "tls"
UNNAMED: Final = "target"  # the id of a target that is only tried
DAY_SECONDS: Final = 86_400
# Without a fleet: what `dragon init` founds by default.
ROUND_SECONDS: Final = 5

# Reason of a failed look → what its owner can do.
ADVICE: Final = {
    "private_address": "`--private` allows private and local addresses, if the owners agree.",
    "redirect_host": "`--redirect-host HOST` follows redirects to a host.",
    "timeout": "`--timeout` allows more time, at most half a round.",
}
# What is wrong with a TLS connection → what can be done.
TLS_ADVICE: Final = {
    tls.UNTRUSTED: "Operators trust the CAs of their system, and those of DRAGON_TLS_CA.",
    tls.NO_TLS: "`--tcp HOST:PORT` checks a port that does not speak TLS.",
}
_REDIRECT: Final = "status_3"
REDIRECT_ADVICE: Final = (
    "`--redirect-host HOST` follows redirects to a host; `--status 200-399` accepts them."
)


@click.command(short_help="Look at a target once from here, and judge it.")
@click.argument("target_id", metavar="[ID]", required=False, shell_complete=complete_targets)
@click.argument("url", required=False)
@target_options.target_options
@home_option
@ca_option
@json_option
def try_(
    target_id: str | None,
    url: str | None,
    home: Path,
    ca: Path | None,
    as_json: bool,
    **check: Any,
) -> None:
    """Look once at a listed target ID, or at URL with the options of `dragon target add`.

    Says what an operator on this host would judge, and why. Nothing is signed or changed, and no
    operator is asked. The status is `unknown` if an operator would abstain. The exit code is 0 if
    the target is up, and 1 otherwise.
    """
    fleet = Home(home)
    committee = fleet.committee() if fleet.committee_file.exists() else _nobody()
    if target_id is not None and url is None and "://" in target_id:
        target_id, url = None, target_id
    target = _target(committee, target_id, url, check)
    if isinstance(target.check, HeartbeatCheck):
        raise click.UsageError("Nobody looks at a target with heartbeats: it sends them itself.")
    found = look_once(target, committee, Runtime.real(ca or fleet.ca))
    if as_json:
        print_json(_as_json(target, found))
    else:
        _print(target, found)
    if found.status is not Status.UP:
        raise click.exceptions.Exit(1)


def _nobody() -> Committee:
    """Return a committee without members, for looks outside a fleet."""
    return Committee("none", Rounds(0, ROUND_SECONDS), {}, (), (), (), (), Sequencer("", 67, ()))


def _target(
    committee: Committee, target_id: str | None, url: str | None, check: dict[str, Any]
) -> Target:
    """Return the listed target, or the one that the options describe.

    Raises UnknownNode, UsageError, InvalidEncoding.
    """
    is_described = url is not None or any(check.get(each) for each in ("tcp", "tls", "heartbeat"))
    if target_id is None or is_described:
        entry = target_options.entry(target_id or UNNAMED, url, check)
        return target_options.decode(entry, committee.rounds.seconds)
    if target_id not in committee.targets_by_id:
        listed = ", ".join(committee.targets_by_id) or "none"
        message = f"The committee lists no target {target_id}; its targets are: {listed}."
        hint = f"`dragon target try https://{target_id}` looks at a URL."
        raise with_hint(UnknownNode(message, node_id=target_id), hint)
    if given := target_options.given(check):
        raise click.UsageError(
            f"{target_id} is tried as it is listed: omit `{given}`, or add a URL."
        )
    return committee.targets_by_id[target_id]


def _status(found: ProbeResult) -> str:
    """Return the status, or `unknown` if the look says nothing about the target."""
    is_judged = found.is_evidence and found.reason != NO_ANSWER
    return str(found.status) if is_judged else "unknown"


def _as_json(target: Target, found: ProbeResult) -> dict[str, Json]:
    return {
        "target": encode_target(target),
        "status": _status(found),
        "reason": found.reason,
        "detail": found.detail,
        "latency_ms": found.latency_ms,
        "certificate_expires": found.certificate_expires,
    }


def _print(target: Target, found: ProbeResult) -> None:
    console.print(plain(f"{target.url}: {target_words.check(target.check)}"))
    detail = f": {plain(found.detail)}" if found.detail else ""
    console.print(
        f"{styled(_status(found))}: {plain(found.reason)} after {found.latency_ms} ms{detail}"
    )
    if found.certificate_expires is not None:
        console.print(_certificate(target, found.certificate_expires, int(found.begun_at)))
    if advice := _advice(found):
        console.print(f"hint: {advice}")


def _certificate(target: Target, expires: int, now: int) -> str:
    left = f"in {duration(expires - now)}" if expires > now else "in the past"
    line = f"certificate: ends at {moment(expires)}, {left}"
    warn = target.check.warn_days if isinstance(target.check, TlsCheck) else 0
    return f"[yellow]{line}[/]" if expires - now < warn * DAY_SECONDS else line


def _advice(found: ProbeResult) -> str:
    if found.status is Status.UP:
        return ""
    if found.reason.startswith(_REDIRECT):
        return REDIRECT_ADVICE
    if found.reason == TLS_FAULT:
        return next((each for fault, each in TLS_ADVICE.items() if fault in found.detail), "")
    return ADVICE.get(found.reason, "")
