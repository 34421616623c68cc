"""`dragon maintenance add`: announce maintenance of a node, once or again and again."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Final

import click

from dragon.encoding import Json
from dragon.net.http_client import HttpClient
from dragon.protocol.committee import Committee
from dragon_cli.completions import complete_nodes
from dragon_cli.durations import DURATION_FORMS, DurationType
from dragon_cli.fleet import announced, current, queries
from dragon_cli.fleet.announcing import Announcer, check_window, earliest
from dragon_cli.fleet.changing import Clock
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.repeating import Fleet, Pass, Repeater
from dragon_cli.fleet.speaking import KeyFiles
from dragon_cli.options import EXISTING_FILE, ca_option, home_option, json_option
from dragon_cli.recurrence import CronType, Recurrence, Window, shown
from dragon_cli.render.output import console, plain
from dragon_cli.render.text import duration, moment, print_json, printable
from dragon_cli.signals import stop_signals
from dragon_cli.times import COMING_FORMS
from dragon_cli.trust import check_node
from dragon_cli.window_options import WindowOptions
from dragon_cli.zones import ZoneType

DEFAULT_AHEAD_SECONDS: Final = 30 * 86_400


@click.command(short_help="Announce maintenance of a node.")
@click.argument("node", shell_complete=complete_nodes)
@click.option("--from", "begin", metavar="TIME", help=f"Begin of the window: {COMING_FORMS}.")
@click.option("--to", "end", metavar="TIME", help="End of the window, exclusive.")
@click.option("--for", "seconds", type=DurationType(), help=f"Length: {DURATION_FORMS}.")
@click.option(
    "--zone",
    type=ZoneType(),
    default=UTC,
    help="Time zone of the times and of `--repeat`, such as Europe/Berlin (default: UTC).",
)
@click.option(
    "--repeat",
    type=CronType(),
    help="Announce windows that begin when this cron expression matches, until interrupted.",
)
@click.option(
    "--ahead",
    type=DurationType(),
    help="Announce recurring windows so long ahead, from the notice to 90d (default: 30d).",
)
@click.option("--once", is_flag=True, help="Announce the recurring windows that are due, and end.")
@click.option("--wait", is_flag=True, help="Wait until the window is in the logs.")
@click.option(
    "--keystore",
    type=EXISTING_FILE,
    help="Keystore of the operator or the target's owner (default: in the folder of the fleet).",
)
@click.option(
    "--password-file",
    type=EXISTING_FILE,
    help="File that contains its password (default: in the folder of the fleet).",
)
@home_option
@ca_option
@json_option
def add(
    node: str,
    begin: str | None,
    end: str | None,
    seconds: int | None,
    zone: tzinfo,
    repeat: str | None,
    ahead: int | None,
    once: bool,
    wait: bool,
    keystore: Path | None,
    password_file: Path | None,
    home: Path,
    ca: Path | None,
    as_json: bool,
) -> None:
    """Announce that NODE may be down from a time on, for a duration or until another time.

    Signed with the key of the operator itself, or with that of the target's owner. A window is
    announced ahead: the committee says how long (`dragon committee show`). It can be neither
    changed nor cancelled.

    With `--repeat` the command keeps running, and announces each window of a cron expression ahead.
    It reads from the logs what is announced, so it can be stopped and started at any time, and run
    several times. At most 12 windows are open; four more can be added by hand. When clocks change,
    the rules of Debian's cron hold: a begin at an hour that is skipped is when the clock goes on,
    and a begin at an hour that comes twice is the first of both.
    """
    given = WindowOptions(begin, end, seconds, zone)
    fleet = Home(home)
    http = queries.connect(fleet, ca)
    signer = Signer(fleet, http, check_node(fleet, node), KeyFiles(keystore, password_file))
    if repeat is None:
        if once or ahead:
            raise click.UsageError("`--once` and `--ahead` belong to `--repeat`.")
        _add(signer, given.window(time.time()), wait=wait, as_json=as_json)
        return
    recurrence = given.recurrence(repeat)
    if wait:
        raise click.UsageError("`--wait` is for a single window: omit it with `--repeat`.")
    if as_json and not once:
        raise click.UsageError("`--json` needs `--once`: without it the command does not end.")
    _repeat(signer, recurrence, ahead or DEFAULT_AHEAD_SECONDS, once=once, as_json=as_json)


@dataclass(frozen=True, slots=True)
class Signer:
    """The node, and what is needed to announce its maintenance."""

    home: Home
    http: HttpClient
    node_id: str
    files: KeyFiles

    def announcer(self) -> Announcer:
        """Return what announces, after a check that the key can be used. Raises as `secret_of`."""
        announcer = Announcer(
            self.home, self.http, self.node_id, self.files, os.environ, Clock(time.time)
        )
        announcer.check_key(self.committee())
        return announcer

    def committee(self) -> Committee:
        return current.committee(self.home, self.http)


def _add(signer: Signer, window: Window, *, wait: bool, as_json: bool) -> None:
    committee = signer.committee()
    check_window(committee, window, int(time.time()))
    announcer = signer.announcer()
    by = announcer.announce(committee, window)
    if wait:
        announcer.wait(committee, window)
    if as_json:
        period: dict[str, Json] = {"from": window.begin, "to": window.end}
        print_json({"verdict": "accepted", "node_id": signer.node_id, **period, "by": by})
        return
    console.print(f"[green]signed[/]: maintenance of {signer.node_id} from {shown(window)}.")
    where = "It is in the logs." if wait else "`dragon maintenance list` shows when it is in a log."
    console.print(f"Accepted by {plain(by)}, which publishes it on the ledger. {where}")


def _repeat(
    signer: Signer, recurrence: Recurrence, ahead: int, *, once: bool, as_json: bool
) -> None:
    announcer = signer.announcer()
    say = (lambda _: None) if as_json else _say
    now = int(time.time())
    say(_notice(signer.committee(), now))
    if (first := next(recurrence.begins(now), now)) > now + ahead:
        say(f"The next window begins at {moment(first)}; it is announced {duration(ahead)} ahead.")

    def listed(committee: Committee) -> list[Window]:
        return announced.coming(committee, signer.http, signer.node_id)

    fleet = Fleet(signer.committee, announcer.check_key, listed, announcer.announce)
    repeater = Repeater(fleet, recurrence, ahead, say)
    if once:
        done = repeater.once(now)
        _print(signer.node_id, done, as_json=as_json)
        return
    _say(f"Announcing maintenance of {signer.node_id} at {recurrence.expression!r} until stopped.")
    with stop_signals() as wait:
        repeater.run(time.time, wait)
    _say("Stopped.")


def _notice(committee: Committee, now: int) -> str:
    notice = committee.maintenance_notice
    asked = f"{duration(notice)} of notice" if notice else "no notice"
    return (
        f"The committee asks for {asked}: windows that begin before "
        f"{moment(earliest(committee, now))} are not announced any more."
    )


def _say(line: str) -> None:
    click.echo(printable(line))  # at once, also into a pipe


def _print(node_id: str, done: Pass, *, as_json: bool) -> None:
    """Raises Exit: a window was refused."""
    if as_json:
        refused = [
            {**_as_json(each.window), "reason": each.error.name, "detail": str(each.error)}
            for each in done.refused
        ]
        new, known = ([_as_json(each) for each in found] for found in (done.announced, done.known))
        print_json({"node_id": node_id, "announced": new, "known": known, "refused": refused})
    else:
        console.print(
            f"{len(done.announced)} windows announced now, {len(done.known)} known already."
        )
    if done.refused:
        raise click.exceptions.Exit(1)


def _as_json(window: Window) -> dict[str, Json]:
    return {"from": window.begin, "to": window.end}
