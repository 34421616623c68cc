"""Announce maintenance of a node with the key that speaks for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from dragon import errors
from dragon.net.http_client import HttpClient
from dragon.protocol import bls
from dragon.protocol.claims.maintenance import (
    MAX_AHEAD_SECONDS,
    MAX_WINDOW_SECONDS,
    MaintenanceClaim,
)
from dragon.protocol.committee import Committee
from dragon.protocol.maintenance import Maintenance
from dragon_cli.fleet import announced
from dragon_cli.fleet.changing import Clock
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.speaking import KeyFiles, secret_of
from dragon_cli.fleet.submitting import TIMEOUT_SECONDS, submit
from dragon_cli.hints import with_hint
from dragon_cli.recurrence import Window
from dragon_cli.render.text import duration, moment

MARGIN_ROUNDS: Final = 2  # from the request to the ledger
POLL_SECONDS: Final = 1.0
WAIT_ROUNDS: Final = 24
MIN_WAIT_SECONDS: Final = 60
WAIT_HINT: Final = "It may still come: `dragon maintenance list` shows what the logs announce."


class Announcer:
    """Signs windows for one node, and hands them to an aggregator."""

    def __init__(
        self,
        home: Home,
        http: HttpClient,
        node_id: str,
        files: KeyFiles,
        environ: Mapping[str, str],
        clock: Clock,
    ) -> None:
        self._home = home
        self._http = http
        self._node_id = node_id
        self._files = files
        self._environ = environ
        self._clock = clock
        self._secret: bls.SecretKey | None = None

    def check_key(self, committee: Committee) -> None:
        """Open the keystore. Raises as `secret_of`."""
        self._key(committee)

    def announce(self, committee: Committee, window: Window, first: int = 0) -> str:
        """Announce a window; return the name of the aggregator that accepted it.

        Args: `first`, the place of the aggregator that is asked first.

        Raises:
            UnknownNode, NoOwner, KeystoreError, KeystoreRefused, NotAMember: see `secret_of`.
            TooLate, TooFar, EnoughAnnounced, AppliedAlready: the log cannot take the window.
            DragonError: as `submit`.
        """
        now = int(self._clock.wall())
        check_window(committee, window, now)
        claim = MaintenanceClaim(self._node_id, window.begin, window.end, now)
        signed = Maintenance.sign(claim, self._key(committee), committee.id)
        try:
            return submit(
                committee,
                self._http,
                lambda each: each.announce(signed, deadline=TIMEOUT_SECONDS),
                first=first,
            )
        except errors.TooLate:
            raise too_late(committee, window, now) from None

    def _key(self, committee: Committee) -> bls.SecretKey:
        """Return the key that speaks for the node. It is read again after a rotation."""
        listed = committee.member_keys[committee.speaker(self._node_id)]
        if self._secret is None or self._secret.public_key() != listed:
            self._secret = secret_of(
                committee, self._node_id, self._home, self._files, self._environ
            )
        return self._secret

    def wait(self, committee: Committee, window: Window) -> None:
        """Wait until the logs announce a window. Raises StepFailed: they do not in time."""
        seconds = max(MIN_WAIT_SECONDS, WAIT_ROUNDS * committee.rounds.seconds)
        ends = self._clock.monotonic() + seconds
        while not self._is_announced(committee, window):
            if self._clock.monotonic() > ends:
                message = f"The window is not in the logs after {duration(seconds)}."
                raise with_hint(errors.StepFailed(message, node_id=self._node_id), WAIT_HINT)
            self._clock.sleep(POLL_SECONDS)

    def _is_announced(self, committee: Committee, window: Window) -> bool:
        try:
            return window in announced.coming(committee, self._http, self._node_id)
        except errors.Unreachable:
            return False


def check_window(committee: Committee, window: Window, now: int) -> None:
    """Refuse a window that no log can take, before it is signed. Raises TooLate, TooFar."""
    if not 0 < (seconds := window.end - window.begin) <= MAX_WINDOW_SECONDS:
        message = (
            f"The window has {duration(seconds)}; at most {duration(MAX_WINDOW_SECONDS)} are "
            "possible."
        )
        raise errors.TooFar(message, seconds=seconds, most=MAX_WINDOW_SECONDS)
    if window.begin > (last := now + MAX_AHEAD_SECONDS):
        message = (
            f"The window begins at {moment(window.begin)}; at present {moment(last)} is the "
            "latest begin."
        )
        raise errors.TooFar(message, last=last)
    # While checkpoints come, log time is behind the clock by less than `unknown_after`. A window
    # that may be in time is sent: the log decides.
    if window.begin < now - committee.rounds.unknown_after + committee.maintenance_notice:
        raise too_late(committee, window, now)


def too_late(committee: Committee, window: Window, now: int) -> errors.TooLate:
    """Return the refusal of a window that begins too soon, with the earliest possible begin."""
    notice = committee.maintenance_notice
    first = earliest(committee, now)
    asked = f", and the committee asks for {duration(notice)} of notice" if notice else ""
    message = (
        f"The window begins at {moment(window.begin)}{asked}: at present {moment(first)} is the "
        "earliest begin."
    )
    return with_hint(
        errors.TooLate(message, first=first, notice=notice),
        f"Use `--from {_iso(first)}` or later.",
    )


def earliest(committee: Committee, now: int) -> int:
    """Return the first full minute at which a window may begin that is announced now."""
    first = now + committee.maintenance_notice + MARGIN_ROUNDS * committee.rounds.seconds
    return -(-first // 60) * 60


def _iso(timestamp: int) -> str:
    return moment(timestamp).removesuffix(" UTC").replace(" ", "T") + "Z"
