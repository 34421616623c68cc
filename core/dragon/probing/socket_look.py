"""Looks of the kinds `tcp` and `tls`: a connection, and a handshake."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from dragon.errors import PeerError
from dragon.net.target_network import TargetNetwork
from dragon.probing.judgement import ANSWERED, Judgement
from dragon.protocol.claims.status import Status
from dragon.protocol.target_checks import TcpCheck, TlsCheck

DAY_SECONDS: Final = 86_400


def look_tcp(check: TcpCheck, url: str, network: TargetNetwork) -> Judgement:
    """Connect once. Never raises."""
    try:
        network.connect(*_endpoint(url), deadline=check.timeout_ms / 1000)
    except PeerError as error:
        return Judgement.failed(error)
    return Judgement(Status.UP, ANSWERED)


def look_tls(check: TlsCheck, url: str, network: TargetNetwork, now: float) -> Judgement:
    """Make one handshake, with the certificate and the host name verified. Never raises.

    `now`: Unix seconds, for the text about a certificate that expires soon.
    """
    try:
        expires = network.handshake(*_endpoint(url), deadline=check.timeout_ms / 1000)
    except PeerError as error:
        return Judgement.failed(error)
    return judge_tls(check, expires, now)


def judge_tls(check: TlsCheck, expires: int | None, now: float) -> Judgement:
    """Judge a valid certificate: the target is up, even if it expires soon."""
    detail = ""
    if expires_soon(check, expires, now) and expires is not None:
        detail = f"the certificate expires in {max(0, expires - now) / DAY_SECONDS:.1f} days"
    return Judgement(Status.UP, ANSWERED, detail, expires)


def expires_soon(check: TlsCheck, expires: int | None, now: float) -> bool:
    """Whether a certificate expires within `warn_days`."""
    return expires is not None and expires - now < check.warn_days * DAY_SECONDS


def _endpoint(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 0
