"""`dragon heartbeat`: send the signed beats of a target that nobody can reach from outside."""

from __future__ import annotations

import time
from pathlib import Path
from urllib.parse import urlsplit

import click

from dragon.encoding import to_hex
from dragon.net.http_client import HttpClient
from dragon.protocol import bls
from dragon.protocol.beats import heartbeat_check
from dragon.protocol.committee import Committee
from dragon_cli.completions import complete_targets
from dragon_cli.durations import DurationType
from dragon_cli.errors import NotAMember
from dragon_cli.fleet import current, queries
from dragon_cli.fleet.beats import (
    BeatSender,
    Sent,
    clock_offset_ms,
    default_pause,
    fatal_refusal,
    retry_pause,
)
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.processes import interrupt_on_signals
from dragon_cli.keystores import unlock
from dragon_cli.options import EXISTING_FILE, UrlType, ca_option, home_option, json_option
from dragon_cli.render.output import console, plain
from dragon_cli.render.text import print_json


@click.command(short_help="Send the beats of a target behind NAT.")
@click.argument("node_id", metavar="NODE", shell_complete=complete_targets)
@click.option(
    "--keystore",
    "--key",
    "keystore_file",
    type=EXISTING_FILE,
    help="Keystore of the target (default: in the folder of the fleet).",
)
@click.option(
    "--password-file",
    type=EXISTING_FILE,
    help="File that contains its password (default: in the folder of the fleet).",
)
@click.option(
    "--url",
    "urls",
    type=UrlType(),
    multiple=True,
    help="URL of an operator; can be repeated (default: all operators, in turn).",
)
@click.option(
    "--every",
    "pause",
    type=DurationType(),
    help="Time between two beats (default: a third of what the committee allows, at most 5m).",
)
@click.option("--once", is_flag=True, help="Send one beat, and exit.")
@home_option
@ca_option
@json_option
def heartbeat(
    node_id: str,
    keystore_file: Path | None,
    password_file: Path | None,
    urls: tuple[str, ...],
    pause: int | None,
    once: bool,
    home: Path,
    ca: Path | None,
    as_json: bool,
) -> None:
    """Send signed beats of the target NODE until interrupted, to show that it is up.

    Each beat goes to several operators in turn, which pass it on to all others. A beat that nobody
    takes is repeated. The command ends if the operators refuse the beats, for example because the
    clock of this machine is wrong, or because the committee lists another key.
    """
    if as_json and not once:
        raise click.UsageError("`--json` needs `--once`.")
    interrupt_on_signals()
    fleet = Home(home)
    http = queries.connect(fleet, ca)
    committee = current.committee(fleet, http)
    allowed = heartbeat_check(committee, node_id).every_seconds  # before the id is part of a path
    if pause is not None and pause >= allowed:
        raise click.UsageError(
            f"`--every` ({pause} s) must be shorter than {allowed} s, after which the committee "
            "takes the target for down."
        )
    files = keystore_file or fleet.keystore(node_id), password_file or fleet.password(node_id)
    secret = unlock(*files)
    machine = _Machine(fleet, http, node_id, secret, urls, pause)
    machine.check_key(committee)
    if once:
        _send_once(machine, committee, as_json=as_json)
    else:
        machine.run(committee)


def _send_once(machine: _Machine, committee: Committee, *, as_json: bool) -> None:
    """Send one beat. Raises DragonError: no operator has taken it."""
    sent = machine.send(committee)
    sent.check()
    if as_json:
        print_json(sent.to_json())
        return
    console.print(_accepted(sent))


class _Machine:
    """The machine that sends the beats of one target."""

    def __init__(
        self,
        home: Home,
        http: HttpClient,
        node_id: str,
        secret: bls.SecretKey,
        urls: tuple[str, ...],
        pause: int | None,
    ) -> None:
        self._home = home
        self._http = http
        self._node_id = node_id
        self._key = secret.public_key()
        self._urls = {urlsplit(each).netloc: each for each in urls}
        self._pause = pause
        self._sender = BeatSender(node_id, secret, http, time.time)
        self._shown = ""  # the last line, which is not repeated

    def check_key(self, committee: Committee) -> None:
        """Raises UnknownNode, NotHeartbeatTarget; NotAMember: the committee lists another key."""
        if heartbeat_check(committee, self._node_id).public_key != self._key:
            message = f"The keystore does not hold the key of target {self._node_id}."
            raise NotAMember(message, id=self._node_id, public_key=to_hex(self._key.raw))

    def send(self, committee: Committee) -> Sent:
        """Send one beat."""
        return self._sender.send(committee, self._urls or queries.operators(committee, None))

    def run(self, committee: Committee) -> None:
        """Send beats until interrupted. Raises DragonError: the operators refuse them."""
        failures = 0
        while True:
            sent = self.send(committee)
            if fatal_refusal(sent, committee):
                committee, sent = self._send_again()
            pause = self._pause or default_pause(
                heartbeat_check(committee, self._node_id).every_seconds
            )
            failures = 0 if sent.taken else failures + 1
            if failures:
                pause = retry_pause(failures, pause)
            self._show(sent)
            time.sleep(pause)

    def _send_again(self) -> tuple[Committee, Sent]:
        """Learn which committee holds, and send another beat. Raises DragonError: refused too."""
        committee = current.committee(self._home, self._http)
        self.check_key(committee)
        sent = self.send(committee)
        if refusal := fatal_refusal(sent, committee):
            raise refusal
        return committee, sent

    def _show(self, sent: Sent) -> None:
        """Print what became of a beat, unless the beat before had the same result."""
        line = _accepted(sent) if sent.taken else _not_accepted(sent)
        state = "accepted" if sent.taken else line
        if state != self._shown:
            console.print(line)
        self._shown = state


def _accepted(sent: Sent) -> str:
    seconds = round((clock_offset_ms(sent) or 0) / 1000, 1) + 0.0  # never -0.0
    return (
        f"[green]accepted[/]: beat of {plain(sent.signed.node_id)} by "
        f"{plain(' and '.join(sent.taken))} (clock {seconds:+.1f} s)"
    )


def _not_accepted(sent: Sent) -> str:
    reasons = {**sent.refused, **sent.failed}
    listed = "; ".join(f"{name}: {reasons[name]}" for name in sorted(reasons))
    return f"[red]not accepted[/]: beat of {plain(sent.signed.node_id)}. {plain(listed)}"
