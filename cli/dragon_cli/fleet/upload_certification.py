"""How far the windows of a stream are certified: while data is sent, and until all of it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from dragon.encoding import Json
from dragon.errors import InvalidEncoding, NotCertified, PeerError
from dragon.net.retries import Retries
from dragon.net.stream_client import StreamClient
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.window import WindowClaim
from dragon_cli.hints import with_hint

POLL_SECONDS: Final = 0.3
POLL_WHILE_SENDING_SECONDS: Final = 2.0

Report = Callable[[int, int], object]  # windows certified, and windows closed


class Watcher:
    """Asks now and then how many windows are certified while an upload runs.

    A newly certified window is progress, although nothing is stored while the service waits for it.
    """

    def __init__(
        self,
        client: StreamClient,
        stream: str,
        report: Report,
        retries: Retries,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._stream = replace(client, retries=None), stream
        self._report, self._retries, self._monotonic = report, retries, monotonic
        self._last, self._certified = monotonic(), -1

    def step(self) -> None:
        """Ask, if the last time is long enough ago. Never raises a PeerError."""
        if self._monotonic() - self._last < POLL_WHILE_SENDING_SECONDS:
            return
        try:
            now = self._client.get(f"/streams/{self._stream}")
            certified, windows = int(str(now["certified"])), int(str(now["windows"]))
        except (PeerError, LookupError, ValueError):
            return  # the upload itself reports an outage
        finally:
            self._last = self._monotonic()
        if certified > self._certified >= 0:
            self._retries.progress()
        self._certified = certified
        self._report(certified, windows)


def wait_certified(
    client: StreamClient,
    stream: str,
    chunks: int,
    seconds: int,
    *,
    report: Report = lambda _certified, _windows: None,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> int:
    """Wait until certified windows cover the first `chunks` chunks; return their number.

    Args: `seconds`, the longest time in which no further window is certified.

    Raises NotCertified: that time has passed, or the stream has stopped.
    """
    last, ends = -1, monotonic() + seconds
    while True:
        now = client.get(f"/streams/{stream}")
        certified = int(str(now["certified"]))
        report(certified, int(str(now["windows"])))
        if certified and _covers(client, stream, certified, chunks):
            return certified
        if now["stopped"]:
            raise with_hint(NotCertified(f"The stream has stopped: {now['stopped']}."), "")
        if certified > last:
            last, ends = certified, monotonic() + seconds
        if monotonic() > ends:
            raise with_hint(NotCertified(_incomplete(now, certified, seconds)), "")
        sleep(POLL_SECONDS)


def _incomplete(now: dict[str, Json], certified: int, seconds: int) -> str:
    return (
        f"Upload complete. {certified} of {now['windows']} windows are certified, and no further "
        f"one within {seconds} s; run the same command again to keep waiting."
    )


def _covers(client: StreamClient, stream: str, certified: int, chunks: int) -> bool:
    page = client.get(f"/streams/{stream}/windows", after=certified - 2, limit=1)
    listed = page.get("windows")
    last = listed[0] if isinstance(listed, list) and listed else None
    if not isinstance(last, dict):
        return False
    return int(str(last["first"])) + int(str(last["count"])) >= chunks


def certified_at(client: StreamClient, stream: str, window: int) -> tuple[int, int] | None:
    """Return when a window was certified (start of the round, Unix seconds), and by how many.

    As the service reports it, not verified. None: it reports nothing usable.
    """
    try:
        event = client.get(f"/streams/{stream}/windows/{window}").get("event")
        certificate = Certificate.from_json(event)
    except (PeerError, InvalidEncoding):
        return None
    if not isinstance(certificate.claim, WindowClaim):
        return None
    return certificate.claim.timestamp, len(certificate.signers)
