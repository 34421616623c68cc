"""Looks of the kinds `tcp` and `tls`."""

from __future__ import annotations

import pytest

from dragon.errors import Unreachable
from dragon.probing.judgement import Judgement
from dragon.probing.socket_look import DAY_SECONDS, expires_soon, look_tcp, look_tls
from dragon.protocol.claims.status import Status
from dragon.protocol.target_checks import TcpCheck, TlsCheck
from targets import ScriptedNetwork

NOW = 1_000_000.0
REFUSED = Unreachable("no answer: the connection was refused", reason="refused")
EXPIRED = Unreachable("no answer: its certificate has expired", reason="tls")


def test_a_tcp_target_is_up_if_it_accepts_a_connection() -> None:
    network = ScriptedNetwork()

    assert look_tcp(TcpCheck(1500), "tcp://db.example:5432", network) == Judgement(
        Status.UP, "answered"
    )
    assert (network.calls, network.sent[0][0]) == ([("CONNECT", "db.example:5432")], 1.5)


def test_a_tcp_target_that_refuses_is_down() -> None:
    network = ScriptedNetwork({"::1:5432": REFUSED})

    assert look_tcp(TcpCheck(), "tcp://[::1]:5432", network).reason == "refused"


def test_a_tls_target_with_a_valid_certificate_is_up() -> None:
    expires = int(NOW) + 90 * DAY_SECONDS
    network = ScriptedNetwork(certificates={"mail.example:465": expires})

    assert look_tls(TlsCheck(), "tls://mail.example:465", network, NOW) == Judgement(
        Status.UP, "answered", "", expires
    )


def test_a_tls_target_with_an_invalid_certificate_is_down_and_says_why() -> None:
    network = ScriptedNetwork({"mail.example:465": EXPIRED})

    found = look_tls(TlsCheck(), "tls://mail.example:465", network, NOW)

    assert found == Judgement.down("tls", "no answer: its certificate has expired")


def test_a_certificate_that_expires_soon_is_a_warning_and_not_down() -> None:
    expires = int(NOW) + 3 * DAY_SECONDS
    network = ScriptedNetwork(certificates={"mail.example:465": expires})

    found = look_tls(TlsCheck(warn_days=14), "tls://mail.example:465", network, NOW)

    assert (found.status, found.detail) == (Status.UP, "the certificate expires in 3.0 days")
    assert found.certificate_expires == expires


@pytest.mark.parametrize(("days", "soon"), [(13.9, True), (14, False), (15, False)])
def test_a_warning_begins_within_the_stated_days(days: float, soon: bool) -> None:
    check = TlsCheck(warn_days=14)

    assert expires_soon(check, int(NOW + days * DAY_SECONDS), NOW) is soon
    assert not expires_soon(check, None, NOW)
